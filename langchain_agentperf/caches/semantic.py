"""The semantic cache behind LangChain's own interface."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, cast

from langchain_core.outputs import Generation

from agentperf_core.cache import CachePolicy, CacheRequest, Hit, Lease, Store
from agentperf_core.cache.semantic.cache import Mode
from agentperf_core.cache.semantic.cache import SemanticCache as CoreCache
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.events import BUS
from agentperf_core.flow import Flow
from langchain_agentperf._generations import GENERATIONS
from langchain_agentperf.caches._base import ModelCache

__all__ = ["SemanticCache"]

_MOST_ASKED = 1024


class SemanticCache(ModelCache):
    """A cache for `set_llm_cache(...)` that also serves questions asked in other words.

    LangChain hands its caches the whole conversation as one JSON text. Other semantic caches embed
    that, and the envelope makes unrelated questions look alike. Here it is read: the last user turn
    is compared by meaning, everything else (system prompt, history, model, tools, parameters,
    tenant) must be equal, and an error budget decides instead of a distance.

    What no `BaseCache` can do is listed at `ExactCache`; here also: begin the model call while the
    question is looked up, so every miss waits for the encoder. `ResponseCacheMiddleware(cache=...)`
    and `CachedChatModel(cache=...)` with a core `SemanticCache` do not.

    Args:
        embeddings: an embedding model of LangChain, a sentence-transformers model or its name, or
            any callable from texts to vectors.
        store: where answers live; default a `MemoryStore` with the given clock.
        ttl_s: seconds an answer may be served; `None` for no limit.
        max_error: wrong answers that may be served, as a share of all requests.
        mode: `"shadow"` serves only equal requests and measures what else would have been served.
        tenant: whose answers these are.
        version: a tag that you change when prompts or data behind the answers change.
        clock: where the time comes from.
        **settings: further settings of the core `SemanticCache`, such as `guards` or `agreement`.

    Raises:
        ConfigError: if a setting is out of its range.
        MissingExtra: if numpy is not installed.

    Example:
        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> from langchain_core.outputs import Generation
        >>> cache = SemanticCache(DeterministicFakeEmbedding(size=8))
        >>> cache.update("What is six times seven?", "model", [Generation(text="42")])
        >>> cache.lookup("what is six times seven", "model")
        [Generation(text='42')]
    """

    _core: CoreCache

    def __init__(
        self,
        embeddings: object,
        *,
        store: Store | None = None,
        ttl_s: float | None = 3600.0,
        max_error: float = 0.005,
        mode: Mode = "serve",
        tenant: str | None = None,
        version: str = "",
        clock: Clock = SYSTEM_CLOCK,
        **settings: Any,
    ) -> None:
        core = CoreCache(
            embeddings,
            store=store,
            policy=CachePolicy(ttl_s=ttl_s, sampled=True, normalise=True),
            max_error=max_error,
            mode=mode,
            clock=clock,
            **settings,
        )
        super().__init__(core, tenant=tenant, version=version)
        self._asked: OrderedDict[str, Lease[list[Generation]]] = OrderedDict()
        self._lock = threading.RLock()

    def _lookup(self, request: CacheRequest) -> Flow[list[Generation] | None]:
        try:
            got = yield from self._core.acquire(request, GENERATIONS)
        except Exception as error:  # that of an equal call elsewhere, which this one waited for
            BUS.fault("cache.lookup", error)
            return None
        if isinstance(got, Hit):
            return got.answer
        # Whether an update will follow, nobody knows: nobody may wait for it.
        got.fail(GeneratorExit())
        if request.key is not None:
            self._remember(request.key, got)
        return None

    def _update(self, request: CacheRequest, answer: Sequence[Generation]) -> Flow[None]:
        lease = self._recall(request.key)
        if lease is None:
            started = cast("Any", None)  # LangChain made the call: nobody knows how long it took
            lease = Lease(self._core, GENERATIONS, request, started=started)
        yield from lease.finish(list(answer))

    def _remember(self, key: str, lease: Lease[list[Generation]]) -> None:
        """What the look-up has found, for learning from the answer, and when it was."""
        with self._lock:
            self._asked[key] = lease
            if len(self._asked) > _MOST_ASKED:
                self._asked.popitem(last=False)

    def _recall(self, key: str | None) -> Lease[list[Generation]] | None:
        with self._lock:
            return self._asked.pop(key, None) if key is not None else None
