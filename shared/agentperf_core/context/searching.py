"""What a model is told of the tool with which it searches what it is not shown any more."""

from __future__ import annotations

from agentperf_core.context.recall import Recalled
from agentperf_core.errors import ConfigError

__all__ = ["TOOL_DESCRIPTION", "TOOL_NAME", "require_searchable", "search_answer"]

TOOL_NAME = "recall_history"
TOOL_DESCRIPTION = (
    "Search the earlier part of this conversation, which you are not shown any more. Use it when "
    "the user refers to something that you cannot see."
)
_NOTHING = (
    "Nothing that was said earlier matches; it may still be in the conversation that you see."
)


def require_searchable(given: object, kind: str) -> None:
    """Check that a tool can search something.

    Args:
        given: what it is to search.
        kind: the name of what can be searched, for the error.

    Raises:
        ConfigError: if it has no way to be searched.

    Example:
        >>> try:
        ...     require_searchable(None, "SlidingWindowMemory")
        ... except ConfigError as error:
        ...     print(error)
        the tool searches a SlidingWindowMemory, got a NoneType; give it one that has recall=
    """
    if isinstance(given, str) or not callable(getattr(given, "find", None)):
        found = type(given).__name__
        msg = f"the tool searches a {kind}, got a {found}; give it one that has recall="
        raise ConfigError(msg)


def search_answer(found: Recalled | None) -> str:
    """What the tool answers.

    Example:
        >>> search_answer(None)[:40]
        'Nothing that was said earlier matches; i'
    """
    return found.text if found is not None else _NOTHING
