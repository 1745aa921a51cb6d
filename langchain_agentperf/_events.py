"""What one LangChain callback event says, in the recorder's words."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, cast

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from agentperf_core.cache.keys import canonical
from agentperf_core.telemetry import SpanKind, input_digest
from agentperf_core.types import Usage
from langchain_agentperf._answers import cache_mark
from langchain_agentperf._facts import finish_reason_of, usage_from

__all__ = [
    "NO_MODEL",
    "Model",
    "Outcome",
    "carries",
    "chain_kind",
    "digest",
    "estimate",
    "model_of",
    "name_of",
    "noted",
    "steers",
    "text_of",
]

_ATTEMPT = "retry:attempt:"


def name_of(serialized: Mapping[str, Any] | None, options: Mapping[str, Any]) -> str:
    """The name of a run: its own, else that of its class."""
    found = options.get("name")
    if not found and serialized:
        found = serialized.get("name") or (serialized.get("id") or [None])[-1]
    return str(found or "chain")


def chain_kind(name: str, event: Mapping[str, Any]) -> SpanKind:
    """A run of a LangGraph graph is an agent, a node or a runnable inside it a chain."""
    metadata = event.get("metadata")
    if not metadata or "ls_integration" not in metadata:
        return SpanKind.CHAIN
    graph = name == "LangGraph" or name == metadata.get("lc_agent_name")
    return SpanKind.AGENT if graph or event.get("parent_run_id") is None else SpanKind.CHAIN


def noted(event: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that every kind of span has: node of the graph, tool call, attempt of a retry."""
    found: dict[str, Any] = {}
    if (metadata := event.get("metadata")) and "langgraph_node" in metadata:
        found["node"] = metadata["langgraph_node"]
    if call_id := event.get("tool_call_id"):
        found["tool_call_id"] = call_id
    for tag in event.get("tags") or ():
        if tag.startswith(_ATTEMPT) and (number := tag.removeprefix(_ATTEMPT)).isdecimal():
            found["attempt"] = int(number)
    return found


def digest(asked: object) -> str:
    """The mark of an input, whatever it is made of."""
    if isinstance(asked, str):
        return input_digest(asked)
    try:
        return input_digest(canonical(asked))
    except Exception:  # no canonical form, or a schema that cannot be built
        return input_digest(repr(asked))


class Model(NamedTuple):
    """Who is asked in a model call."""

    name: str
    model: str | None
    provider: str | None


NO_MODEL = Model("", None, None)


def model_of(serialized: Mapping[str, Any] | None, event: Mapping[str, Any]) -> Model:
    """The model by the name that its integration reports, else by its run's name alone."""
    known = cast("Mapping[str, Any]", event.get("metadata") or {})
    params = cast("Mapping[str, Any]", event.get("invocation_params") or {})
    model = known.get("ls_model_name") or params.get("model") or params.get("model_name")
    if not isinstance(model, str):
        return Model(name_of(serialized, event), None, known.get("ls_provider"))
    return Model(model, model, known.get("ls_provider"))


def text_of(content: object) -> str:
    """Text as it is, anything richer as its digest."""
    return content if isinstance(content, str) else digest(content)


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


def estimate(chunks: int) -> Usage | None:
    """The least that a broken stream cost: about one token for each chunk that came."""
    return Usage(output_tokens=chunks, estimated=True) if chunks else None


def steers(error: BaseException) -> bool:
    """Whether this is LangGraph's control flow (an interrupt, a hand-over), not a failure."""
    graph = sys.modules.get("langgraph.errors")  # not loaded: then nothing of it was raised
    return graph is not None and isinstance(error, graph.GraphBubbleUp)


class Outcome(NamedTuple):
    """How a model call ended.

    Attributes:
        usage: tokens of all generations; what was saved, for an answer from a cache.
        model: the model that answered, by its own word.
        finish_reason: of the first generation that has one.
        cache: what the recorder is told of a cache hit, else `None`.
    """

    usage: Usage | None = None
    model: str | None = None
    finish_reason: str | None = None
    cache: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, response: LLMResult) -> Self:
        """Read a result; answers of completion models have no messages and only a reason."""
        usages: list[Usage] = []
        model = reason = None
        cache: Mapping[str, Any] | None = None
        for generation in _generations(response):
            info = generation.generation_info
            reason = reason or (finish_reason_of(info) if info else None)
            if not isinstance(generation, ChatGeneration):
                continue
            message = generation.message
            metadata = cast("Mapping[str, Any]", message.response_metadata)
            model = model or metadata.get("model_name") or metadata.get("model")
            reason = reason or finish_reason_of(metadata)
            served, spent = _cached(message)
            cache = cache or served
            if spent is not None:
                usages.append(spent)
        return cls(_spent(usages, _total(response)), model, reason, cache)


def _generations(response: LLMResult) -> Iterator[Generation]:
    return (generation for batch in response.generations for generation in batch)


def _cached(message: BaseMessage) -> tuple[Mapping[str, Any] | None, Usage | None]:
    mark = cache_mark(message)
    if mark is not None and mark.get("outcome") in {"hit", "coalesced"}:
        saved = mark.get("saved_usage")
        rest = {key: value for key, value in mark.items() if key != "saved_usage"}
        return {**rest, "of": "llm"}, Usage(**saved) if saved else None
    usage = usage_from(message)
    reported = cast("Mapping[str, Any]", getattr(message, "usage_metadata", None) or {})
    # LangChain's own caches mark a hit with a cost of exactly zero, and leave the tokens in.
    if reported.get("total_cost") == 0:
        return {"outcome": "hit", "tier": "langchain", "of": "llm"}, usage
    return None, usage


def _spent(usages: Sequence[Usage], total: Usage | None) -> Usage | None:
    """What the call cost; with `n > 1` OpenAI's integration writes its total on each answer."""
    if not usages:
        return total
    if total is not None and all(usage.total_tokens == total.total_tokens for usage in usages):
        return usages[0]
    return sum(usages[1:], usages[0])


def _total(response: LLMResult) -> Usage | None:
    """The total that some integrations give beside the messages (completions, `n > 1`)."""
    given = (response.llm_output or {}).get("token_usage")
    if not isinstance(given, dict):
        return None
    counts = cast("Mapping[str, Any]", given)
    asked, made = counts.get("prompt_tokens"), counts.get("completion_tokens")
    if asked is None and made is None:
        return None
    return Usage.from_totals(input_tokens=asked or 0, output_tokens=made or 0)
