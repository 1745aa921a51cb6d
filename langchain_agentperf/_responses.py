"""Answers of an agent's model call to plain data and back, and their replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeAlias, cast

from langchain.agents.middleware import ModelRequest, ModelResponse
from langchain_core.messages import AIMessage, ToolMessage

from agentperf_core.cache import AnswerFacts, CacheDecision
from agentperf_core.events import BUS
from langchain_agentperf._answers import decode_message, encode_message, marked
from langchain_agentperf._facts import facts_of
from langchain_agentperf.chat_models._replay import ReplayChatModel

__all__ = ["Answer", "ResponsesCodec", "replayed", "restored", "watched"]

Answer: TypeAlias = ModelResponse[Any] | AIMessage
"""What the agent's model call gave, or a stored message that it has yet to give again."""


class ResponsesCodec:
    """Stores the model's message only: the agent parses structured output from it again.

    Attributes:
        changed: parts of the request that middleware further in gave another value, see `watched`.
    """

    __slots__ = ("changed",)

    def __init__(self) -> None:
        self.changed: set[str] = set()

    def facts(self, answer: Answer) -> AnswerFacts:
        """What the policy needs to know, and whether the key still tells what was asked."""
        message = _message(answer)
        if message is None:
            return AnswerFacts(unfit="it is not one message")
        unfit = None
        if self.changed:
            parts = ", ".join(sorted(self.changed))
            unfit = f"middleware further in changed the {parts}; put the cache behind it"
        elif not _repeatable(answer):
            unfit = "its structured output could not be parsed"
        return replace(facts_of(message), unfit=unfit)

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


# The parts of a request that are in its key. The model is, too, but a router further in is welcome:
# that equal questions have one answer, whoever gives it, is what a cache before it means.
_ASKED = frozenset(
    {
        "messages",
        "model_settings",
        "response_format",
        "system_message",
        "system_prompt",
        "tool_choice",
        "tools",
    }
)


class _WatchedRequest(ModelRequest[Any]):
    """A request that notes which of its parts are given another value further in.

    The key was made of what came in here. A prompt that middleware further in writes for the user
    of the run is not in it, and the answer would be given to the next user.
    """

    def override(self, **overrides: Any) -> ModelRequest[Any]:
        for name, value in overrides.items():
            self._note(name, value)
        made = super().override(**overrides)
        made.__dict__["watchers"] = self.__dict__.get("watchers", ())
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        self._note(name, value)
        super().__setattr__(name, value)

    def _note(self, name: str, value: object) -> None:
        watchers: tuple[set[str], ...] = self.__dict__.get("watchers", ())
        if watchers and name in _ASKED and value != getattr(self, name):
            for changed in watchers:
                changed.add(name)


def watched(request: ModelRequest[Any], changed: set[str]) -> ModelRequest[Any]:
    """The same request, which adds to `changed` what middleware further in changes of it."""
    try:
        made = _WatchedRequest(**_parts(request))
    except Exception as error:  # a class of requests that is not LangChain's
        BUS.fault("cache.watch", error)
        changed.add("class of the request")
        return request
    # A cache around this one watches, too.
    made.__dict__["watchers"] = (*request.__dict__.get("watchers", ()), changed)
    return made


class _ReplayRequest(ModelRequest[Any]):
    """A request whose model stays: middleware further in must not turn a hit into a paid call."""

    def override(self, **overrides: Any) -> ModelRequest[Any]:
        overrides.pop("model", None)
        return super().override(**overrides)


def replayed(request: ModelRequest[Any], answer: AIMessage) -> ModelRequest[Any]:
    """The same request, to be answered with a stored message in the name of its model."""
    parts = _parts(request)
    parts["model"] = ReplayChatModel.of(answer, request.model)
    return _ReplayRequest(**parts)


def restored(response: ModelResponse[Any], answer: AIMessage) -> ModelResponse[Any]:
    """The response to a replay, saying what was stored.

    Middleware further in that edits answers has edited the stored one already, on the way out of
    the live call, and now once more.
    """
    message = _message(response)
    if message is None or (
        message.content == answer.content
        and [call["args"] for call in message.tool_calls]
        == [call["args"] for call in answer.tool_calls]
    ):
        return response
    kept = {"content": answer.content, "tool_calls": answer.tool_calls}
    copy = message.model_copy(update=kept)
    return replace(response, result=[copy if m is message else m for m in response.result])


def _parts(request: ModelRequest[Any]) -> dict[str, Any]:
    return {part.name: getattr(request, part.name) for part in fields(request)}


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
