"""The exact cache behind LangChain's own interface, over one store or two."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.outputs import Generation

from agentperf_core.cache import CachePolicy, CacheRequest, MemoryStore, Store
from agentperf_core.cache import ExactCache as CoreCache
from agentperf_core.cache.stores.tiered import TieredStore
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.flow import Flow
from langchain_agentperf._generations import GENERATIONS
from langchain_agentperf.caches._base import ModelCache

__all__ = ["ExactCache", "TieredCache"]


class ExactCache(ModelCache):
    """A cache for `set_llm_cache(...)` and `model.cache` that keeps what it is told apart.

    Against LangChain's own: a hit has a fresh message id, is a copy of its own, says that it is a
    hit, and adds no tokens to any total; ids, usage and metadata in the history do not change the
    key; entries expire, the least recently used goes first; answers that were cut off or refused
    are not kept; a store that fails is a miss, not an error.

    What no `BaseCache` can do, because of what LangChain hands to it (`ResponseCacheMiddleware`
    does all of it for agents):

    - be fast: LangChain serialises the whole history before it asks (2.6 ms at 100 messages);
    - notice `model.temperature = 0.9` or `model.model_copy(update=...)`: the `llm_string` is
      computed once per model and copied along;
    - match tools in another order, or keep two schema classes of one name apart: the `llm_string`
      holds their `str()`;
    - see `stream()` and `astream()`: they never ask;
    - join equal calls in flight: a lookup does not say whether an update will follow.

    Args:
        store: where answers live; default a `MemoryStore` with the given clock.
        ttl_s: seconds an answer may be served; `None` for no limit.
        tenant: whose answers these are. LangChain leaves API keys out of the key, so caches of
            different tenants on one store need this.
        version: a tag that you change when prompts or data behind the answers change.
        clock: where the time comes from.

    Raises:
        ConfigError: if `ttl_s` is not positive.

    Example:
        >>> from langchain_core.outputs import Generation
        >>> cache = ExactCache(ttl_s=60)
        >>> cache.update("What is 6 * 7?", "model", [Generation(text="42")])
        >>> cache.lookup("What is 6 * 7?", "model")
        [Generation(text='42')]
    """

    def __init__(
        self,
        *,
        store: Store | None = None,
        ttl_s: float | None = 3600.0,
        tenant: str | None = None,
        version: str = "",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        # LangChain caches whatever model it was set for, so temperature is the caller's choice.
        policy = CachePolicy(ttl_s=ttl_s, sampled=True)
        core = CoreCache(store, policy=policy, clock=clock)
        super().__init__(core, tenant=tenant, version=version)

    def _lookup(self, request: CacheRequest) -> Flow[list[Generation] | None]:
        hit = yield from self._core.recall(request, GENERATIONS)
        return hit.answer if hit is not None else None

    def _update(self, request: CacheRequest, answer: Sequence[Generation]) -> Flow[None]:
        # LangChain made the call before it came here, so nobody knows how long it took.
        decision, raw = self._core.judge(request, GENERATIONS, list(answer), None)
        if raw is not None:
            yield from self._core.put(request, raw)
        self._core.note(decision)


class TieredCache(ExactCache):
    """An `ExactCache` with a store in this process in front of one that is shared or lasts.

    A hit in front costs microseconds instead of a round trip. It may be `l1_ttl_s` seconds behind
    what other processes have replaced or forgotten meanwhile.

    Args:
        store: the shared or lasting store, such as a `RedisStore` or `SQLiteStore`.
        front: the store before it; default a `MemoryStore` with the given clock.
        l1_ttl_s: seconds that the store in front may serve without asking.
        ttl_s: seconds an answer may be served; `None` for no limit.
        tenant: see `ExactCache`.
        version: see `ExactCache`.
        clock: where the time comes from.

    Raises:
        ConfigError: if `front` is not in this process, or a time not positive.

    Example:
        >>> from langchain_core.outputs import Generation
        >>> shared = MemoryStore()  # stands for Redis or SQLite
        >>> here, there = TieredCache(shared), TieredCache(shared)
        >>> here.update("What is 6 * 7?", "model", [Generation(text="42")])
        >>> there.lookup("What is 6 * 7?", "model")
        [Generation(text='42')]
    """

    def __init__(
        self,
        store: Store,
        *,
        front: Store | None = None,
        l1_ttl_s: float = 30.0,
        ttl_s: float | None = 3600.0,
        tenant: str | None = None,
        version: str = "",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if front is None:
            front = MemoryStore(clock=clock)
        tiers = TieredStore(front, store, l1_ttl_s=l1_ttl_s, clock=clock)
        super().__init__(store=tiers, ttl_s=ttl_s, tenant=tenant, version=version, clock=clock)
