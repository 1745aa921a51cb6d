"""The deadline of a run: one moment that every wait below it is clamped to.

It travels in a context variable, through tasks and through threads that copy their context.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import overload

from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import require_positive

__all__ = ["Deadline", "clamped", "current_deadline", "deadline"]


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment after which nothing is worth waiting for.

    Attributes:
        at: the moment, in seconds of the clock's `monotonic()`.
        clock: whose seconds these are.
    """

    at: float
    clock: Clock = SYSTEM_CLOCK

    def left_s(self) -> float:
        """Seconds that are left, never less than zero."""
        return max(self.at - self.clock.monotonic(), 0.0)


_current: ContextVar[Deadline | None] = ContextVar("agentperf_deadline", default=None)


def current_deadline() -> Deadline | None:
    """The deadline of the run that asks; `None` without."""
    return _current.get()


@contextmanager
def deadline(seconds: float, *, clock: Clock = SYSTEM_CLOCK) -> Generator[Deadline]:
    """Give what runs inside the block a deadline; an earlier one around it stays in force.

    Args:
        seconds: from now.
        clock: where the time comes from.

    Raises:
        ConfigError: if `seconds` is not above zero.

    Example:
        >>> with deadline(30) as until:
        ...     until.left_s() <= 30
        True
    """
    require_positive(seconds=seconds)
    outer = _current.get()
    found = Deadline(clock.monotonic() + seconds, clock)
    if outer is not None and outer.left_s() < seconds:
        found = outer
    token = _current.set(found)
    try:
        yield found
    finally:
        _current.reset(token)


@overload
def clamped(seconds: float) -> float: ...


@overload
def clamped(seconds: None) -> float | None: ...


def clamped(seconds: float | None) -> float | None:
    """A time-out in seconds, shortened to what the current deadline leaves; `None` for no limit.

    Example:
        >>> clamped(None) is None
        True
    """
    found = _current.get()
    if found is None:
        return seconds
    left = found.left_s()
    return left if seconds is None else min(seconds, left)
