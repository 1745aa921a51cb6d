"""A circuit breaker: stops asking a part that fails, and tries it again after a while."""

from __future__ import annotations

import threading

from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import require_positive

__all__ = ["Breaker"]


class Breaker:
    """Counts failures in a row; safe under threads.

    Closed, it lets all calls through. After `failures` of them failed in a row it is open for
    `open_s` seconds; then one call is let through, and the next after another `open_s`, until one
    succeeds. Nobody has to give a trial back: one that was cancelled, or never ends, costs only
    that time.

    Args:
        failures: how many in a row open it.
        open_s: seconds between trials while it is open.
        clock: where the time comes from.

    Raises:
        ConfigError: if a number is not positive.

    Example:
        >>> breaker = Breaker(failures=1, open_s=5.0)
        >>> breaker.failed()
        True
        >>> breaker.lets_through()
        False
    """

    def __init__(
        self, *, failures: int = 3, open_s: float = 5.0, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        require_positive(failures=failures, open_s=open_s)
        self._most = failures
        self._open_s = open_s
        self._clock = clock
        self._in_a_row = 0
        self._next_trial: float | None = None
        self._lock = threading.RLock()  # re-entrant for the garbage collector, as in the stores

    @property
    def is_open(self) -> bool:
        """Whether calls are turned away, but for trials."""
        return self._next_trial is not None

    def lets_through(self) -> bool:
        """Whether this call may be made; of many that ask at once, one is the trial."""
        if not self.is_open:  # the usual case, without the lock
            return True
        with self._lock:
            trial, now = self._next_trial, self._clock.monotonic()
            if trial is not None and now < trial:
                return False
            if trial is not None:
                self._next_trial = now + self._open_s
            return True

    def succeeded(self) -> bool:
        """Note a success; whether it closed the breaker."""
        if not self._in_a_row:  # the usual case, without the lock
            return False
        with self._lock:
            was_open = self.is_open
            self._in_a_row = 0
            self._next_trial = None
            return was_open

    def failed(self) -> bool:
        """Note a failure; whether it opened the breaker."""
        with self._lock:
            was_open = self.is_open
            self._in_a_row += 1
            if self._in_a_row >= self._most:
                self._next_trial = self._clock.monotonic() + self._open_s
            return self.is_open and not was_open
