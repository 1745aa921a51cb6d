"""What LangChain's runs are, told from what was kept of their events; runs when a trace is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from agentperf_core.telemetry import Closing, Opening, SpanKind, input_digest
from agentperf_core.types import Usage
from langchain_agentperf._answers import cache_mark
from langchain_agentperf._events import Answered
from langchain_agentperf._facts import plain_reason, usage_of

__all__ = ["answer", "answered_for", "broken", "chain", "model", "retrieved", "retriever", "tool"]

_ATTEMPT = "retry:attempt:"
_Metadata = Mapping[str, Any] | None


def chain(name: str, tags: Iterable[str], metadata: _Metadata, parent: object) -> Opening:
    """A run of a LangGraph graph is an agent, a node or a runnable inside it a chain."""
    kind = SpanKind.CHAIN
    if metadata and "ls_integration" in metadata:
        graph = name == "LangGraph" or name == metadata.get("lc_agent_name")
        kind = SpanKind.AGENT if graph or parent is None else SpanKind.CHAIN
    return Opening(kind, name, attributes=_noted(tags, metadata))


def model(
    name: str, tags: Iterable[str], metadata: _Metadata, param: str | None, *said: int
) -> Opening:
    """A call of a model, by the model's name if its integration reports one or has it as a `param`.

    Repeated calls have the same model and the same `said`: the length of the history and the hash
    of the last message.
    """
    reported = metadata or {}
    named = reported.get("ls_model_name")
    asked = param if named is None else named if isinstance(named, str) else None
    known = asked or name
    mark = input_digest("\0".join(map(str, (known, *said))))
    provider = reported.get("ls_provider")
    return Opening(SpanKind.LLM, known, asked, provider, _noted(tags, metadata, input_hash=mark))


def tool(
    name: str, tags: Iterable[str], metadata: _Metadata, asked: int, call_id: str | None
) -> Opening:
    """A call of a tool."""
    noted = _noted(tags, metadata, input_hash=input_digest(str(asked)))
    if call_id:
        noted["tool_call_id"] = call_id
    return Opening(SpanKind.TOOL, name, attributes=noted)


def answered_for(record: Mapping[str, Any]) -> Closing:
    """What answered in place of a tool: a cache, which makes a cache span, or a substitute."""
    if record.get("outcome") in {"hit", "coalesced"}:
        return Closing(cache={**record, "of": "tool"})
    return Closing(attributes={"substitute": record.get("substitute")})


def retriever(name: str, tags: Iterable[str], metadata: _Metadata, asked: int) -> Opening:
    """A search."""
    noted = _noted(tags, metadata, input_hash=input_digest(str(asked)))
    return Opening(SpanKind.RETRIEVER, name, attributes=noted)


def retrieved(documents: int) -> Closing:
    """How much a search found."""
    return Closing(attributes={"documents": documents})


def answer(answered: Answered) -> Closing:
    """Usage and model of an answer; what was saved, for one from a cache."""
    model, reason, messages, total = answered
    usages: list[Usage] = []
    cache: Mapping[str, Any] | None = None
    for mark, reported in messages:
        served, spent = _cached(mark, reported)
        cache = cache or served
        if spent is not None:
            usages.append(spent)
    noted = {"finish_reason": plain_reason(reason)} if reason is not None else None
    return Closing(_spent(usages, _total(total)), model, cache, noted)


def broken(answered: Answered | None, chunks: int) -> Closing:
    """What a failed call cost by its own report, else at least a token for each chunk that came."""
    usage = answer(answered).usage if answered is not None else None
    if usage is None and chunks:
        usage = Usage(output_tokens=chunks, estimated=True)
    return Closing(usage)


def _noted(tags: Iterable[str], metadata: _Metadata, **more: Any) -> dict[str, Any]:
    """Attributes that every kind of span has: node of the graph, attempt of a retry."""
    if metadata and "langgraph_node" in metadata:
        more["node"] = metadata["langgraph_node"]
    for tag in tags or ():
        if tag.startswith(_ATTEMPT) and (number := tag.removeprefix(_ATTEMPT)).isdecimal():
            more["attempt"] = int(number)
    return more


def _cached(mark: object, reported: object) -> tuple[Mapping[str, Any] | None, Usage | None]:
    decision = cache_mark(mark)
    if decision is not None and decision.get("outcome") in {"hit", "coalesced"}:
        saved = decision.get("saved_usage")
        rest = {key: value for key, value in decision.items() if key != "saved_usage"}
        return {**rest, "of": "llm"}, Usage(**saved) if saved else None
    figures = cast("Mapping[str, Any] | None", reported)
    usage = usage_of(figures)
    # LangChain's own caches mark a hit with a cost of exactly zero, and leave the tokens in.
    if figures and figures.get("total_cost") == 0:
        return {"outcome": "hit", "tier": "langchain", "of": "llm"}, usage
    return None, usage


def _spent(usages: Sequence[Usage], total: Usage | None) -> Usage | None:
    """What the call cost; with `n > 1` OpenAI's integration writes its total on each answer."""
    if not usages:
        return total
    if total is not None and all(usage.total_tokens == total.total_tokens for usage in usages):
        return usages[0]
    return sum(usages[1:], usages[0])


def _total(given: object) -> Usage | None:
    if not isinstance(given, dict):
        return None
    counts = cast("Mapping[str, Any]", given)
    asked, made = counts.get("prompt_tokens"), counts.get("completion_tokens")
    if asked is None and made is None:
        return None
    return Usage.from_totals(input_tokens=asked or 0, output_tokens=made or 0)
