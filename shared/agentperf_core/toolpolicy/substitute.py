"""A lightweight function that answers in place of a tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from agentperf_core.errors import ConfigError

__all__ = ["Substitute"]


@dataclass(frozen=True, slots=True)
class Substitute:
    """A local function that can do what a tool does, for some arguments or in an emergency.

    It must be fast and must not wait: it runs where the call is made. What it raises, the tool
    answers instead. The result says that it was substituted.

    Attributes:
        function: takes the tool's arguments by name.
        when: whether it can do it for these arguments; `None` for only in an emergency.
        on_failure: use it, too, when the tool's breaker is open or the tool has failed for good.

    Raises:
        ConfigError: if `function` or `when` cannot be called, or it were never used.

    Example:
        >>> small = Substitute(lambda a, b: a + b, when=lambda arguments: arguments["a"] < 100)
        >>> small.suits({"a": 1, "b": 2})
        True
        >>> small.suits({"b": 2})
        False
    """

    function: Callable[..., Any]
    when: Callable[[Mapping[str, Any]], bool] | None = None
    on_failure: bool = True

    def __post_init__(self) -> None:
        for name, value in (("function", self.function), ("when", self.when)):
            if not callable(value) and not (name == "when" and value is None):
                msg = f"a substitute's {name} must be callable, got {value!r}; give a function"
                raise ConfigError(msg)
        if self.when is None and not self.on_failure:
            msg = "when=None and on_failure=False leave a substitute without use; set one of them"
            raise ConfigError(msg)

    @classmethod
    def of(
        cls,
        value: Substitute | Callable[..., Any],
        *,
        when: Callable[[Mapping[str, Any]], bool] | None = None,
        on_failure: bool = True,
    ) -> Self | Substitute:
        """The substitute itself, or one made of a function; without `when` one for emergencies.

        Raises:
            ConfigError: if a substitute is given together with what it says itself.
        """
        if not isinstance(value, Substitute):
            return cls(value, when, on_failure)
        if when is not None or not on_failure:
            msg = (
                f"a Substitute says itself when it answers, got {value!r} with when={when!r} "
                f"and on_failure={on_failure!r}; give its function instead"
            )
            raise ConfigError(msg)
        return value

    def suits(self, arguments: Mapping[str, Any]) -> bool:
        """Whether it can answer these arguments; a condition that raises does not hold."""
        try:
            return self.when is not None and bool(self.when(arguments))
        except Exception:
            return False
