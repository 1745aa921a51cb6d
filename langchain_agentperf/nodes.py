"""A node cache for LangGraph that hits on message state, over any of the pack's stores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langgraph.cache.base import BaseCache, FullKey, Namespace

from agentperf_core.cache import CachePolicy, CacheRequest, Store, text_key
from agentperf_core.cache import ExactCache as CoreCache
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import ConfigError
from agentperf_core.flow import Flow, arun, run
from langchain_agentperf._node_keys import ids_given, message_state_key
from langchain_agentperf._writes import Writes, WritesCodec

__all__ = ["NodeCache", "message_state_key"]


class NodeCache(BaseCache[Any]):
    """Keeps what nodes have written, for `builder.compile(cache=...)`.

    Give it to the graph, and `CachePolicy(key_func=message_state_key)` to the nodes: LangGraph's
    own key holds message ids and never hits on message state. Against LangGraph's own caches:
    entries of another graph are not served, a store that fails is a miss, nothing stored can become
    another class than a message, messages come back with fresh ids and without usage, and async
    graphs use the store's async side.

    Not cached, with a fault that says so: writes of other objects than messages, `Send` and plain
    data; a node that gives back messages it was given instead of new ones; answers of a model that
    were cut off, refused or empty.

    Args:
        graph: the graph's name. LangGraph calls nodes that are callable objects all the same.
        store: where entries live; default a `MemoryStore` with the given clock.
        ttl_s: seconds an entry may be served where a `CachePolicy` of LangGraph says nothing;
            `None` for no limit.
        tenant: whose entries these are.
        version: a tag that you change when the code of the nodes changes.
        clock: where the time comes from.

    Raises:
        ConfigError: if `graph` is empty or `ttl_s` is not positive.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> from langgraph.graph import START, MessagesState, StateGraph
        >>> from langgraph.types import CachePolicy as NodePolicy
        >>> ran = []
        >>> def answer(state: MessagesState) -> dict:
        ...     ran.append("answer")
        ...     return {"messages": [AIMessage("Hello")]}
        >>> builder = StateGraph(MessagesState).add_edge(START, "answer")
        >>> policy = NodePolicy(key_func=message_state_key)
        >>> graph = builder.add_node("answer", answer, cache_policy=policy).compile(
        ...     cache=NodeCache(graph="hello"))
        >>> [graph.invoke({"messages": ["Hi"]})["messages"][-1].text for _ in range(2)], ran
        (['Hello', 'Hello'], ['answer'])
    """

    def __init__(
        self,
        *,
        graph: str,
        store: Store | None = None,
        ttl_s: float | None = None,
        tenant: str | None = None,
        version: str = "",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__()
        if not graph.strip():
            msg = f"graph names what the entries belong to, got {graph!r}; give the graph's name"
            raise ConfigError(msg)
        self._core = CoreCache(store, policy=CachePolicy(ttl_s=ttl_s), clock=clock)
        self._scope = (graph, "" if tenant is None else f"={tenant}", version)

    @property
    def core_cache(self) -> CoreCache:
        """The core cache in use: `stats()`, `invalidate(tag)`."""
        return self._core

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """What is stored of these. From LangGraph's `BaseCache`."""
        return run(self._get(keys))

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """Like `get`. From LangGraph's `BaseCache`."""
        return await arun(self._get(keys))

    def set(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """Store what nodes have written. From LangGraph's `BaseCache`."""
        run(self._set(pairs))

    async def aset(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """Like `set`. From LangGraph's `BaseCache`."""
        await arun(self._set(pairs))

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Forget these nodes, or all of this graph; other entries of the store stay.

        From LangGraph's `BaseCache`.
        """
        run(self._clear(namespaces))

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Like `clear`. From LangGraph's `BaseCache`."""
        await arun(self._clear(namespaces))

    def _get(self, keys: Sequence[FullKey]) -> Flow[dict[FullKey, Any]]:
        found: dict[FullKey, Any] = {}
        for key in keys:
            hit = yield from self._core.recall(self._request(key, None), WritesCodec())
            if hit is not None:
                found[key] = hit.answer
        return found

    def _set(self, pairs: Mapping[FullKey, tuple[Writes, int | None]]) -> Flow[None]:
        for key, (writes, ttl_s) in pairs.items():
            request = self._request(key, ttl_s)
            codec = WritesCodec(ids_given(key[1]))
            decision, raw = self._core.judge(request, codec, list(writes), None)
            if raw is not None:
                yield from self._core.put(request, raw)
            self._core.note(decision)

    def _clear(self, namespaces: Iterable[Namespace] | None) -> Flow[None]:
        for tag in [self._tag()] if namespaces is None else map(self._tag, namespaces):
            yield from self._core.invalidate(tag)

    def _request(self, key: FullKey, ttl_s: int | None) -> CacheRequest:
        namespace, hashed = key
        return CacheRequest(
            text_key("langgraph node", *self._scope, *namespace, hashed),
            tags=(self._tag(), self._tag(namespace)),
            policy=None if ttl_s is None else CachePolicy(ttl_s=ttl_s),
        )

    def _tag(self, namespace: Namespace | None = None) -> str:
        return text_key("langgraph nodes", *self._scope, *(namespace or ()))
