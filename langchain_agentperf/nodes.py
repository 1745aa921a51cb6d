"""A node cache for LangGraph that hits on message state, over any of the pack's stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from langgraph.cache.base import BaseCache, FullKey, Namespace

from agentperf_core.cache import CachePolicy, CacheRequest, Store, check_tenant, text_key
from agentperf_core.cache import ExactCache as CoreCache
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import ConfigError
from agentperf_core.flow import Flow, arun, run
from langchain_agentperf._node_keys import TenantKeys, ids_given, message_state_key
from langchain_agentperf._writes import Writes, WritesCodec

__all__ = ["NodeCache", "message_state_key"]


class NodeCache(BaseCache[Any]):
    """Keeps what nodes have written, for `builder.compile(cache=...)`.

    Give it to the graph, and `CachePolicy(key_func=message_state_key)` to the nodes: LangGraph's
    own key holds message ids and never hits on message state. Against LangGraph's own caches:
    entries of another graph are not served, a store that fails is a miss, nothing stored can become
    another class than a message, messages come back with fresh ids and without usage, and async
    graphs use the store's async side. An id that the node has chosen itself, to write a message
    over an earlier one, stays.

    The key holds the state that the node is given and nothing else: neither `runtime.context` nor
    the `configurable` of the config is in it. For a node that reads there whose run it is, give a
    function as `tenant` and `state_key` of this cache as the nodes' `key_func`.

    Not cached, with a fault that says so: writes of other objects than messages, `Send` and plain
    data; a node that gives back messages it was given instead of new ones; answers of a model that
    were cut off, refused or empty.

    Args:
        graph: the graph's name. LangGraph calls nodes that are callable objects all the same.
        store: where entries live; default a `MemoryStore` with the given clock.
        ttl_s: seconds an entry may be served where a `CachePolicy` of LangGraph says nothing;
            `None` for no limit.
        tenant: whose entries these are: a name, or a function that `state_key` asks where the graph
            is called. Then nothing is kept under other keys, nor where it gives no name.
        version: a tag that you change when the code of the nodes changes.
        clock: where the time comes from.

    Raises:
        ConfigError: if `graph` is empty, `ttl_s` is not positive, or `tenant` is something else.

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
        tenant: str | Callable[[], str | None] | None = None,
        version: str = "",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__()
        if not isinstance(cast("object", graph), str) or not graph.strip():
            msg = f"graph names what the entries belong to, got {graph!r}; give the graph's name"
            raise ConfigError(msg)
        check_tenant(tenant, asks="a function", hint="give its str()")
        self._core = CoreCache(store, policy=CachePolicy(ttl_s=ttl_s), clock=clock)
        self._graph, self._version = graph, version
        self._tenant = tenant if not callable(tenant) else None
        self._keys = TenantKeys(tenant) if callable(tenant) else None

    @property
    def core_cache(self) -> CoreCache:
        """The core cache in use: `stats()`, `invalidate(tag)`."""
        return self._core

    def state_key(self, *args: Any, **kwargs: Any) -> str:
        """`message_state_key` with the tenant in it, for `CachePolicy(key_func=cache.state_key)`.

        LangGraph stores what a node has written from threads that know nothing of the caller, so
        the tenant has to be asked here.
        """
        return (self._keys.key if self._keys is not None else message_state_key)(*args, **kwargs)

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
        tenant = self._tenant if self._keys is None else self._keys.ask()
        if self._keys is not None and tenant is None:
            msg = "only a tenant's entries can be cleared, got None of tenant(); give it a name"
            raise ConfigError(msg)
        for namespace in [()] if namespaces is None else namespaces:
            yield from self._core.invalidate(self._tag(tenant, namespace))

    def _request(self, key: FullKey, ttl_s: int | None) -> CacheRequest:
        namespace, hashed = key
        tenant = self._tenant if self._keys is None else self._keys.tenant_of(hashed)
        if self._keys is not None and tenant is None:
            return CacheRequest(None, "it has no tenant, or its key is not made by state_key")
        return CacheRequest(
            text_key("langgraph node", *self._scope(tenant), *namespace, hashed),
            tags=(self._tag(tenant, ()), self._tag(tenant, namespace)),
            policy=None if ttl_s is None else CachePolicy(ttl_s=ttl_s),
        )

    def _tag(self, tenant: str | None, namespace: Namespace) -> str:
        return text_key("langgraph nodes", *self._scope(tenant), *namespace)

    def _scope(self, tenant: str | None) -> Sequence[str]:
        return self._graph, "" if tenant is None else f"={tenant}", self._version
