"""Injected time: seconds as floats for policies, nanoseconds as ints for the recorder."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from agentperf_core.errors import ConfigError

__all__ = ["SYSTEM_CLOCK", "Clock", "FakeClock", "SystemClock"]


class Clock(Protocol):
    """Where a component reads the time, so that a test can move it."""

    def monotonic_ns(self) -> int:
        """Nanoseconds of a clock that never goes back; only differences mean something."""
        ...

    def monotonic(self) -> float:
        """The same clock in seconds."""
        ...

    def time(self) -> float:
        """Seconds since the Unix epoch (wall clock)."""
        ...


class SystemClock:
    """The machine's own clocks."""

    # Bound as static methods: the recorder reads the time twice per span, and a Python frame
    # around perf_counter_ns would double its price.
    monotonic_ns = staticmethod(time.perf_counter_ns)
    monotonic = staticmethod(time.perf_counter)
    time = staticmethod(time.time)


SYSTEM_CLOCK: Clock = SystemClock()


class FakeClock:
    """A clock that moves only when told to; safe to share between threads.

    Example:
        >>> clock = FakeClock()
        >>> clock.advance(1.5)
        >>> clock.monotonic()
        1.5
    """

    def __init__(self, *, start: float = 0.0, epoch: float = 1_700_000_000.0) -> None:
        self._ns = round(start * 1e9)
        self._epoch = epoch
        self._lock = threading.Lock()

    def advance(self, seconds: float) -> None:
        """Move time forward.

        Args:
            seconds: how far, in seconds, zero or more.

        Raises:
            ConfigError: if `seconds` is negative.
        """
        if seconds < 0:
            msg = f"a clock cannot go back: advance() got {seconds!r}; pass seconds >= 0"
            raise ConfigError(msg)
        with self._lock:
            self._ns += round(seconds * 1e9)

    def monotonic_ns(self) -> int:
        """Nanoseconds advanced so far."""
        return self._ns

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._ns / 1e9

    def time(self) -> float:
        """The epoch given at construction plus what was advanced."""
        return self._epoch + self._ns / 1e9
