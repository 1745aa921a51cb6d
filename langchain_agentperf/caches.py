"""The exact cache behind LangChain's own interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson
from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.outputs import Generation

from agentperf_core.cache import CachePolicy, CacheRequest, Store, Unkeyable, text_key
from agentperf_core.cache import ExactCache as CoreCache
from agentperf_core.cache.keys import request_key
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.flow import Flow, arun, run
from langchain_agentperf._convert import parts_of_fields
from langchain_agentperf._generations import GENERATIONS

__all__ = ["ExactCache"]


class ExactCache(BaseCache):
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
        self._core = CoreCache(store, policy=policy, clock=clock)
        self._tenant = tenant
        self._version = version

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The stored generations as a new list, or `None`. From `BaseCache`."""
        return run(self._lookup(prompt, llm_string))

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """Like `lookup`. From `BaseCache`."""
        return await arun(self._lookup(prompt, llm_string))

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Store generations if the policy takes them. From `BaseCache`."""
        run(self._update(prompt, llm_string, return_val))

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Like `update`. From `BaseCache`."""
        await arun(self._update(prompt, llm_string, return_val))

    def clear(self, **_: Any) -> None:
        """Forget everything in the store. From `BaseCache`.

        Raises:
            Exception: whatever the store raises; whoever clears wants to know that it failed.
        """
        self._core.store.clear()

    async def aclear(self, **_: Any) -> None:
        """Like `clear`. From `BaseCache`."""
        await self._core.store.aclear()

    def _lookup(self, prompt: str, llm_string: str) -> Flow[list[Generation] | None]:
        hit = yield from self._core.recall(self._key(prompt, llm_string), GENERATIONS)
        return hit.answer if hit is not None else None

    def _update(self, prompt: str, llm_string: str, answer: Sequence[Generation]) -> Flow[None]:
        key = self._key(prompt, llm_string)
        # LangChain made the call before it came here, so nobody knows how long it took.
        decision, raw = self._core.judge(CacheRequest(key), GENERATIONS, list(answer), None)
        if raw is not None:
            yield from self._core.put(key, raw)
        self._core.note(decision)

    def _key(self, prompt: str, llm_string: str) -> str:
        fields = _messages(prompt)
        if fields is not None:
            try:
                return request_key(
                    model={"llm": llm_string},
                    messages=[parts_of_fields(message) for message in fields],
                    tenant=self._tenant,
                    version=self._version,
                )
            except (Unkeyable, AttributeError, KeyError, TypeError, ValueError):
                pass  # not the JSON of messages after all
        tenant = "" if self._tenant is None else f"={self._tenant}"
        return text_key(prompt, llm_string, tenant, self._version)


def _messages(prompt: str) -> list[Mapping[str, Any]] | None:
    """The fields of the messages in LangChain's JSON form; `None` for any other prompt."""
    if not prompt.startswith("["):
        return None
    try:
        items = cast("list[Mapping[str, Any]]", orjson.loads(prompt))
        built = all(item["type"] == "constructor" for item in items)
        return [item["kwargs"] for item in items] if built else None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
