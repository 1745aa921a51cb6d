"""What the OpenAI chat API demands of the messages of a request, as a strict check for tests.

The rules are those of the API reference ("Create chat completion") and of the errors it answers
with (HTTP 400): every tool call is answered by tool messages that follow at once, every tool
message answers such a call, arguments are JSON text, nobody says nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

__all__ = ["chat_objections"]

_ROLES = frozenset({"assistant", "developer", "system", "tool", "user"})
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def chat_objections(
    messages: Sequence[Mapping[str, Any]], *, user_first: bool = True, ends_open: bool = False
) -> list[str]:
    """What a strict provider would say against these messages; nothing, if they are right.

    Args:
        messages: in the API's own form (`{"role": ..., "content": ...}`).
        user_first: whether the first message after those of the system must be the user's. OpenAI
            lets it pass; Anthropic and chat templates of local models do not.
        ends_open: whether calls at the end may lack their results.

    Example:
        >>> chat_objections([{"role": "user", "content": "hi"}])
        []
        >>> chat_objections([{"role": "tool", "content": "4", "tool_call_id": "c1"}])
        ['0: a tool message without a call before it', 'the first speaker is tool']
    """
    found: list[str] = []
    waiting: list[str] = []
    for place, message in enumerate(messages):
        role = message.get("role")
        if role not in _ROLES:
            found.append(f"{place}: no role of the API: {role!r}")
        if role == "tool":
            found += [f"{place}: {fault}" for fault in _tool_faults(message, waiting)]
            continue
        if waiting:
            found.append(f"{place}: {len(waiting)} calls before it have no results")
        calls = cast("Sequence[Mapping[str, Any]]", message.get("tool_calls") or ())
        waiting = [str(call.get("id")) for call in calls]
        found += [f"{place}: {fault}" for fault in _faults(message, calls)]
    if waiting and not ends_open:
        found.append(f"{len(waiting)} calls at the end have no results")
    first = next(
        (m.get("role") for m in messages if m.get("role") not in {"system", "developer"}), None
    )
    if user_first and first != "user":
        found.append(f"the first speaker is {first}")
    return found


def _tool_faults(message: Mapping[str, Any], waiting: list[str]) -> list[str]:
    call_id = message.get("tool_call_id")
    found: list[str] = []
    if call_id in waiting:
        waiting.remove(cast("str", call_id))
    else:
        found.append("a tool message without a call before it")
    if message.get("content") is None:
        found.append("a tool message without content")
    return found


def _faults(message: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> list[str]:
    found: list[str] = []
    content = message.get("content")
    if not content and not calls:
        found.append(f"a message of {message.get('role')} that says nothing")
    if calls and message.get("role") != "assistant":
        found.append(f"calls by {message.get('role')}")
    ids = [call.get("id") for call in calls]
    if len(set(ids)) < len(ids):
        found.append("two calls with one id")
    for call in calls:
        function = cast("Mapping[str, Any]", call.get("function") or {})
        if not _NAME.fullmatch(str(function.get("name"))):
            found.append(f"a call of {function.get('name')!r}")
        if not isinstance(function.get("arguments"), str) or not _is_json(function["arguments"]):
            found.append(f"arguments that are no JSON text: {function.get('arguments')!r:.40}")
    return found


def _is_json(text: str) -> bool:
    try:
        json.loads(text or "{}")
    except ValueError:
        return False
    return True
