"""The steps of a warm-up: what an agent is made of, and what each part of it waits for at first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar, cast

import orjson

from agentperf_core.errors import ConfigError
from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools.records import ToolFailure
from agentperf_core.tools.warm import WarmStep
from agentperf_core.types import ToolCall

__all__ = ["cache_steps", "call_step", "client_step", "encoder_step", "unable"]

_KEY = "agentperf:warm-up"  # of no entry
_TEXT = "hello"
_NO_LIST = (404, 405, 501)

T = TypeVar("T")


def unable(what: str, reason: str) -> WarmStep:
    """A step that cannot be taken, so that the report says why."""

    def sync() -> None:
        raise ConfigError(reason)

    async def async_() -> None:
        raise ConfigError(reason)

    return WarmStep(what, Step(sync, async_))


class _Store(Protocol):
    """What opens the connection of a store."""

    def get(self, key: str) -> bytes | None: ...

    async def aget(self, key: str) -> bytes | None: ...


def cache_steps(cache: object) -> Iterator[WarmStep]:
    """What a cache, or whatever has one as its `cache`, waits for at its first look-up.

    Args:
        cache: a cache of the pack, a store, or a part of an adapter with a cache.

    Raises:
        ConfigError: if it is none of these.
    """
    found: Any = getattr(cache, "cache", cache)
    store: Any = getattr(found, "store", found)
    if not (hasattr(store, "get") and hasattr(store, "aget")):
        msg = f"a cache to be warmed has a store, got {cache!r}; give a cache of the pack"
        raise ConfigError(msg)
    opened = cast("_Store", store)
    yield WarmStep(f"store {type(store).__name__}", Step(opened.get, opened.aget, _KEY))
    embedder: Any = getattr(getattr(found, "tier", None), "embedder", None)
    if embedder is not None:
        encode: Callable[[str], Flow[object]] = embedder.vector
        yield WarmStep(
            f"encoder {embedder.name}",
            Step(lambda: run(encode(_TEXT)), lambda: arun(encode(_TEXT))),
        )


def client_step(what: str, client: Callable[[], Any], aclient: Callable[[], Any]) -> WarmStep:
    """Opens the connection of a client of the OpenAI SDK, by asking for the list of models.

    Args:
        what: what it is, in the report.
        client: gives the sync client.
        aclient: gives the async one, whose connections belong to the event loop that warms it.
    """

    def sync() -> str:
        try:
            client().models.list()
        except Exception as error:
            return _connected(error)
        return ""

    async def async_() -> str:
        try:
            await aclient().models.list()
        except Exception as error:
            return _connected(error)
        return ""

    return WarmStep(what, Step(sync, async_))


class _Encoder(Protocol):
    """What turns texts into vectors."""

    def embed(self, texts: Sequence[str]) -> object: ...

    async def aembed(self, texts: Sequence[str]) -> object: ...


def encoder_step(source: object, make: Callable[[], _Encoder]) -> WarmStep:
    """Loads an encoder, or opens its connection.

    Args:
        source: what it is made of, for the report.
        make: makes it.
    """
    what = source if isinstance(source, str) else type(source).__name__

    async def async_() -> None:
        await make().aembed([_TEXT])

    def sync() -> None:
        make().embed([_TEXT])

    return WarmStep(f"encoder {what}", Step(sync, async_))


def call_step(
    call: ToolCall, policy: ToolPolicy | None, step: Step[T] | None, failed: Callable[[T], object]
) -> WarmStep:
    """Makes a call whose result is to be kept for all.

    Args:
        call: tool and arguments.
        policy: what is declared of the tool.
        step: makes the call through a cache; `None` if there is no such tool, or no cache.
        failed: what a result says is wrong with it; nothing if all is well.
    """
    what = f"call {call.name}({orjson.dumps(dict(call.arguments), default=repr).decode()})"
    if step is None:
        return unable(what, f"there is no tool {call.name!r} whose results are kept")
    if policy is None or policy.ttl_s is None or policy.cache_scope != "global":
        return unable(what, "a result to be kept for all needs ttl_s and cache_scope='global'")

    def flow() -> Flow[None]:
        wrong = failed((yield from step))
        if wrong:
            raise ToolFailure(str(wrong), tool=call.name, kind="error", elapsed_s=0.0)

    return WarmStep(what, Step(lambda: run(flow()), lambda: arun(flow())))


def _connected(error: Exception) -> str:
    """What to say of a server that has no list of models; other errors are raised again."""
    status = getattr(error, "status_code", None)
    if status not in _NO_LIST:
        raise error
    return f"connected; the server has no list of models ({status})"
