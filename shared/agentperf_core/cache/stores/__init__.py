"""Stores: where cached bytes live."""

from agentperf_core.cache.stores.base import LeaseStore, Store, checked, jittered, lease_store
from agentperf_core.cache.stores.guarded import GuardedStore, guarded
from agentperf_core.cache.stores.memory import MemoryStore
from agentperf_core.cache.stores.tiered import TieredStore

__all__ = [
    "GuardedStore",
    "LeaseStore",
    "MemoryStore",
    "Store",
    "TieredStore",
    "checked",
    "guarded",
    "jittered",
    "lease_store",
]
