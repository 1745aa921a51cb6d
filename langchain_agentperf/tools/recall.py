"""A tool with which the model searches what it is not shown any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

from langchain.tools import ToolRuntime
from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool, StructuredTool

from agentperf_core.context.recall import Recalled
from agentperf_core.context.searching import (
    TOOL_DESCRIPTION,
    TOOL_NAME,
    require_searchable,
    search_answer,
)
from agentperf_core.errors import require_positive
from agentperf_core.flow import Flow, both

__all__ = ["recall_tool"]


class Searchable(Protocol):
    """What can be searched for earlier messages: a `SlidingWindowMiddleware`."""

    def find(
        self, messages: Sequence[BaseMessage], question: str, *, max_tokens: int
    ) -> Flow[Recalled | None]: ...


def recall_tool(
    window: Searchable,
    *,
    max_tokens: int = 1000,
    name: str = TOOL_NAME,
    description: str = TOOL_DESCRIPTION,
) -> BaseTool:
    """A tool for the model that searches what has left the window.

    `SlidingWindowMiddleware(recall="tool")` brings it to the agent by itself; make it here to give
    it another name or size.

    Args:
        window: the middleware whose conversation is searched; it must have `recall=`.
        max_tokens: what one answer may cost.
        name: of the tool.
        description: what the model reads of it.

    Raises:
        ConfigError: if `max_tokens` is not above zero, or `window` cannot be searched.

    Example:
        >>> from langchain_agentperf import SlidingWindowMiddleware
        >>> recall_tool(SlidingWindowMiddleware(max_tokens=4000, recall="tool")).name
        'recall_history'
    """
    require_positive(max_tokens=max_tokens)
    require_searchable(window, "SlidingWindowMiddleware")
    window.find((), "", max_tokens=max_tokens).close()  # one without recall= says so now

    def search(query: str, runtime: ToolRuntime[Any, Any]) -> Flow[str]:
        messages = cast("Sequence[BaseMessage]", runtime.state["messages"])
        found = yield from window.find(messages, query, max_tokens=max_tokens)
        return search_answer(found)

    return StructuredTool.from_function(*both(search), name=name, description=description)
