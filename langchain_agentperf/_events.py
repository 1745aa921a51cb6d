"""What is kept of a LangChain callback event: little, at once, and never a prompt or an answer.

What it means is worked out by `_spans`, and only if somebody reads the run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import LLMResult

from agentperf_core.cache.requests.keys import canonical
from agentperf_core.events import BUS
from langchain_agentperf._answers import MARK
from langchain_agentperf._facts import finish_reason_of

__all__ = ["Answered", "answered", "carries", "hash_of", "name_of", "steers"]


def name_of(serialized: Mapping[str, Any] | None) -> str:
    """The name of a run that has none of its own: that of its class."""
    found: object = None
    if serialized:
        found = serialized.get("name") or (serialized.get("id") or [None])[-1]
    return str(found or "chain")


def hash_of(asked: object) -> int:
    """The hash of an input, whatever it is made of; `input_digest` makes its mark of it later.

    Python's own hash costs a tenth of a digest. It must not leave the process as it is: with
    `PYTHONHASHSEED` set, anybody could find a short input by trying.
    """
    if isinstance(asked, str):
        return hash(asked)
    try:
        return hash(canonical(asked))
    except Exception:  # no canonical form, or a schema that cannot be built
        return hash(repr(asked))


def carries(chunk: object) -> bool:
    """Whether a chunk without text brings content, a tool call or reasoning."""
    message = getattr(chunk, "message", None)
    if message is None:
        return bool(getattr(chunk, "text", ""))
    return bool(
        message.content
        or message.additional_kwargs
        or (isinstance(message, AIMessageChunk) and message.tool_call_chunks)
    )


def steers(error: BaseException) -> bool:
    """Whether this is LangGraph's control flow (an interrupt, a hand-over), not a failure."""
    graph = sys.modules.get("langgraph.errors")  # not loaded: then nothing of it was raised
    return graph is not None and isinstance(error, graph.GraphBubbleUp)


Answered: TypeAlias = tuple[str | None, str | None, Sequence[tuple[object, object]], object]
"""The figures of a model's answer as the integration reports them, without the answer: the model
that answered, the finish reason of the first generation that has one, per message the pack's mark
and the reported usage (`None` without), and the usage that some integrations give beside the
messages (completions, `n > 1`). A plain tuple: one of a class of its own is made by Python code."""

_DETAILS = ("input_token_details", "output_token_details")
_NOTHING: Answered = (None, None, (), None)


def answered(response: LLMResult) -> Answered:
    """Read a result; answers of completion models have no messages and only a reason."""
    try:
        model = reason = None
        messages: list[tuple[object, object]] = []
        for batch in response.generations:
            for generation in batch:
                if reason is None and generation.generation_info:
                    reason = finish_reason_of(generation.generation_info)
                # Not isinstance(): pydantic's costs more than all the rest of this loop.
                message: BaseMessage | None = getattr(generation, "message", None)
                if message is None:
                    continue
                metadata: Mapping[str, Any] = message.response_metadata
                model = model or metadata.get("model_name") or metadata.get("model")
                if reason is None:
                    # Most providers' own word; what it means is worked out with the rest.
                    said = metadata.get("finish_reason")
                    reason = said if isinstance(said, str) and said else finish_reason_of(metadata)
                usage: dict[str, Any] | None = getattr(message, "usage_metadata", None)
                messages.append((metadata.get(MARK), _copied(usage) if usage else None))
        extra = response.llm_output
        total = _copied(extra.get("token_usage")) if extra else None
    except Exception as error:  # an integration's own idea of a result
        BUS.fault("langchain.callback", error)
        return _NOTHING
    return model, reason, messages, total


def _copied(figures: object) -> object:
    """Figures that nobody can change any more: they are read later, the message is not ours."""
    if not isinstance(figures, dict):
        return None
    found = {**cast("dict[str, Any]", figures)}
    for name in _DETAILS:
        if isinstance(found.get(name), dict):
            found[name] = {**found[name]}
    return found
