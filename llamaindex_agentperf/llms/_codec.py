"""How answers of LlamaIndex models become plain data for the cache, and answers again.

A served answer has no `raw`: the usage in it would be counted a second time by whoever reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar, cast

import orjson
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from pydantic import BaseModel

from agentperf_core.cache import AnswerFacts, CacheDecision
from agentperf_core.errors import CodecError
from llamaindex_agentperf._blocks import OF_ANSWERS, block_data, checked_blocks
from llamaindex_agentperf._usage import (
    USAGE_KEYS,
    Answer,
    extra_of,
    field_of,
    finish_of,
    usage_of,
)
from llamaindex_agentperf.events import announce_hit

__all__ = ["CHAT", "COMPLETION", "ChatCodec", "CompletionCodec", "Said", "marked", "without_usage"]

A = TypeVar("A", ChatResponse, CompletionResponse)
M = TypeVar("M", bound=BaseModel)


_CUT = "the last chunk of its stream holds less than all deltas; chunks are to be cumulative"


class Said(NamedTuple, Generic[A]):
    """An answer, and how it came.

    Attributes:
        answer: the answer.
        pieces: the lengths of the pieces in which its text came, empty if it came whole.
        cut: whether it holds less than its pieces did.
    """

    answer: A
    pieces: Sequence[int] = ()
    cut: bool = False


def marked(answer: A, record: Mapping[str, Any]) -> A:
    """A copy of an answer that carries a cache record; the original stays as it is."""
    extra = extra_of(answer)
    ours = {**extra.get("agentperf", {}), "cache": record}
    return answer.model_copy(update={"additional_kwargs": {**extra, "agentperf": ours}})


def without_usage(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Additional fields without what an answer cost and what a cache said of it."""
    return {k: v for k, v in extra.items() if k not in USAGE_KEYS and k != "agentperf"}


def _refused(answer: Answer) -> bool:
    choices = field_of(answer.raw, "choices")
    if not isinstance(choices, (list, tuple)) or not choices:
        return False
    return bool(field_of(field_of(cast("list[object]", choices)[0], "message"), "refusal"))


class ChatCodec:
    """Codec of `ChatResponse`."""

    def facts(self, answer: Said[ChatResponse]) -> AnswerFacts:
        """What the cache's policy asks."""
        said = answer.answer
        blocks = said.message.blocks
        calls = [block for block in blocks if isinstance(block, ToolCallBlock)]
        legacy = said.message.additional_kwargs.get("tool_calls") or ()
        finish, reported = finish_of(said)
        words = all(isinstance(block, TextBlock) for block in blocks) and not legacy
        return AnswerFacts(
            finish_reason=finish,
            provider_reports_finish=reported,
            tool_calls=len(calls) or len(legacy),
            invalid=not all(_readable(call.tool_kwargs) for call in calls),
            refused=_refused(said),
            empty=words and not said.message.content,
            usage=usage_of(said),
            text=said.message.content if words else None,
            unfit=_unfit(answer),
        )

    def encode(self, answer: Said[ChatResponse]) -> Mapping[str, Any]:
        """Role, blocks, plain additional fields and the lengths of the pieces."""
        said = answer.answer
        message = said.message
        extra = without_usage(message.additional_kwargs)
        if any(isinstance(block, ToolCallBlock) for block in message.blocks):
            # Streams repeat the calls here as objects of the provider's SDK.
            extra.pop("tool_calls", None)
        probabilities = said.logprobs
        return {
            "role": message.role.value,
            "blocks": block_data(message.blocks, OF_ANSWERS),
            "extra": extra,
            "answer_extra": without_usage(extra_of(said)),
            "logprobs": [[p.model_dump() for p in row] for row in probabilities]
            if probabilities is not None
            else None,
            "pieces": list(answer.pieces),
        }

    def decode(self, body: Mapping[str, Any], decision: CacheDecision) -> Said[ChatResponse]:
        """A fresh answer; also tells the instrumentation that it was served."""
        record = decision.record()
        if body["role"] != "assistant":
            msg = f"a stored answer is the assistant's, got role {body['role']!r:.40}; clear it"
            raise CodecError(msg)
        extra = {**body["answer_extra"], "agentperf": {"cache": record}}
        own, logprobs = body["extra"], body["logprobs"]
        text = _only_text(body["blocks"])
        if text is not None and not own and logprobs is None:
            answer = _plain_answer(text, extra)
        else:
            blocks: Any = checked_blocks(body["blocks"], OF_ANSWERS)
            message = ChatMessage(role="assistant", blocks=blocks, additional_kwargs=own)
            answer = ChatResponse(message=message, logprobs=logprobs, additional_kwargs=extra)
        announce_hit(record)
        return Said(answer, _sizes(body["pieces"]))

    def mark(self, answer: Said[ChatResponse], decision: CacheDecision) -> Said[ChatResponse]:
        """The model's own answer with the record."""
        return Said(marked(answer.answer, decision.record()), answer.pieces)


