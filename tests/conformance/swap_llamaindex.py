r"""A pytest plug-in: llama-index-core's own tests, with our classes in the place of theirs.

Nothing of theirs is kept here. In a checkout of their repository, in `llama-index-core`:

    PYTHONPATH=$PACK/tests/conformance SWAP=llm python -m pytest -p swap_llamaindex \
        -o asyncio_mode=auto -W ignore tests/agent tests/llms tests/chat_engine

`SWAP` says what is swapped: `llm` puts a `CachedLLM` around every model that a test builds,
`replay` asks it twice, so that the test sees the stored answer, `tool` puts a `CachedTool` around
every `FunctionTool`, `managed` puts a `ManagedTool` there, `agents` makes every `FunctionAgent` and
`AgentWorkflow` a parallel one, `kv` has an `EmbeddingCacheStore` for every key-value store, `chat`
an `AgentPerfChatStore` for every SQL chat store (in memory, or at `SWAP_ADDRESS`), `none` is their
own run. The outcome is in `benchmarks/RESULTS.md`.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial
from typing import Any, cast
from uuid import uuid4

import llama_index.core.agent.workflow as agents_home
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.memory import memory as chat_memory
from llama_index.core.storage import kvstore
from llama_index.core.storage.chat_store import sql as chat_sql
from llama_index.core.storage.kvstore import simple_kvstore
from llama_index.core.storage.kvstore import types as kvstore_types
from llama_index.core.tools import FunctionTool

from agentperf_core.toolpolicy import ToolPolicy
from llamaindex_agentperf import (
    AgentPerfChatStore,
    CachedLLM,
    CachedTool,
    EmbeddingCacheStore,
    ManagedTool,
    ParallelAgentWorkflow,
    ParallelFunctionAgent,
)

SWAP = os.environ.get("SWAP", "none")
SEEN: Counter[str] = Counter()


class Swapped(CachedLLM):
    """A cached mock, with the attributes that tests read from and set on the mock."""

    def __getattr__(self, name: str) -> Any:
        inner = self.__dict__.get("inner")
        if name.startswith("__") or inner is None or name in self.__private_attributes__:
            return cast("Any", super()).__getattr__(name)
        return getattr(inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        known = name in type(self).model_fields or name in self.__private_attributes__
        if known or hasattr(type(self), name):
            super().__setattr__(name, value)
        else:
            setattr(self.inner, name, value)


class Replaying(Swapped):
    """Asks a second time where the first answer was stored."""

    def chat(self, *args: Any, **kwargs: Any) -> Any:
        again = partial(super().chat, *args, **kwargs)
        return _again(again(), again)

    async def achat(self, *args: Any, **kwargs: Any) -> Any:
        first = await super().achat(*args, **kwargs)
        return _seen(await super().achat(*args, **kwargs)) if _stored(first) else first

    def stream_chat(self, *args: Any, **kwargs: Any) -> Any:
        again = partial(super().stream_chat, *args, **kwargs)
        return _replayed(again(), again)

    async def astream_chat(self, *args: Any, **kwargs: Any) -> Any:
        again = partial(super().astream_chat, *args, **kwargs)
        return _areplayed(await again(), again)

    def complete(self, *args: Any, **kwargs: Any) -> Any:
        again = partial(super().complete, *args, **kwargs)
        return _again(again(), again)

    async def acomplete(self, *args: Any, **kwargs: Any) -> Any:
        first = await super().acomplete(*args, **kwargs)
        return _seen(await super().acomplete(*args, **kwargs)) if _stored(first) else first

    def stream_complete(self, *args: Any, **kwargs: Any) -> Any:
        again = partial(super().stream_complete, *args, **kwargs)
        return _replayed(again(), again)

    async def astream_complete(self, *args: Any, **kwargs: Any) -> Any:
        again = partial(super().astream_complete, *args, **kwargs)
        return _areplayed(await again(), again)


def _stored(answer: Any) -> bool:
    record = (answer.additional_kwargs or {}).get("agentperf", {}).get("cache", {})
    SEEN[f"first time: {record.get('outcome')}, {record.get('reason')}"] += 1
    return record.get("reason") == "answered and stored" or record.get("outcome") == "hit"


def _seen(answer: Any) -> Any:
    SEEN[f"second time: {answer.additional_kwargs['agentperf']['cache']['outcome']}"] += 1
    return answer


def _again(first: Any, ask: Callable[[], Any]) -> Any:
    return _seen(ask()) if _stored(first) else first


def _replayed(live: Any, ask: Callable[[], Any]) -> Generator[Any]:
    chunks: list[Any] = list(live)
    if chunks and _stored(chunks[-1]):
        chunks = list(ask())
        _seen(chunks[-1])
    yield from chunks


async def _areplayed(live: Any, ask: Callable[[], Any]) -> AsyncGenerator[Any]:
    chunks: list[Any] = [chunk async for chunk in live]
    if chunks and _stored(chunks[-1]):
        chunks = [chunk async for chunk in await ask()]
        _seen(chunks[-1])
    for chunk in chunks:
        yield chunk


# What a test replaces on its mock beside the calls of a model never was to reach a cache.
_HELPERS = [
    prefix + name
    for prefix in ("", "a", "stream_", "astream_")
    for name in ("predict", "structured_predict", "chat_with_tools", "predict_and_call")
]


def _helper(name: str) -> Callable[..., Any]:
    own = getattr(FunctionCallingLLM, name)
    stock = {own, getattr(LLM, name, own)}

    def call(self: Swapped, *args: Any, **kwargs: Any) -> Any:
        theirs = getattr(type(self.inner), name, own)
        if theirs in stock:
            return own(self, *args, **kwargs)
        return getattr(self.inner, name)(*args, **kwargs)

    return call


def _wrapped(cls: Any, *args: Any, **kwargs: Any) -> Any:
    made = _construct(cls, *args, **kwargs)
    mock = cls.__module__.startswith("tests.") or cls.__module__ == "llama_index.core.llms.mock"
    if not mock or not isinstance(made, LLM) or isinstance(made, CachedLLM | StructuredLLM):
        return made
    SEEN["models"] += 1
    return (Replaying if SWAP == "replay" else Swapped)(inner=made)


def _cached_tool(cls: type[FunctionTool], *args: Any, **kwargs: Any) -> FunctionTool:
    made = _from_defaults(cls, *args, **kwargs)
    if cls is not FunctionTool:
        return made
    SEEN["tools"] += 1
    scope = "run" if made.requires_context else "global"
    return CachedTool(made, policy=ToolPolicy(read_only=True, ttl_s=60, cache_scope=scope))


def _managed_tool(cls: type[FunctionTool], *args: Any, **kwargs: Any) -> FunctionTool:
    made = _from_defaults(cls, *args, **kwargs)
    if cls is not FunctionTool:
        return made
    SEEN["tools"] += 1
    return ManagedTool(made)


class CountedAgent(ParallelFunctionAgent):
    """A parallel agent that says that it was made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        SEEN["agents"] += 1
        super().__init__(*args, **kwargs)


