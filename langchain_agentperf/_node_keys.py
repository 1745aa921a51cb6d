"""Keys of LangGraph nodes: what a node is given, without what is drawn anew in every run."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast
from uuid import uuid4

import xxhash
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from pydantic import BaseModel

from agentperf_core.cache import canonical
from agentperf_core.events import BUS
from langchain_agentperf._convert import message_parts

__all__ = ["TenantKeys", "ids_given", "message_state_key"]


def message_state_key(*args: Any, **kwargs: Any) -> str:
    """A key of what a node is given, for `CachePolicy(key_func=message_state_key)` of LangGraph.

    LangGraph's own key pickles the state with its message ids, which are drawn anew in every run,
    so a node on message state never hits. Left out here is what `CachedChatModel` leaves out: ids,
    usage, response metadata. Ids of tool calls that have been answered are numbered by their order;
    open ones stay, because a result that the node makes must carry them.

    It is a key of the arguments alone: what a node reads from `runtime.context` or the config is
    not in it, see `NodeCache`.

    What has no plain form gets a key of its own every time, and so never hits.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> one = message_state_key({"messages": [HumanMessage("Hi", id="1")], "user": "ann"})
        >>> two = message_state_key({"user": "ann", "messages": [HumanMessage("Hi", id="2")]})
        >>> one == two
        True
    """
    return _key(args, kwargs, ())


class TenantKeys:
    """Keys like those of `message_state_key`, with whose they are in them.

    LangGraph makes keys where the graph was called, but stores what a node has written from a
    thread that knows nothing of the caller. So the tenant is asked with the key, and kept with it.

    Args:
        tenant: says whose a call is.
    """

    def __init__(self, tenant: Callable[[], str | None]) -> None:
        self._tenant = tenant
        self._known = _Given()

    def key(self, *args: Any, **kwargs: Any) -> str:
        """The key of a node's input; one that never hits for a caller without a tenant."""
        tenant = self.ask()
        if tenant is None:
            return uuid4().hex
        key = _key(args, kwargs, (tenant,))
        self._known.add(key, frozenset({tenant}))
        return key

    def ask(self) -> str | None:
        """Whose call this is; `None` if nobody knows."""
        try:
            tenant: object = self._tenant()
        except Exception as error:
            BUS.fault("cache.key", error)
            return None
        return tenant if isinstance(tenant, str) else None

    def tenant_of(self, key: str) -> str | None:
        """Whose key this is, as LangGraph hands it to a cache; `None` if it was not made here."""
        return next(iter(self._known.get(key)), None)


def _key(args: Any, kwargs: Any, whose: Sequence[str]) -> str:
    view = _View()
    try:
        view.look(args)
        view.look(kwargs)
        tree = canonical([view.plain(args), view.plain(kwargs), *whose])
    except Exception as error:
        BUS.fault("cache.key", error)
        return uuid4().hex
    key = hashlib.sha256(tree).hexdigest()
    _given.add(key, view.ids)
    return key


def ids_given(key: str) -> Collection[str]:
    """Ids of the messages that nodes with this key were given, as far as they are known here.

    Args:
        key: as LangGraph hands it to a cache, which is a hash of what the key function returned.
    """
    return _given.get(key)


class _Given:
    """The latest inputs of nodes; bounded, since only a node that is running is asked for."""

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._ids: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._lock = threading.RLock()

    def add(self, key: str, ids: frozenset[str]) -> None:
        hashed = xxhash.xxh3_128_hexdigest(key.encode())
        with self._lock:
            # Several runs with other ids may be at this node at once.
            self._ids[hashed] = self._ids.pop(hashed, frozenset()) | ids
            if len(self._ids[hashed]) > self._most:
                self._ids[hashed] = ids
            if len(self._ids) > self._most:
                self._ids.popitem(last=False)

    def get(self, key: str) -> frozenset[str]:
        with self._lock:
            return self._ids.get(key, frozenset())


_given = _Given()


class _View:
    """One input: which of its tool calls are answered, and its plain form."""

    def __init__(self) -> None:
        self.ids: frozenset[str] = frozenset()
        self._answered: set[str] = set()
        self._numbers: dict[str, int] = {}

    def look(self, value: Any) -> None:
        """Note ids of messages and which tool calls have their answer."""
        for message in _messages(value):
            if message.id is not None:
                self.ids |= {message.id}
            if isinstance(message, ToolMessage):
                self._answered.add(message.tool_call_id)

    def plain(self, value: Any) -> Any:
        """The value for `canonical`, with messages as what a model would see of them."""
        if isinstance(value, BaseMessage):
            return self._message(value)
        if isinstance(value, Mapping):
            items = cast("Mapping[Any, Any]", value)
            return {key: self.plain(item) for key, item in items.items()}
        if isinstance(value, list | tuple):
            return [self.plain(item) for item in cast("list[Any]", value)]
        inside = _inside(value)
        return value if inside is None else [type(value).__qualname__, self.plain(inside)]

    def _message(self, message: BaseMessage) -> Any:
        parts = message_parts(message)
        content = parts.content
        # What the model only sees as text, the node may look at itself.
        own = message.artifact if isinstance(message, ToolMessage) else None
        return {
            "message": [
                parts.role,
                content if isinstance(content, str) else content.decode(),
                parts.name,
                parts.calls.decode(),
                parts.extra.decode(),
                [self._number(call) for call in parts.call_ids],
                None if parts.answers is None else self._number(parts.answers),
            ],
            "artifact": self.plain(own),
            "invalid": message.invalid_tool_calls if isinstance(message, AIMessage) else [],
        }

    def _number(self, call: str) -> Any:
        return (
            self._numbers.setdefault(call, len(self._numbers)) if call in self._answered else call
        )


def _inside(value: Any) -> Mapping[str, Any] | None:
    """The fields of a state that is an object."""
    if isinstance(value, BaseModel):
        return {**value.__dict__, **(value.__pydantic_extra__ or {})}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return None


def _messages(value: Any) -> list[BaseMessage]:
    if isinstance(value, BaseMessage):
        return [value]
    if isinstance(value, Mapping):
        items = list(cast("Mapping[Any, Any]", value).values())
    elif isinstance(value, list | tuple):
        items = list(cast("list[Any]", value))
    else:
        inside = _inside(value)
        items = [] if inside is None else list(inside.values())
    return [message for item in items for message in _messages(item)]
