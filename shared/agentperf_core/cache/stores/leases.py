"""Leases within one process: who makes the call that others wait for."""

from __future__ import annotations

import threading

from agentperf_core.clock import Clock

__all__ = ["Leases"]


class Leases:
    """Who leads for which key, until they stop or their time is over; safe under threads.

    Args:
        clock: where the time comes from.

    Example:
        >>> from agentperf_core.clock import FakeClock
        >>> leases = Leases(FakeClock())
        >>> leases.try_lead("key", "me", 10.0), leases.try_lead("key", "you", 10.0)
        (True, False)
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[str, tuple[str, float]] = {}
        self._crowded = 64
        self._lock = threading.RLock()  # re-entrant for the garbage collector, as in the stores

    def __len__(self) -> int:
        return len(self._held)

    def try_lead(self, key: str, holder: str, ttl_s: float) -> bool:
        """Become the leader for a key, unless somebody is."""
        now = self._clock.monotonic()
        with self._lock:
            held = self._held.get(key)
            if held is not None and now < held[1]:
                return False
            self._held[key] = (holder, now + ttl_s)
            if len(self._held) > self._crowded:
                # Leaders that died never stop: their leases would pile up.
                self._held = {name: held for name, held in self._held.items() if now < held[1]}
                self._crowded = 2 * len(self._held) + 64
            return True

    def keep_leading(self, key: str, holder: str, ttl_s: float) -> bool:
        """Let a lease go on, if `holder` still has it."""
        now = self._clock.monotonic()
        with self._lock:
            held = self._held.get(key)
            if held is None or held[0] != holder or now >= held[1]:
                return False
            self._held[key] = (holder, now + ttl_s)
            return True

    def stop_leading(self, key: str, holder: str) -> None:
        """End a lease, if `holder` still has it."""
        with self._lock:
            held = self._held.get(key)
            if held is not None and held[0] == holder:
                del self._held[key]
