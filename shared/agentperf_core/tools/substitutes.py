"""Substitutes by the name of the tool, and how one answers in place of a tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS, DecisionMade, EventBus
from agentperf_core.flow import Flow, Step
from agentperf_core.toolpolicy import Substitute
from agentperf_core.tools.jobs import ToolResults
from agentperf_core.tools.records import ToolFailure, ToolRun
from agentperf_core.types import ToolCall

__all__ = ["SubstituteRegistry", "substituted"]

T = TypeVar("T")


class SubstituteRegistry:
    """Light local functions that answer in place of tools, by name of the tool.

    A substitute answers where its condition on the arguments holds, and, unless it says otherwise,
    where the tool gave no result or its breaker is open. Ready ones are in
    `agentperf_core.tools.light`.

    Args:
        substitutes: by name of the tool; a plain function is one for emergencies.
        bus: receives a `DecisionMade` of the room `"tools"` for each answer, and faults.

    Raises:
        ConfigError: if one of them is neither, or is never used.

    Example:
        >>> from agentperf_core.tools.light import arithmetic
        >>> registry = SubstituteRegistry({"calculator": arithmetic("expression")})
        >>> registry.names
        ('calculator',)
    """

    def __init__(
        self,
        substitutes: Mapping[str, Substitute | Callable[..., Any]] | None = None,
        *,
        bus: EventBus = BUS,
    ) -> None:
        self._bus = bus
        self._known: dict[str, Substitute] = {}
        for name, substitute in (substitutes or {}).items():
            self.add(name, substitute)

    @property
    def names(self) -> tuple[str, ...]:
        """The tools that have a substitute."""
        return tuple(self._known)

    def add(self, tool: str, substitute: Substitute | Callable[..., Any]) -> None:
        """Give a tool its substitute.

        Raises:
            ConfigError: if it has one already, or the substitute is none.
        """
        if tool in self._known:
            msg = f"a tool has one substitute, got another for {tool!r}; put both into one function"
            raise ConfigError(msg)
        self._known[tool] = Substitute.of(substitute)

    def run(self, call: ToolCall, step: Step[T], results: ToolResults[T]) -> Flow[T]:
        """The result of a call: from the tool's substitute where it can answer, else of the tool.

        Args:
            call: what is called.
            step: makes the call.
            results: how to read and make results.

        Raises:
            BaseException: what the call raised, if the substitute has no answer either.
        """
        substitute = self._known.get(call.name)
        if substitute is None:
            return (yield from step)
        result = substituted(substitute, call, results, self._bus)
        if result is not None:
            return self._marked(result, call, results, "its condition holds")
        try:
            return (yield from step)
        except Exception as error:
            if results.passes(error):
                raise
            result = substituted(substitute, call, results, self._bus, failed=True)
            if result is None:
                raise
            kind = error.kind if isinstance(error, ToolFailure) else "error"
            return self._marked(result, call, results, f"the tool gave no result ({kind})")

    def _marked(self, result: T, call: ToolCall, results: ToolResults[T], reason: str) -> T:
        ran = ToolRun(
            tool=call.name,
            call_id=call.id,
            outcome="substituted",
            reason=reason,
            substitute=reason,
        )
        if self._bus.listening:
            self._bus.emit(
                DecisionMade(
                    room="tools", outcome="substituted", reason=reason, details=ran.record()
                )
            )
        return results.mark(result, ran)


def substituted(
    substitute: Substitute,
    call: ToolCall,
    results: ToolResults[T],
    bus: EventBus,
    *,
    failed: bool = False,
) -> T | None:
    """What a substitute says; `None` if it is not to answer, or cannot.

    Args:
        substitute: the substitute.
        call: what is called.
        results: how to make a result of what it returns.
        bus: where its faults go.
        failed: whether the tool has failed for good.
    """
    if not (substitute.on_failure if failed else substitute.suits(call.arguments)):
        return None
    try:
        return results.of_value(call, substitute.function(**call.arguments))
    except Exception as error:
        bus.fault("tools.substitute", error)
        return None
