"""The standard suites of langchain-tests on every cache behind LangChain's interface, per store."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from langchain_core.caches import BaseCache
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite

from agentperf_core.cache import MemoryStore, Store
from agentperf_core.cache.stores.guarded import GuardedStore
from agentperf_core.cache.stores.redis import RedisStore
from agentperf_core.cache.stores.sqlite import SQLiteStore
from agentperf_core.cache.stores.tiered import TieredStore
from langchain_agentperf import ExactCache, SemanticCache, TieredCache

STORES = ("memory", "sqlite", "redis", "tiered")
BUSY_S = 10.0  # a busy machine is no reason for a test to fail
CACHES = ("exact", "semantic", "tiered cache")


def vectors(texts: Sequence[str]) -> Any:
    """An encoder in which every text is on its own."""
    seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) for text in texts]
    return np.stack([np.random.default_rng(seed).normal(size=16) for seed in seeds])


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path, namespace: str) -> Any:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "redis":
        url = request.getfixturevalue("plain_server").url
        remote = RedisStore(url=url, namespace=namespace, timeout_s=BUSY_S)
        request.addfinalizer(remote.close)
        return GuardedStore(remote, budget_s=BUSY_S)
    made = SQLiteStore(tmp_path / "answers.db")
    request.addfinalizer(made.close)  # noqa: PT021 - fixtures that end in the order of use
    return made if request.param == "sqlite" else TieredStore(MemoryStore(), made)


@pytest.fixture(params=CACHES)
def any_cache(request: pytest.FixtureRequest, store: Store) -> BaseCache:
    if request.param == "exact":
        return ExactCache(store=store)
    if request.param == "semantic":
        made = SemanticCache(vectors, store=store)
        request.addfinalizer(made.core_cache.drain)  # noqa: PT021 - fixtures that end in the order of use
        return made
    return TieredCache(store)


class TestSync(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, any_cache: BaseCache) -> BaseCache:
        return any_cache


class TestAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, any_cache: BaseCache, store: Any) -> AsyncIterator[BaseCache]:
        yield any_cache
        if isinstance(store, GuardedStore):
            await cast("RedisStore", store.inner).aclose()
