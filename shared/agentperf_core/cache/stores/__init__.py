"""Stores: where cached bytes live."""

from agentperf_core.cache.stores.base import Store, checked
from agentperf_core.cache.stores.memory import MemoryStore

__all__ = ["MemoryStore", "Store", "checked"]