class CompletionCodec:
    """Codec of `CompletionResponse`."""

    def facts(self, answer: Said[CompletionResponse]) -> AnswerFacts:
        """What the cache's policy asks."""
        said = answer.answer
        finish, reported = finish_of(said)
        return AnswerFacts(
            finish_reason=finish,
            provider_reports_finish=reported,
            refused=_refused(said),
            empty=not said.text,
            usage=usage_of(said),
            text=said.text,
            unfit=_CUT if answer.cut else None,
        )

    def encode(self, answer: Said[CompletionResponse]) -> Mapping[str, Any]:
        """Text, plain additional fields and the lengths of the pieces."""
        said = answer.answer
        extra = without_usage(extra_of(said))
        return {"text": said.text, "extra": extra, "pieces": list(answer.pieces)}

    def decode(self, body: Mapping[str, Any], decision: CacheDecision) -> Said[CompletionResponse]:
        """A fresh answer; also tells the instrumentation that it was served."""
        record = decision.record()
        extra = {**body["extra"], "agentperf": {"cache": record}}
        answer = CompletionResponse(text=body["text"], additional_kwargs=extra)
        announce_hit(record)
        return Said(answer, _sizes(body["pieces"]))

    def mark(
        self, answer: Said[CompletionResponse], decision: CacheDecision
    ) -> Said[CompletionResponse]:
        """The model's own answer with the record."""
        return Said(marked(answer.answer, decision.record()), answer.pieces)


_PLAIN_BLOCK = {"block_type", "text"}
_TEXT = vars(TextBlock(text=""))
_MESSAGE = vars(ChatMessage(role="assistant", blocks=[]))
_RESPONSE = vars(ChatResponse(message=ChatMessage()))


def _plain_answer(text: str, extra: dict[str, Any]) -> ChatResponse:
    """An answer of one text: the fields are known to be right, and checking them takes 11 us."""
    block = _made(TextBlock, {**_TEXT, "text": text})
    message = _made(ChatMessage, {**_MESSAGE, "blocks": [block], "additional_kwargs": {}})
    return _made(ChatResponse, {**_RESPONSE, "message": message, "additional_kwargs": extra})


def _made(kind: type[M], fields: dict[str, Any]) -> M:
    """What pydantic's `model_construct` does, which takes as long as checking."""
    made = kind.__new__(kind)
    put = object.__setattr__
    put(made, "__dict__", fields)
    put(made, "__pydantic_fields_set__", set(fields))
    put(made, "__pydantic_extra__", None)
    put(made, "__pydantic_private__", None)
    return made


def _only_text(blocks: object) -> str | None:
    """The text of what is one text block and nothing else."""
    found = cast("list[object]", blocks) if isinstance(blocks, list) else []
    if len(found) != 1 or not isinstance(found[0], dict):
        return None
    block = cast("dict[str, object]", found[0])
    if block.keys() != _PLAIN_BLOCK or block["block_type"] != "text":
        return None
    text = block["text"]
    return text if isinstance(text, str) else None


def _unfit(answer: Said[ChatResponse]) -> str | None:
    """Why an answer must not be given again, whatever the policy says."""
    role = answer.answer.message.role
    if role is not MessageRole.ASSISTANT:
        return f"it is not the assistant's, its role is {role.value!r}"
    return _CUT if answer.cut else None


def _sizes(stored: object) -> Sequence[int]:
    """What may be lengths of pieces; whether they fit the text is seen when they are needed."""
    return cast("list[int]", stored) if isinstance(stored, list) else ()


def _readable(arguments: Mapping[str, Any] | str) -> bool:
    if not isinstance(arguments, str) or not arguments:
        return True
    try:
        return isinstance(orjson.loads(arguments), dict)
    except orjson.JSONDecodeError:
        return False


CHAT = ChatCodec()
COMPLETION = CompletionCodec()
