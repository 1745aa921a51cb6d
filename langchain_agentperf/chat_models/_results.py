"""Answers of a chat model, as its own methods give them, to plain data and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from agentperf_core.cache import AnswerFacts, CacheDecision
from langchain_agentperf._answers import decode_message, encode_message, made, marked
from langchain_agentperf._facts import facts_of

__all__ = ["RESULTS", "Said"]


@dataclass(slots=True)
class Said:
    """One answer: a live result of the model, or a stored message.

    Attributes:
        message: the message with the metadata of its generation; `None` unless there is one.
        result: what the model returned; `None` for a stored answer.
        pieces: lengths of the chunks in which its text came, `()` if it did not come in chunks.
    """

    message: AIMessage | None
    result: ChatResult | None = None
    pieces: Sequence[int] = field(default=())

    @classmethod
    def by(cls, result: ChatResult, pieces: Sequence[int] = ()) -> Said:
        """What a model returned. LangChain merges the metadata so, too, but only later."""
        if len(result.generations) != 1:
            return cls(None, result)
        generation = result.generations[0]
        message = generation.message
        if not isinstance(message, AIMessage):
            return cls(None, result)
        metadata = {
            **(result.llm_output or {}),
            **(generation.generation_info or {}),
            **cast("Mapping[str, Any]", message.response_metadata),
        }
        whole = message.model_copy(update={"response_metadata": metadata})
        return cls(whole, result, pieces)

    def as_result(self) -> ChatResult:
        """The same, as `_generate` returns it; a stored message has no id, so the run draws one."""
        if self.result is not None:
            return self.result
        message = cast("AIMessage", self.message)
        text = message.content
        if type(text) is not str:
            return ChatResult(generations=[ChatGeneration(message=message)])
        # Made of nothing that needs a check, which would take a fifth of a hit.
        said = {"message": message, "text": text}
        one = made(ChatGeneration, said, {**_GENERATION, **said})
        several = {"generations": [one]}
        return made(ChatResult, several, {**_RESULT, **several})


class _ResultsCodec:
    """Stores the message, and the borders of its chunks if it was streamed."""

    def facts(self, answer: Said) -> AnswerFacts:
        """What the policy needs to know of the answer."""
        if answer.message is None:
            return AnswerFacts(unfit="it is not one message")
        return facts_of(answer.message)

    def encode(self, answer: Said) -> Mapping[str, Any]:
        """The message as plain JSON data."""
        body = encode_message(cast("AIMessage", answer.message))
        return {**body, "pieces": list(answer.pieces)} if answer.pieces else body

    def decode(self, body: Mapping[str, Any], decision: CacheDecision) -> Said:
        """A stored message, fresh and marked."""
        message = decode_message(body, decision, named=False)
        pieces = body.get("pieces")
        return Said(message, pieces=cast("list[int]", pieces) if isinstance(pieces, list) else ())

    def mark(self, answer: Said, decision: CacheDecision) -> Said:
        """The model's own result with marked copies of its messages."""
        if answer.result is None:
            return answer
        copies = [
            generation.model_copy(update={"message": marked(generation.message, decision)})
            for generation in answer.result.generations
        ]
        return replace(answer, result=answer.result.model_copy(update={"generations": copies}))


_GENERATION = vars(ChatGeneration(message=AIMessage("")))
_RESULT = vars(ChatResult(generations=[]))

RESULTS = _ResultsCodec()
