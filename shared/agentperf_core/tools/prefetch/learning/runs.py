"""Recorded runs: what the user said and which calls were made, in order, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

import orjson

from agentperf_core.errors import ConfigError
from agentperf_core.tools.prefetch.paths import canonical, plain

__all__ = ["Called", "Run", "checked_runs", "run_of_messages"]

Called: TypeAlias = tuple[str, Mapping[str, Any], Any]
"""A call that was made: tool, arguments, result."""
Run: TypeAlias = Sequence[Called | str]
"""Calls, and texts for what the user said, in order."""


def checked_runs(runs: Iterable[Run]) -> list[list[Called | str]]:
    """The runs, without calls whose data is not plain.

    Raises:
        ConfigError: if they are something else.
    """
    return [list(_checked(run)) for run in runs]


def _checked(run: Iterable[object]) -> Iterator[Called | str]:
    for event in run:
        if isinstance(event, str):
            yield event
            continue
        parts = cast("Sequence[Any]", event) if isinstance(event, list | tuple) else ()
        if len(parts) != 3 or not isinstance(parts[0], str) or not isinstance(parts[1], Mapping):
            msg = (
                "a run is a list of (tool, arguments, result) and of what the user said, got "
                f"{event!r}; give plain data"
            )
            raise ConfigError(msg)
        try:
            canonical(parts)
        except TypeError:
            continue
        yield parts[0], cast("Mapping[str, Any]", parts[1]), parts[2]


def run_of_messages(messages: Iterable[Mapping[str, Any]]) -> Run:
    """The run that a list of messages in the form of OpenAI tells of.

    Calls are in the order of their results; one without a result is left out, and so is one whose
    arguments are no JSON object. Results that are JSON are read.

    Example:
        >>> run_of_messages([
        ...     {"role": "user", "content": "my id is 7"},
        ...     {"role": "assistant", "tool_calls": [
        ...         {"id": "a", "function": {"name": "get", "arguments": '{"id": 7}'}}]},
        ...     {"role": "tool", "tool_call_id": "a", "content": '{"name": "Ann"}'},
        ... ])
        ['my id is 7', ('get', {'id': 7}, {'name': 'Ann'})]
    """
    found: list[Called | str] = []
    asked: dict[object, tuple[str, Mapping[str, Any]]] = {}
    for message in messages:
        role, content = message.get("role"), _text(message.get("content"))
        if role == "user" and content:
            found.append(content)
        for call in message.get("tool_calls") or ():
            arguments = _arguments(call["function"].get("arguments"))
            if arguments is not None:
                asked[call.get("id")] = call["function"]["name"], arguments
        if role == "tool" and message.get("tool_call_id") in asked:
            tool, arguments = asked.pop(message.get("tool_call_id"))
            found.append((tool, arguments, plain(content)))
    return found


def _arguments(given: object) -> Mapping[str, Any] | None:
    if isinstance(given, str):
        try:
            given = orjson.loads(given or "{}")
        except ValueError:
            return None
    return cast("Mapping[str, Any]", given) if isinstance(given, Mapping) else None


def _text(content: object) -> str:
    if isinstance(content, list):
        blocks = cast("list[object]", content)
        texts = [cast("dict[str, Any]", b).get("text", "") for b in blocks if isinstance(b, dict)]
        return "\n".join(str(text) for text in texts if text)
    return content if isinstance(content, str) else ""
