"""A tool with which the model searches what it is not shown any more."""

from __future__ import annotations

from typing import Protocol

from llama_index.core.tools import FunctionTool

from agentperf_core.context import Recalled
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
    """What can be searched for earlier messages: a `SlidingWindowMemory`."""

    def find(self, question: str, *, max_tokens: int) -> Flow[Recalled | None]: ...


def recall_tool(
    memory: Searchable,
    *,
    max_tokens: int = 1000,
    name: str = TOOL_NAME,
    description: str = TOOL_DESCRIPTION,
) -> FunctionTool:
    """A tool for the model that searches what its memory does not show any more.

    Args:
        memory: the memory of the same run; it must have `recall=`, such as `recall="tool"`.
        max_tokens: what one answer may cost.
        name: of the tool.
        description: what the model reads of it.

    Raises:
        ConfigError: if `max_tokens` is not above zero, or `memory` cannot be searched.

    Example:
        >>> from llamaindex_agentperf import SlidingWindowMemory
        >>> memory = SlidingWindowMemory.from_defaults(token_limit=4000, recall="tool")
        >>> recall_tool(memory).metadata.name
        'recall_history'
    """
    require_positive(max_tokens=max_tokens)
    require_searchable(memory, "SlidingWindowMemory")
    memory.find("", max_tokens=max_tokens).close()  # one without recall= says so now

    def search(query: str) -> Flow[str]:
        found = yield from memory.find(query, max_tokens=max_tokens)
        return search_answer(found)

    now, later = both(search)
    return FunctionTool.from_defaults(now, name=name, description=description, async_fn=later)
