"""Defects of LangChain's and LangGraph's caches around streams, nodes and meaning.

Ours must get each scenario right; the runs with the stock classes are a record: they pass as long
as the defect is there, and skip with a remark once upstream has fixed it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langgraph.cache.memory import InMemoryCache as StockNodeCache
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import CachePolicy

from agentperf_core.cache import MemoryStore
from agentperf_core.cache.semantic.scale import PROBES
from langchain_agentperf import (
    CachedChatModel,
    NodeCache,
    SemanticCache,
    TieredCache,
    message_state_key,
)
from tests.langchain.scripted_models import ScriptedChat, say


def fixed_upstream(what: str) -> None:
    pytest.skip(f"upstream gets this right now: {what}")


async def _astream(model: BaseChatModel) -> str:
    return "".join([chunk.text async for chunk in model.astream("q")])


def test_streams_hit() -> None:
    inner = ScriptedChat()
    model = CachedChatModel(inner)
    texts = ["".join(chunk.text for chunk in model.stream("q")) for _ in range(2)]
    texts += [asyncio.run(_astream(model)), str(model.invoke("q").text)]
    assert (texts, inner.calls) == (["answer 1"] * 4, 1)


def test_record_of_upstream_streams() -> None:
    """langchain#13119, #23701: asked for since 2023."""
    model = ScriptedChat(cache=InMemoryCache())
    model.invoke("q")
    list(model.stream("q"))
    asyncio.run(_astream(model))
    if model.calls == 1:
        fixed_upstream("streams use the cache")


def test_equal_inputs_of_a_batch_are_one_call() -> None:
    inner = ScriptedChat()
    answers = asyncio.run(CachedChatModel(inner).abatch(["q"] * 8))
    assert ({answer.text for answer in answers}, inner.calls) == ({"answer 1"}, 1)


def test_record_of_upstream_batches() -> None:
    model = ScriptedChat(cache=InMemoryCache())
    asyncio.run(model.abatch(["q"] * 8))
    if model.calls == 1:
        fixed_upstream("equal inputs of a batch are joined")


class Greeter:
    """A node that is a callable object, as instances of classes are."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.runs = 0

    def __call__(self, state: MessagesState) -> Any:
        self.runs += 1
        return {"messages": [AIMessage(self.text)]}


def graph_of(node: Greeter, cache: Any, policy: Any) -> Any:
    builder: Any = StateGraph(MessagesState).add_edge(START, "node")
    return builder.add_node("node", node, cache_policy=policy).compile(cache=cache)


def ask(graph: Any) -> str:
    return graph.invoke({"messages": [HumanMessage("Hi")]})["messages"][-1].text


def test_nodes_on_message_state_hit() -> None:
    node = Greeter("Hello")
    graph = graph_of(node, NodeCache(graph="g"), CachePolicy(key_func=message_state_key))
    assert ([ask(graph), ask(graph)], node.runs) == (["Hello"] * 2, 1)


def test_record_of_upstream_nodes() -> None:
    """The default key pickles the message ids, which are drawn at random."""
    node = Greeter("Hello")
    graph = graph_of(node, StockNodeCache(), CachePolicy())
    ask(graph)
    ask(graph)
    if node.runs == 1:
        fixed_upstream("a node on message state hits")


def test_two_graphs_on_one_store_keep_their_nodes_apart() -> None:
    store, policy = MemoryStore(), CachePolicy(key_func=message_state_key)
    graphs = [graph_of(Greeter(t), NodeCache(graph=t, store=store), policy) for t in ("a", "b")]
    assert [ask(graph) for graph in graphs] == ["a", "b"]


def test_record_of_upstream_namespaces() -> None:
    """langgraph#8753: callable objects are all `__dynamic__`."""
    cache: Any = StockNodeCache()
    policy = CachePolicy(key_func=message_state_key)
    answers = [ask(graph_of(Greeter(text), cache, policy)) for text in ("a", "b")]
    if answers == ["a", "b"]:
        fixed_upstream("nodes of two graphs are kept apart")


class Noting:
    """An encoder that keeps what it was given."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: Sequence[str]) -> Any:
        self.texts += texts
        return np.ones((len(texts), 4), dtype=np.float32)


SYSTEM = SystemMessage("You are the support desk of a parcel service. Be brief and polite.")


def test_a_semantic_cache_sees_the_question_and_not_its_envelope() -> None:
    """The stock Redis cache embeds LangChain's JSON: 10 of 12 unrelated questions then match."""
    encoder = Noting()
    cache = SemanticCache(encoder)
    model = ScriptedChat(cache=cache, answer=lambda n, m: say(f"answer {n}"))
    for question in ("Where is my parcel?", "How do I pay?"):
        model.invoke([SYSTEM, HumanMessage(question)])
    cache.core_cache.drain()
    asked = set(encoder.texts) - set(PROBES)  # which measure the encoder, once
    assert asked
    assert asked <= {"Where is my parcel?", "How do I pay?"}


def test_record_of_the_envelope() -> None:
    """What every semantic `BaseCache` is handed."""
    prompts: list[str] = []

    class Noted(InMemoryCache):
        def lookup(self, prompt: str, llm_string: str) -> Any:
            prompts.append(prompt)
            return super().lookup(prompt, llm_string)

    ScriptedChat(cache=Noted()).invoke([SYSTEM, HumanMessage("Where is my parcel?")])
    if prompts == ["Where is my parcel?"]:
        fixed_upstream("caches are handed the question")
    assert "constructor" in prompts[0]


def test_two_models_on_one_semantic_cache_keep_their_answers() -> None:
    """The stock Redis cache keeps one answer per prompt, whichever model gave it."""
    cache = SemanticCache(Noting())
    small, large = (ScriptedChat(cache=cache, model=name) for name in ("small", "large"))
    small.answer, large.answer = (lambda n, m: say("small")), (lambda n, m: say("large"))
    for _ in range(2):
        assert [str(model.invoke("Where is it?").text) for model in (small, large)] == [
            "small",
            "large",
        ]
    assert (small.calls, large.calls) == (1, 1)
    cache.core_cache.drain()


def test_a_question_in_another_form_needs_no_encoder() -> None:
    cache = SemanticCache(Noting())
    model = ScriptedChat(cache=cache)
    model.invoke("What is the opening time?")
    assert model.invoke("what's the opening time").text == "answer 1"
    cache.core_cache.drain()


def test_a_tiered_cache_asks_the_shared_store_once() -> None:
    class Counted(MemoryStore):
        asked = 0

        def get(self, key: str) -> bytes | None:
            Counted.asked += 1
            return super().get(key)

    shared = Counted()
    ScriptedChat(cache=TieredCache(shared)).invoke("q")
    model = ScriptedChat(cache=TieredCache(shared))
    Counted.asked = 0
    assert {str(model.invoke("q").text) for _ in range(5)} == {"answer 1"}
    assert (model.calls, Counted.asked) == (0, 1)
