"""A stored answer as events of LangChain's content-block protocol (`stream_events(version="v3")`).

Own code, because the bridge that LangChain puts over `_stream` takes a call that stands in the
content and in `tool_calls` for two calls, and merges blocks without an index: an agent would run
its tools twice, and lose text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage
from langchain_core.messages.tool import ToolCall

__all__ = ["are_sizes", "protocol_events", "split"]

# A word with the space after it: what a reader sees as one token.
_WORD = re.compile(r"\S+\s*|\s+")

_CALLS = frozenset({"invalid_tool_call", "tool_call", "tool_call_chunk"})
# Block types that come in pieces: their field, and the type of the piece.
_PIECEWISE = {"text": "text-delta", "reasoning": "reasoning-delta"}


def split(text: str, pieces: Sequence[int] = ()) -> Iterator[str]:
    """A text in pieces of given lengths; at words if these are not its own.

    Example:
        >>> list(split("It has shipped.", [2, 13])), list(split("It has", [2]))
        (['It', ' has shipped.'], ['It ', 'has'])
    """
    if not pieces or not are_sizes(pieces) or sum(pieces) != len(text):
        yield from _WORD.findall(text)
        return
    start = 0
    for length in pieces:
        yield text[start : start + length]
        start += length


def are_sizes(pieces: Sequence[object]) -> bool:
    """Whether these can be lengths of pieces; they come from a store, so they may be anything."""
    return all(type(size) is int and size > 0 for size in pieces)


def protocol_events(answer: AIMessage, pieces: Sequence[int] = ()) -> Iterator[Any]:
    """The life of one message: start, each block with its pieces, finish.

    Args:
        answer: a stored message.
        pieces: the lengths of the pieces of its text; by default it is split at words.
    """
    metadata = cast("Mapping[str, Any]", answer.response_metadata)
    names = {"provider": metadata.get("model_provider"), "model": metadata.get("model_name")}
    yield {
        "event": "message-start",
        "role": "ai",
        "id": "",
        "metadata": {key: name for key, name in names.items() if name},
    }
    for index, block in enumerate(_blocks(answer)):
        yield from _block_events(index, block, pieces)
    yield {
        "event": "message-finish",
        "metadata": dict(metadata),
        "additional_kwargs": dict(cast("Mapping[str, Any]", answer.additional_kwargs)),
    }


def _blocks(answer: AIMessage) -> Iterator[dict[str, Any]]:
    """Standard blocks, each call once: where the content has it, else at the end."""
    left: dict[str | None, ToolCall] = {call["id"]: call for call in answer.tool_calls}
    for standard in answer.content_blocks:
        block = {key: value for key, value in standard.items() if key != "index"}
        if block["type"] in _CALLS:
            call = left.pop(cast("str | None", block.get("id")), None)
            if call is None:
                continue
            block |= {"type": "tool_call", "name": call["name"], "args": call["args"]}
        yield block
    for call in left.values():
        yield {"type": "tool_call", "id": call["id"], "name": call["name"], "args": call["args"]}


def _block_events(index: int, block: dict[str, Any], pieces: Sequence[int]) -> Iterator[Any]:
    kind: str = block["type"]
    empty: dict[str, Any] = {kind: ""} if kind in _PIECEWISE else {}
    if kind == "tool_call":
        empty = {"args": {}}  # the arguments come with the finish
    yield {"event": "content-block-start", "index": index, "content": {**block, **empty}}
    if kind in _PIECEWISE:
        for piece in split(block.get(kind) or "", pieces):
            delta = {"type": _PIECEWISE[kind], kind: piece}
            yield {"event": "content-block-delta", "index": index, "delta": delta}
    yield {"event": "content-block-finish", "index": index, "content": block}
