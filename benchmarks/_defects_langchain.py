"""Rows of `bench_cache_defects.py`: the cache of langchain-core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import openai
from _cache_common import at_once
from _defects import Chat, Row, count
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import Generation
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import SecretStr, create_model

from agentperf_core.bench.endpoint import Reply, ScriptedEndpoint
from agentperf_core.cache import ExactCache as CoreCache
from agentperf_core.cache import MemoryStore
from langchain_agentperf import CachedChatModel, ExactCache

PEER = "langchain-core: InMemoryCache"
OURS = "CachedChatModel"
Wrap = Callable[..., tuple[Chat, Any]]
"""Gives a model that counts, and what is asked in its place."""


def stock(**fields: Any) -> tuple[Chat, Any]:
    model = Chat(cache=InMemoryCache(), **fields)
    return model, model


def wrapped(**fields: Any) -> tuple[Chat, Any]:
    model = Chat(**fields)
    return model, CachedChatModel(model)


def streams(wrap: Wrap) -> str:
    model, asked = wrap()
    for _ in range(2):
        list(asked.stream("q"))
    return model.calls


def equal_calls(wrap: Wrap) -> str:
    model, asked = wrap(hold_s=0.3)
    at_once(lambda: asked.ainvoke("q"), 20, is_async=True)
    return model.calls


def tool_step_with_new_ids(wrap: Wrap) -> str:
    model, asked = wrap()
    for drawn in ("c1", "c2"):
        call: Any = {"name": "f", "args": {"x": 1}, "id": drawn}
        step = [
            HumanMessage("q"),
            AIMessage("", tool_calls=[call]),
            ToolMessage("r", tool_call_id=drawn),
        ]
        asked.invoke(step)
    return model.calls


def history_with_a_hit(wrap: Wrap) -> str:
    model, asked = wrap()
    for _ in range(3):
        asked.invoke([HumanMessage("q"), asked.invoke([HumanMessage("q")]), HumanMessage("z")])
    return model.calls


def changed_model(wrap: Wrap) -> str:
    model, asked = wrap()
    asked.invoke("q")
    model.model = "large"
    asked.invoke("q")
    return model.calls


def schemas_of_one_name(wrap: Wrap) -> str:
    model, asked = wrap()
    for field, kind in (("x", int), ("y", str)):
        fields: Any = {field: (kind, ...)}
        asked.bind(response_format=create_model("Reply", **fields)).invoke("q")
    return model.calls


def tools_in_another_order(wrap: Wrap) -> str:
    model, asked = wrap()
    tools: list[Any] = [
        {"type": "function", "function": {"name": name, "parameters": {}}} for name in "ab"
    ]
    for given in (tools, tools[::-1]):
        asked.bind_tools(given).invoke("q")
    return model.calls


def another_timeout(around: Callable[[Chat], Any], **fields: Any) -> str:
    models = [Chat(timeout=seconds, **fields) for seconds in (1.0, 9.0)]
    for model in models:
        around(model).invoke("q")
    return count(sum(model.made for model in models), "call")


def edited_answer(wrap: Wrap) -> str:
    _, asked = wrap()
    asked.invoke("q").content = "edited"
    return str(asked.invoke("q").text)


def counted_tokens(wrap: Wrap) -> str:
    _, asked = wrap()
    counter = UsageMetadataCallbackHandler()
    for _ in range(3):
        asked.invoke("q", config={"callbacks": [counter]})
    return count(counter.usage_metadata["small"]["total_tokens"], "token")


def answers_in_one_state(wrap: Wrap) -> str:
    _, asked = wrap()

    def node(state: MessagesState) -> Any:
        return {"messages": [asked.invoke("fixed prompt")]}

    builder: Any = StateGraph(MessagesState).add_sequence([("a", node), ("b", node)])
    state = builder.add_edge(START, "a").compile().invoke({"messages": [HumanMessage("hi")]})
    return count(len(state["messages"]) - 1, "answer")


class Down(MemoryStore):
    """Reads, and fails on writing."""

    in_process = False

    def set(self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()) -> None:
        msg = "store down"
        raise ConnectionError(msg)


class StockDown(InMemoryCache):
    """The same behind LangChain's interface."""

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:
        msg = "store down"
        raise ConnectionError(msg)


