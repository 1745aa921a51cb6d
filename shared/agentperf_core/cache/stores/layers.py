"""What is inside the stores that wrap another one."""

from __future__ import annotations

from collections.abc import Iterator

from agentperf_core.cache.stores.base import Store
from agentperf_core.cache.stores.guard import BUDGET_S
from agentperf_core.cache.stores.guarded import GuardedStore
from agentperf_core.cache.stores.tiered import TieredStore

__all__ = ["budget_of", "innermost"]


def innermost(store: Store) -> Store:
    """The store that outlives the process, without our own wrappers.

    A wrapper of somebody else may keep other keys than it is asked for, and stays.
    """
    *_, last = _layers(store)
    return last


def budget_of(store: Store) -> float:
    """Seconds that a call of the store may take, as its guard has it, or will have it.

    Example:
        >>> from agentperf_core.cache import MemoryStore
        >>> budget_of(GuardedStore(MemoryStore(), budget_s=0.2)), budget_of(MemoryStore())
        (0.2, 0.05)
    """
    guards = (layer for layer in _layers(store) if isinstance(layer, GuardedStore))
    return next((guard.budget_s for guard in guards), BUDGET_S)


def _layers(store: Store) -> Iterator[Store]:
    yield store
    while isinstance(store, GuardedStore | TieredStore):
        store = store.inner
        yield store
