"""Forgetting on purpose: by tag, by entry, or everything."""

from __future__ import annotations

from agentperf_core.cache.stores import Store
from agentperf_core.cache.stores.base import listed
from agentperf_core.errors import ConfigError
from agentperf_core.flow import Flow, Step

__all__ = ["ENTRY_DIGITS", "Upkeep"]

ENTRY_DIGITS = 16  # digits of a key that a decision gives as its `entry`


class Upkeep:
    """What a person or a job does to a cache; here, unlike in calls, a store may raise.

    Args:
        store: where answers live.

    Attributes:
        store: where answers live.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def invalidate(self, tag: str) -> Flow[int]:
        """Forget every answer with a tag; how many there were.

        Raises:
            Exception: whatever the store raises; whoever invalidates wants to know that it failed.
        """
        return (yield from Step(self.store.invalidate, self.store.ainvalidate, tag))

    def report_bad_hit(self, entry: str) -> Flow[int]:
        """An answer that was served was wrong: forget it; how many there were.

        Args:
            entry: the `entry` of its decision.

        Raises:
            ConfigError: if it is none.
            Exception: whatever the store raises.
        """
        if len(entry) < ENTRY_DIGITS:
            msg = (
                f"entry must be the entry of a CacheDecision, got {entry!r}; give all "
                f"{ENTRY_DIGITS} digits"
            )
            raise ConfigError(msg)
        deleted = 0
        for key in (yield from listed(self.store, entry)):
            deleted += yield from Step(self.store.delete, self.store.adelete, key)
        return deleted

    def clear(self) -> Flow[int]:
        """Forget every answer; how many there were.

        Raises:
            Exception: whatever the store raises; whoever clears wants to know that it failed.
        """
        return (yield from Step(self.store.clear, self.store.aclear))
