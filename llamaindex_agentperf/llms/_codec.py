"""How answers of LlamaIndex models become plain data for the cache, and answers again.

A served answer has no `raw`: the usage in it would be counted a second time by whoever reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import orjson
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.instrumentation import get_dispatcher  # pyright: ignore[reportPrivateImportUsage] - its documented home

from agentperf_core.cache import AnswerFacts, CacheDecision
from llamaindex_agentperf._usage import (
    USAGE_KEYS,
    Answer,
    extra_of,
    field_of,
    finish_of,
    usage_of,
)
from llamaindex_agentperf.events import CacheHitEvent

__all__ = ["CHAT", "COMPLETION", "ChatCodec", "CompletionCodec", "marked"]

A = TypeVar("A", ChatResponse, CompletionResponse)

_dispatcher = get_dispatcher(__name__)


def marked(answer: A, record: Mapping[str, Any]) -> A:
    """A copy of an answer that carries a cache record; the original stays as it is."""
    extra = extra_of(answer)
    ours = {**extra.get("agentperf", {}), "cache": record}
    return answer.model_copy(update={"additional_kwargs": {**extra, "agentperf": ours}})


def _kept(extra: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in extra.items() if k not in USAGE_KEYS and k != "agentperf"}


def _refused(answer: Answer) -> bool:
    choices = field_of(answer.raw, "choices")
    if not isinstance(choices, (list, tuple)) or not choices:
        return False
    return bool(field_of(field_of(cast("list[object]", choices)[0], "message"), "refusal"))


def _announce(decision: CacheDecision) -> None:
    """Tell LlamaIndex's instrumentation; runs inside the span of the call that is answered."""
    _dispatcher.event(CacheHitEvent(decision=decision.record()))


class ChatCodec:
    """Codec of `ChatResponse`."""

    def facts(self, answer: ChatResponse) -> AnswerFacts:
        """What the cache's policy asks."""
        blocks = answer.message.blocks
        calls = [block for block in blocks if isinstance(block, ToolCallBlock)]
        legacy = answer.message.additional_kwargs.get("tool_calls") or ()
        finish, reported = finish_of(answer)
        return AnswerFacts(
            finish_reason=finish,
            provider_reports_finish=reported,
            tool_calls=len(calls) or len(legacy),
            invalid=not all(_readable(call.tool_kwargs) for call in calls),
            refused=_refused(answer),
            empty=not legacy and all(isinstance(b, TextBlock) and not b.text for b in blocks),
            usage=usage_of(answer),
        )

    def encode(self, answer: ChatResponse) -> Mapping[str, Any]:
        """Role, blocks and plain additional fields."""
        message = answer.message
        extra = _kept(message.additional_kwargs)
        if any(isinstance(block, ToolCallBlock) for block in message.blocks):
            # Streams repeat the calls here as objects of the provider's SDK.
            extra.pop("tool_calls", None)
        probabilities = answer.logprobs
        return {
            "role": message.role.value,
            "blocks": [block.model_dump(mode="json") for block in message.blocks],
            "extra": extra,
            "answer_extra": _kept(extra_of(answer)),
            "logprobs": [[p.model_dump() for p in row] for row in probabilities]
            if probabilities is not None
            else None,
        }

    def decode(self, body: Mapping[str, Any], decision: CacheDecision) -> ChatResponse:
        """A fresh answer; also tells the instrumentation that it was served."""
        message = ChatMessage(
            role=body["role"], blocks=body["blocks"], additional_kwargs=body["extra"]
        )
        answer = ChatResponse(
            message=message, logprobs=body["logprobs"], additional_kwargs=body["answer_extra"]
        )
        _announce(decision)
        return marked(answer, decision.record())

    def mark(self, answer: ChatResponse, decision: CacheDecision) -> ChatResponse:
        """The model's own answer with the record."""
        return marked(answer, decision.record())


class CompletionCodec:
    """Codec of `CompletionResponse`."""

    def facts(self, answer: CompletionResponse) -> AnswerFacts:
        """What the cache's policy asks."""
        finish, reported = finish_of(answer)
        return AnswerFacts(
            finish_reason=finish,
            provider_reports_finish=reported,
            refused=_refused(answer),
            empty=not answer.text,
            usage=usage_of(answer),
        )

    def encode(self, answer: CompletionResponse) -> Mapping[str, Any]:
        """Text and plain additional fields."""
        return {
            "text": answer.text,
            "extra": _kept(extra_of(answer)),
        }

    def decode(self, body: Mapping[str, Any], decision: CacheDecision) -> CompletionResponse:
        """A fresh answer; also tells the instrumentation that it was served."""
        answer = CompletionResponse(text=body["text"], additional_kwargs=body["extra"])
        _announce(decision)
        return marked(answer, decision.record())

    def mark(self, answer: CompletionResponse, decision: CacheDecision) -> CompletionResponse:
        """The model's own answer with the record."""
        return marked(answer, decision.record())


def _readable(arguments: Mapping[str, Any] | str) -> bool:
    if not isinstance(arguments, str) or not arguments:
        return True
    try:
        return isinstance(orjson.loads(arguments), dict)
    except orjson.JSONDecodeError:
        return False


CHAT = ChatCodec()
COMPLETION = CompletionCodec()