class CountedWorkflow(ParallelAgentWorkflow):
    """A parallel workflow that says that it was made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        SEEN["workflows"] += 1
        super().__init__(*args, **kwargs)


class Shelf(EmbeddingCacheStore):
    """A store that is made like theirs."""

    def __init__(self, *_: Any, **__: Any) -> None:
        SEEN["stores"] += 1
        super().__init__("a model of their tests")


class Chats(AgentPerfChatStore):
    """A chat store that is made like theirs: with nothing in it."""

    def __init__(self, *_: Any, **__: Any) -> None:
        SEEN["chat stores"] += 1
        super().__init__(os.environ.get("SWAP_ADDRESS", "memory:"), namespace=f"swap-{uuid4().hex}")


_construct = cast("Callable[..., Any]", type.__call__)
_from_defaults: Any = cast("Any", FunctionTool.from_defaults).__func__

if SWAP in {"llm", "replay"}:
    for _name in _HELPERS:
        if hasattr(FunctionCallingLLM, _name):
            setattr(Swapped, _name, _helper(_name))
    type(LLM).__call__ = _wrapped  # type: ignore[method-assign]
elif SWAP == "tool":
    FunctionTool.from_defaults = classmethod(_cached_tool)  # type: ignore[method-assign]
elif SWAP == "managed":
    FunctionTool.from_defaults = classmethod(_managed_tool)  # type: ignore[method-assign]
elif SWAP == "agents":
    _ours: dict[type, type] = {FunctionAgent: CountedAgent, AgentWorkflow: CountedWorkflow}
    for _module in [m for n, m in sys.modules.items() if n.startswith(agents_home.__name__)]:
        for _name, _value in [*vars(_module).items()]:
            if isinstance(_value, type) and _value in _ours:
                setattr(_module, _name, _ours[_value])
elif SWAP == "kv":
    for _module in (kvstore, simple_kvstore):
        _module.SimpleKVStore = Shelf  # type: ignore[misc]
    kvstore_types.MutableMappingKVStore = Shelf  # type: ignore[misc]
elif SWAP == "chat":
    for _module in (chat_memory, chat_sql):
        _module.SQLAlchemyChatStore = Chats  # type: ignore[misc]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was swapped."""
    for what, times in sorted(SEEN.items()):
        terminalreporter.write_line(f"swap {SWAP}: {times} x {what}")
