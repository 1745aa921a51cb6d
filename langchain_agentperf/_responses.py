"""Answers of an agent's model call to plain data and back, and their replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeAlias, cast

from langchain.agents.middleware import ModelRequest, ModelResponse
from langchain_core.messages import AIMessage, ToolMessage

from agentperf_core.cache import AnswerFacts, CacheDecision
from langchain_agentperf._answers import decode_message, encode_message, marked
from langchain_agentperf._convert import facts_of
from langchain_agentperf.chat_models._replay import ReplayChatModel

__all__ = ["RESPONSES", "Answer", "replayed"]

Answer: TypeAlias = ModelResponse[Any] | AIMessage
"""What the agent's model call gave, or a stored message that it has yet to give again."""


class _ResponsesCodec:
    """Stores the model's message only: the agent parses structured output from it again."""

    def facts(self, answer: Answer) -> AnswerFacts:
        """What the policy needs to know; more than one answer counts as not parseable."""
        message = _message(answer)
        if message is None:
            return AnswerFacts(invalid=True)
        facts = facts_of(message)
        return replace(facts, invalid=facts.invalid or not _repeatable(answer))

    def encode(self, answer: Answer) -> Mapping[str, Any]:
        """The model's message as plain JSON data, without the name that the agent gave it."""
        message = cast("AIMessage", _message(answer))
        return {key: value for key, value in encode_message(message).items() if key != "name"}

    def decode(self, body: Mapping[str, Any], decision: CacheDecision) -> Answer:
        """The stored message, fresh and marked; `replayed` gives it to the agent."""
        return decode_message(body, decision)

    def mark(self, answer: Answer, decision: CacheDecision) -> Answer:
        """The same response with a marked copy of the model's message."""
        message = _message(answer)
        if message is None or not isinstance(answer, ModelResponse):
            return answer
        copy = marked(message, decision)
        return replace(answer, result=[copy if m is message else m for m in answer.result])


RESPONSES = _ResponsesCodec()


class _ReplayRequest(ModelRequest[Any]):
    """A request whose model stays: middleware further in must not turn a hit into a paid call."""

    def override(self, **overrides: Any) -> ModelRequest[Any]:
        overrides.pop("model", None)
        return super().override(**overrides)


def replayed(request: ModelRequest[Any], answer: AIMessage) -> ModelRequest[Any]:
    """The same request, to be answered with a stored message in the name of its model."""
    parts: dict[str, Any] = {field.name: getattr(request, field.name) for field in fields(request)}
    parts["model"] = ReplayChatModel.of(answer, request.model)
    return _ReplayRequest(**parts)


def _message(answer: Answer) -> AIMessage | None:
    """The one message of the model; `None` if there is another number of them."""
    if isinstance(answer, AIMessage):
        return answer
    found = [message for message in answer.result if isinstance(message, AIMessage)]
    return found[0] if len(found) == 1 else None


def _repeatable(answer: Answer) -> bool:
    """Whether the agent will make the same response of the same message again.

    Structured output by tool adds a `ToolMessage`; without a parsed result it holds an error, and
    the answer is one that should not be given twice.
    """
    if isinstance(answer, AIMessage) or len(answer.result) == 1:
        return True
    rest = (message for message in answer.result if not isinstance(message, AIMessage))
    return answer.structured_response is not None and all(
        isinstance(message, ToolMessage) for message in rest
    )
