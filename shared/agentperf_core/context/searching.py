"""What a model is told of the tool with which it searches what it is not shown any more."""

from __future__ import annotations

from agentperf_core.context.recall import Recalled

__all__ = ["TOOL_DESCRIPTION", "TOOL_NAME", "search_answer"]

TOOL_NAME = "recall_history"
TOOL_DESCRIPTION = (
    "Search the earlier part of this conversation, which you are not shown any more. Use it when "
    "the user refers to something that you cannot see."
)
_NOTHING = (
    "Nothing that was said earlier matches; it may still be in the conversation that you see."
)


def search_answer(found: Recalled | None) -> str:
    """What the tool answers.

    Example:
        >>> search_answer(None)[:40]
        'Nothing that was said earlier matches; i'
    """
    return found.text if found is not None else _NOTHING
