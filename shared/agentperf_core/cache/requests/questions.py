"""What a request asks in words, if it can be said in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import orjson

from agentperf_core.cache.answers import Question
from agentperf_core.cache.requests.keys import (
    SYSTEM_ROLES,
    Parts,
    conversation_key,
    conversation_pieces,
)

__all__ = ["question_of"]


def question_of(scope: bytes, messages: Sequence[Parts]) -> Question | None:
    """What the user asks last; `None` if that cannot be said in words alone.

    Args:
        scope: from `scope_digest`.
        messages: the conversation.
    """
    if not messages or messages[-1][0] != "user":
        return None
    turns: list[tuple[int, str]] = []
    for place, (role, content, name, calls, extra, _, _) in enumerate(messages):
        if role != "user":
            continue
        if name is not None or extra or calls:
            return None  # more than words: who says it, or what else goes with it
        text = content if isinstance(content, str) else _text_of_blocks(content)
        if text is None:
            return None
        turns.append((place, text))
    text = turns[-1][1]
    if not text.strip():
        return None
    if len(messages) == 1:
        return Question(scope.hex(), text)
    return Question.later(text, lambda: _settled(scope, messages, turns))


def _settled(
    scope: bytes, messages: Sequence[Parts], turns: Sequence[tuple[int, str]]
) -> tuple[str, str | None]:
    """Scope and parent of a question in a conversation.

    Only the question and the turns that it leans on are compared by meaning. Whatever else was said
    or found, by whomever, may have gone into the answer: it belongs to the scope, to the letter.
    """
    from agentperf_core.cache.semantic.questions import parent_of

    parent = parent_of([text for _, text in turns])
    alike = {turns[-1][0]}
    spoken = [(place, text) for place, text in turns[:-1] if text.strip()]
    for count in range(1, len(spoken) + 1 if parent is not None else 1):
        if "\n".join(text for _, text in spoken[-count:]) == parent:
            alike.update(place for place, _ in spoken[-count:])
            break
    rest = [
        parts
        for place, parts in enumerate(messages)
        if place not in alike and parts[0] not in SYSTEM_ROLES
    ]
    if not rest:
        return scope.hex(), parent
    return conversation_key(scope, conversation_pieces(rest), kind=b"rest"), parent


def _text_of_blocks(content: bytes) -> str | None:
    """The text of content that is a list of text blocks and nothing else."""
    try:
        blocks = cast("list[Any]", orjson.loads(content))
        if not isinstance(blocks, list):  # pyright: ignore[reportUnnecessaryIsInstance] - any JSON
            return None
        texts = [
            block if isinstance(block, str) else block["text"]
            for block in blocks
            if isinstance(block, str) or (block["type"] == "text" and len(block) == 2)
        ]
    except (KeyError, TypeError, ValueError):
        return None
    return "\n".join(texts) if blocks and len(texts) == len(blocks) else None
