"""Ready substitutes: what a process knows by itself and need not ask a tool for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.toolpolicy import Substitute
from agentperf_core.tools.arithmetic import evaluate

__all__ = ["arithmetic", "date_time", "table"]


def date_time(*, form: str | None = None, clock: Clock = SYSTEM_CLOCK) -> Substitute:
    """The date and time, for a call that asks for no time zone, place or day: without arguments.

    Args:
        form: as for `strftime`; default ISO 8601 with the offset of this machine's time zone.
        clock: where the time comes from.

    Example:
        >>> from agentperf_core.clock import FakeClock
        >>> date_time(form="%Y", clock=FakeClock(epoch=1e9)).function(timezone=None)
        '2001'
    """

    def now(**_: Any) -> str:
        found = datetime.fromtimestamp(clock.time(), UTC).astimezone()
        return found.isoformat(timespec="seconds") if form is None else found.strftime(form)

    return Substitute(now, when=lambda arguments: not _given(arguments), on_failure=False)


def arithmetic(argument: str = "expression") -> Substitute:
    """Small arithmetic: numbers, `+ - * / // % **` and parentheses, at most 200 characters.

    Args:
        argument: name of the tool's argument.

    Example:
        >>> small = arithmetic()
        >>> small.function(expression="2 + 3 * 4"), small.suits({"expression": "sqrt(2)"})
        (14, False)
    """

    def works(arguments: Mapping[str, Any]) -> bool:
        evaluate(arguments[argument])
        return _given(arguments) == {argument}

    def value(**arguments: Any) -> int | float:
        return evaluate(arguments[argument])

    return Substitute(value, when=works, on_failure=False)


def table(values: Mapping[Any, Any], argument: str) -> Substitute:
    """A look-up in a local table, for the keys that are in it.

    Args:
        values: what the tool would answer, by the value of its argument; may change at any time.
        argument: name of the tool's argument.

    Example:
        >>> capitals = table({"France": "Paris"}, "country")
        >>> capitals.function(country="France"), capitals.suits({"country": "Atlantis"})
        ('Paris', False)
    """

    def there(arguments: Mapping[str, Any]) -> bool:
        return _given(arguments) == {argument} and arguments[argument] in values

    def value(**arguments: Any) -> Any:
        return values[arguments[argument]]

    return Substitute(value, when=there, on_failure=False)


def _given(arguments: Mapping[str, Any]) -> set[str]:
    """The arguments that say anything; another one than expected could change the answer."""
    return {name for name, value in arguments.items() if value not in (None, "")}
