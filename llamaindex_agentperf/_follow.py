"""Streamed replies of query engines: the model is called only when the reply is read.

By then the engine's span is no longer the active one, and the model's would start a run of its own.
So the reply's generator is replaced by one that makes the engine's span active for every step.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import TypeAlias

from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.instrumentation.span import active_span_id

from agentperf_core.telemetry.spans import Status

__all__ = ["follow_response"]

_Done: TypeAlias = Callable[[Status | None], None]


def follow_response(
    response: StreamingResponse | AsyncStreamingResponse, span_id: str, done: _Done
) -> object | None:
    """Follow the reading of a reply; the generator to watch, `None` if there is nothing new.

    Args:
        response: what an engine returned; its `response_gen` is replaced.
        span_id: the engine's span.
        done: called once with how the reading ended, unless it never began.
    """
    chunks: object = response.response_gen
    code = getattr(chunks, "gi_code", None) or getattr(chunks, "ag_code", None)
    if code in {_follow.__code__, _afollow.__code__}:
        return None
    if isinstance(response, StreamingResponse):
        if not isinstance(chunks, Iterator):
            return None
        response.response_gen = _follow(response.response_gen, span_id, done)
    else:
        if not isinstance(chunks, AsyncIterator):
            return None
        response.response_gen = _afollow(response.response_gen, span_id, done)
    return response.response_gen


def _follow(chunks: Iterator[str], span_id: str, done: _Done) -> Generator[str]:
    status: Status | None = "cancelled"
    try:
        while True:
            token = active_span_id.set(span_id)
            try:
                chunk = next(chunks, None)
            finally:
                active_span_id.reset(token)
            if chunk is None:
                break
            yield chunk
        status = None
    except Exception:
        status = "error"
        raise
    finally:
        done(status)


async def _afollow(chunks: AsyncIterator[str], span_id: str, done: _Done) -> AsyncGenerator[str]:
    status: Status | None = "cancelled"
    try:
        while True:
            token = active_span_id.set(span_id)
            try:
                chunk = await anext(chunks, None)
            finally:
                active_span_id.reset(token)
            if chunk is None:
                break
            yield chunk
        status = None
    except Exception:
        status = "error"
        raise
    finally:
        done(status)
