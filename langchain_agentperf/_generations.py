"""Generations, as LangChain's cache interface hands them over, to plain data and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk

from agentperf_core.cache import AnswerFacts, CacheDecision
from agentperf_core.errors import CodecError
from langchain_agentperf._answers import decode_message, encode_message
from langchain_agentperf._facts import facts_of, finish_reason_of, worst

__all__ = ["GENERATIONS"]

_TEXT: Mapping[str, type[Generation]] = {"text": Generation, "text_chunk": GenerationChunk}
_CHAT: Mapping[str, Callable[..., ChatGeneration]] = {
    "chat": ChatGeneration,
    "chat_chunk": ChatGenerationChunk,
}
_KINDS: Mapping[type[Generation], str] = {
    Generation: "text",
    GenerationChunk: "text_chunk",
    ChatGeneration: "chat",
    ChatGenerationChunk: "chat_chunk",
}


class _GenerationsCodec:
    """The answer of a model as a list of generations."""

    def facts(self, answer: Sequence[Generation]) -> AnswerFacts:
        """What the policy needs to know; the worst of the generations decides."""
        return worst([_facts(generation) for generation in answer])

    def encode(self, answer: Sequence[Generation]) -> Mapping[str, Any]:
        """The generations as plain JSON data."""
        return {"generations": [_encode(generation) for generation in answer]}

    def decode(self, body: Mapping[str, Any], decision: CacheDecision) -> list[Generation]:
        """Fresh generations: a list, because LangChain takes any other sequence for a miss."""
        stored = cast("list[Mapping[str, Any]]", body["generations"])
        return [_decode(item, decision) for item in stored]

    def mark(self, answer: list[Generation], decision: CacheDecision) -> list[Generation]:
        """The model's own generations go on unmarked: LangChain does not take them back."""
        return answer


GENERATIONS = _GenerationsCodec()


def _facts(generation: Generation) -> AnswerFacts:
    info = generation.generation_info or {}
    if isinstance(generation, ChatGeneration):
        return facts_of(generation.message)
    text = generation.text
    return AnswerFacts(finish_reason=finish_reason_of(info), empty=not text.strip(), text=text)


def _encode(generation: Generation) -> Mapping[str, Any]:
    kind = _KINDS.get(type(generation))
    if kind is None:
        msg = f"generations are LangChain's own, got {type(generation).__qualname__}; not cached"
        raise CodecError(msg)
    info = generation.generation_info
    if isinstance(generation, ChatGeneration):
        return {"kind": kind, "info": info, "message": encode_message(generation.message)}
    return {"kind": kind, "info": info, "text": generation.text}


def _decode(item: Mapping[str, Any], decision: CacheDecision) -> Generation:
    kind = item["kind"]
    if kind in _TEXT:
        return _TEXT[kind](text=item["text"], generation_info=item["info"])
    if kind not in _CHAT:
        msg = f"a stored generation is text or chat, got {kind!r}; clear the cache"
        raise CodecError(msg)
    message = decode_message(item["message"], decision, chunk=kind == "chat_chunk")
    # LangChain adds `total_cost: 0` to whatever is here and leaves no room for `None`: without the
    # three required counts the result would not fit its own schema.
    message.usage_metadata = UsageMetadata(input_tokens=0, output_tokens=0, total_tokens=0)
    if isinstance(message, AIMessageChunk):
        return ChatGenerationChunk(message=message, generation_info=item["info"])
    return ChatGeneration(message=message, generation_info=item["info"])
