"""Which run and which conversation a call belongs to, as far as the config says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any, cast
from uuid import uuid4
from weakref import WeakKeyDictionary

from langchain.agents.middleware import ToolCallRequest
from langchain_core.tools import BaseTool
from langgraph.runtime import get_runtime

__all__ = ["current_run", "run_of", "surroundings", "thread_of"]


def surroundings(
    request: ToolCallRequest,
) -> tuple[Mapping[str, Any] | None, Sequence[BaseTool]]:
    """Config and tools of the run that a call belongs to; nothing of the kind outside of graphs."""
    runtime = cast("Any", request).runtime
    return getattr(runtime, "config", None), getattr(runtime, "tools", ())


def thread_of(config: Mapping[str, Any] | None) -> str | None:
    """The id of the conversation: LangGraph's thread."""
    configurable = cast("Mapping[str, Any]", (config or {}).get("configurable") or {})
    found = configurable.get("thread_id")
    return None if found is None else str(found)


def run_of(request: ToolCallRequest) -> str | None:
    """The id of one run of a graph, `None` outside of graphs.

    The caller's `run_id` where there is one. Else LangGraph names no run; but it makes one stream
    writer for each, which its subgraphs share.
    """
    return _run(cast("Any", request).runtime)


def current_run() -> str | None:
    """The same for whatever runs in this context."""
    try:
        return _run(get_runtime())
    except (KeyError, RuntimeError):  # outside of graphs
        return None


def _run(runtime: Any) -> str | None:
    known = getattr(getattr(runtime, "execution_info", None), "run_id", None)
    if known is not None:
        return str(known)
    writer: object = getattr(runtime, "stream_writer", None)
    if not isinstance(writer, FunctionType) or "<locals>" not in writer.__qualname__:
        return None
    return _runs.setdefault(writer, uuid4().hex)


_runs: WeakKeyDictionary[FunctionType, str] = WeakKeyDictionary()
