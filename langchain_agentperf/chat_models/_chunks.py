"""Chunks of a stream: those of a live one for several readers, those of a stored answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, cast

import orjson
from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks

from agentperf_core.cache import CacheDecision
from agentperf_core.types import Usage
from langchain_agentperf._answers import MARK, OF_THE_CALL
from langchain_agentperf._facts import usage_from
from langchain_agentperf.chat_models._protocol import are_sizes, split
from langchain_agentperf.chat_models._results import Said

__all__ = ["Unbilled", "last_chunk", "merged", "own", "replayed_chunks", "whole_chunk"]

_FORMS = ("model_provider", "output_version")


def own(chunk: ChatGenerationChunk) -> ChatGenerationChunk:
    """A copy for one reader: LangChain writes ids, metadata and blocks into what it streams.

    The mark of the end is taken off, because `last_chunk` is the one that comes last.
    """
    message = chunk.message
    content = cast("str | list[Any]", message.content)
    changes: dict[str, Any] = {
        "response_metadata": dict(cast("Mapping[str, Any]", message.response_metadata))
    }
    if not isinstance(content, str):
        changes["content"] = deepcopy(content)
    if message.additional_kwargs:
        changes["additional_kwargs"] = deepcopy(
            cast("Mapping[str, Any]", message.additional_kwargs)
        )
    if getattr(message, "chunk_position", None) and MARK not in changes["response_metadata"]:
        changes["chunk_position"] = None
    return chunk.model_copy(update={"message": message.model_copy(update=changes)})


def last_chunk(decision: CacheDecision, *, blocks: bool) -> ChatGenerationChunk:
    """What comes after the last chunk of a live stream: nothing but what the cache did."""
    return _chunk(
        content=[] if blocks else "",
        response_metadata={MARK: {"cache": decision.record()}},
        chunk_position="last",
    )


class Unbilled:
    """Takes the usage out of the chunks of a stream that another caller pays for."""

    def __init__(self) -> None:
        self._usage: UsageMetadata | None = None

    def take(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk | None:
        """A copy without usage; `None` for the last chunk, whose mark is the other caller's."""
        if MARK in chunk.message.response_metadata:
            return None
        copy = own(chunk)
        message = cast("AIMessageChunk", copy.message)
        if message.usage_metadata is not None:
            self._usage = add_usage(self._usage, message.usage_metadata)
            message.usage_metadata = None
        info = chunk.generation_info
        for values in (message.response_metadata, info or {}):
            if not OF_THE_CALL.isdisjoint(cast("Mapping[str, Any]", values)):
                message.response_metadata = _kept(message.response_metadata)
                copy.generation_info = _kept(info) if info else info
        return copy

    @property
    def usage(self) -> Usage | None:
        """What the stream cost the other caller."""
        return usage_from(AIMessage("", usage_metadata=self._usage)) if self._usage else None


def merged(chunks: Sequence[ChatGenerationChunk]) -> Said:
    """The answer that a stream has given."""
    whole = merge_chat_generation_chunks(list(chunks))
    if whole is None:
        return Said(None)
    message = message_chunk_to_message(cast("AIMessageChunk", whole.message))
    generation = ChatGeneration(message=message, generation_info=whole.generation_info)
    pieces = [len(text) for chunk in chunks if (text := _text(chunk))]
    return Said.by(ChatResult(generations=[generation]), pieces)


def whole_chunk(said: Said) -> ChatGenerationChunk:
    """An answer of a model that cannot stream as one chunk."""
    message = cast("AIMessage", said.message)
    parts = [_call_part(index, call) for index, call in enumerate(message.tool_calls)]
    return _chunk(
        content=message.content,
        id=message.id,
        name=message.name,
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
        tool_call_chunks=parts,
    )


def replayed_chunks(answer: AIMessage, pieces: Sequence[int] = ()) -> Iterator[ChatGenerationChunk]:
    """Pieces of the text, then the tool calls, then an empty last one with the metadata.

    Args:
        answer: a stored message.
        pieces: the lengths of the pieces of its text; by default it is split at words.
    """
    content = cast("str | list[str | dict[str, Any]]", answer.content)
    if isinstance(content, str):
        for piece in split(content, pieces):
            yield _chunk(content=piece)
        for index, call in enumerate(answer.tool_calls):
            yield _chunk(content="", tool_call_chunks=[_call_part(index, call)])
    else:
        yield from _blocks(content, answer, pieces)
    yield _chunk(
        content="" if isinstance(content, str) else [],
        name=answer.name,
        additional_kwargs=answer.additional_kwargs,
        response_metadata=answer.response_metadata,
        chunk_position="last",
    )


def _blocks(
    content: list[str | dict[str, Any]], answer: AIMessage, pieces: Sequence[int]
) -> Iterator[ChatGenerationChunk]:
    """Block by block; a call that stands in the content comes with its block, and only there."""
    metadata = cast("Mapping[str, Any]", answer.response_metadata)
    # By these, LangChain reads the blocks of a chunk in the form of their provider.
    kind = {name: metadata[name] for name in _FORMS if name in metadata}
    calls = {call["id"]: call for call in answer.tool_calls}
    left = list(pieces) if are_sizes(pieces) else []
    for position, block in enumerate(content):
        if isinstance(block, str):
            yield _chunk(content=[block], response_metadata=kind)
            continue
        call = calls.pop(block.get("call_id") or block.get("id"), None)
        parts = [_call_part(position, call)] if call is not None else []
        for part in _block_pieces(block, left):
            yield _chunk(content=[part], tool_call_chunks=parts, response_metadata=kind)
    for position, call in enumerate(calls.values(), len(content)):
        yield _chunk(content=[], tool_call_chunks=[_call_part(position, call)])


def _block_pieces(block: dict[str, Any], left: list[int]) -> Iterator[dict[str, Any]]:
    """A text block in its pieces; without an index, pieces would not be put together again."""
    text = block.get("text")
    if block.get("type") != "text" or not isinstance(text, str) or "index" not in block:
        yield block
        return
    own: list[int] = []
    while left and sum(own) < len(text):
        own.append(left.pop(0))
    rest = {"type": "text", "index": block["index"]}
    fields = block
    for piece in split(text, own) if text else [""]:
        yield {**fields, "text": piece}
        fields = rest


def _call_part(index: int, call: Any) -> Any:
    arguments = orjson.dumps(call["args"]).decode()
    return tool_call_chunk(name=call["name"], args=arguments, id=call["id"], index=index)


def _chunk(**fields: Any) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(**fields))


def _kept(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in OF_THE_CALL}


def _text(chunk: ChatGenerationChunk) -> str:
    content = cast("str | list[Any]", chunk.message.content)
    return content if isinstance(content, str) else str(chunk.message.text)