def failing_store(asked: Any) -> str:
    return str(asked.invoke("q").text)


def tenants(ours: bool) -> str:  # noqa: FBT001 - one scenario, two arms
    with ScriptedEndpoint(lambda _: Reply("of one tenant"), time_scale=0) as server:
        shared, core = InMemoryCache(), CoreCache()
        for tenant in ("a", "b"):
            with openai.DefaultHttpxClient() as client:
                model = ChatOpenAI(
                    model="gpt-4o-mini",
                    api_key=SecretStr(f"key of {tenant}"),
                    base_url=server.base_url,
                    http_client=client,
                    cache=False if ours else shared,
                )
                asked = CachedChatModel(model, cache=core, tenant=tenant) if ours else model
                asked.invoke("q")
        return count(len(server.requests), "call")


def kept_after_a_look(cache: BaseCache) -> str:
    for prompt in "ab":
        cache.update(prompt, "m", [Generation(text=prompt)])
    cache.lookup("a", "m")
    cache.update("c", "m", [Generation(text="c")])
    return " and ".join(prompt for prompt in "abc" if cache.lookup(prompt, "m") is not None)


def kept_after_an_update(cache: BaseCache) -> str:
    for prompt in "abb":
        cache.update(prompt, "m", [Generation(text=prompt)])
    return " and ".join(prompt for prompt in "ab" if cache.lookup(prompt, "m") is not None)


SCENARIOS: tuple[tuple[str, str, Callable[[Wrap], str]], ...] = (
    ("two equal streams", "1 call", streams),
    ("20 equal calls at once", "1 call", equal_calls),
    ("an agent's step again, with new tool-call ids", "1 call", tool_step_with_new_ids),
    ("the turn after a hit, three times", "2 calls", history_with_a_hit),
    ("`model.model = ...` between two calls", "2 calls", changed_model),
    ("two response formats of one class name", "2 calls", schemas_of_one_name),
    ("the same tools in another order", "1 call", tools_in_another_order),
    ("an answer is edited; the next one says", "answer 1", edited_answer),
    ("tokens billed for one call and two hits", "15 tokens", counted_tokens),
    ("two nodes ask the same; in the state are", "2 answers", answers_in_one_state),
)


def rows() -> list[Row]:
    found = [
        Row(what, right, PEER, lambda run=run: run(stock), OURS, lambda run=run: run(wrapped))
        for what, right, run in SCENARIOS
    ]
    core = CoreCache()
    small = MemoryStore(max_entries=2)
    return [
        *found,
        Row(
            "two models that differ in their time-out",
            "1 call",
            PEER,
            lambda: another_timeout(lambda model: model, cache=InMemoryCache()),
            OURS,
            lambda: another_timeout(lambda model: CachedChatModel(model, cache=core)),
        ),
        Row(
            "two API keys, one prompt",
            "2 calls",
            PEER,
            lambda: tenants(ours=False),
            f"{OURS}, tenant=",
            lambda: tenants(ours=True),
        ),
        Row(
            "the store fails on writing",
            "answer 1",
            PEER.replace("InMemoryCache", "any BaseCache"),
            lambda: failing_store(Chat(cache=StockDown())),
            OURS,
            lambda: failing_store(CachedChatModel(Chat(), store=Down())),
        ),
        Row(
            "room for 2: a, b, a look at a, c; kept are",
            "a and c",
            PEER,
            lambda: kept_after_a_look(InMemoryCache(maxsize=2)),
            "ExactCache",
            lambda: kept_after_a_look(ExactCache(store=small)),
        ),
        Row(
            "room for 2: a, b, b again; kept are",
            "a and b",
            PEER,
            lambda: kept_after_an_update(InMemoryCache(maxsize=2)),
            "ExactCache",
            lambda: kept_after_an_update(ExactCache(store=MemoryStore(max_entries=2))),
        ),
    ]
