"""`NodeCache` and `message_state_key` on real graphs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import CachePolicy, Send

from agentperf_core.cache import MemoryStore
from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS
from agentperf_core.testing import FakeClock
from langchain_agentperf import NodeCache, message_state_key
from tests.langchain.scripted_models import call, say

POLICY: Any = CachePolicy(key_func=message_state_key)


def graph_of(node: Any, cache: NodeCache, policy: Any = POLICY, **options: Any) -> Any:
    builder: Any = StateGraph(MessagesState).add_edge(START, "node")
    return builder.add_node("node", node, cache_policy=policy).compile(cache=cache, **options)


class Answers:
    """A node that counts its runs."""

    def __init__(self, answer: Callable[[int, Any], Any] | None = None) -> None:
        self.runs = 0
        self.answer = answer or (lambda number, state: {"messages": [say(f"answer {number}")]})

    def __call__(self, state: Any) -> Any:
        self.runs += 1
        return self.answer(self.runs, state)


def ask(graph: Any, text: str = "Hi", config: Any = None) -> list[BaseMessage]:
    return graph.invoke({"messages": [HumanMessage(text)]}, config)["messages"]


def test_the_second_run_does_not_run_the_node() -> None:
    node = Answers()
    graph = graph_of(node, NodeCache(graph="desk"))
    first, second = ask(graph), ask(graph)
    assert node.runs == 1
    assert [m.text for m in first] == [m.text for m in second] == ["Hi", "answer 1"]
    assert first[-1].id != second[-1].id
    assert ask(graph, "Bye")[-1].text == "answer 2"


def test_a_hit_bills_nothing_and_says_what_it_saved() -> None:
    graph = graph_of(Answers(), NodeCache(graph="desk"))
    ask(graph)
    answer = ask(graph)[-1]
    assert isinstance(answer, AIMessage)
    assert answer.usage_metadata is None
    mark = answer.response_metadata["agentperf"]["cache"]
    assert (mark["outcome"], mark["saved_usage"]["output_tokens"]) == ("hit", 5)


async def test_async_graphs_share_with_sync_ones() -> None:
    node = Answers()
    graph = graph_of(node, NodeCache(graph="desk"))
    await graph.ainvoke({"messages": [HumanMessage("Hi")]})
    await graph.ainvoke({"messages": [HumanMessage("Hi")]})
    ask(graph)
    assert node.runs == 1


def test_a_conversation_keeps_every_answer() -> None:
    """With the ids of the first run, the second answer would take the place of the first."""
    node = Answers(lambda number, state: {"messages": [say("Yes.")]})
    policy: Any = CachePolicy(key_func=lambda state: message_state_key(state["messages"][-1]))
    graph = graph_of(node, NodeCache(graph="desk"), policy, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    ask(graph, config=config)
    messages = ask(graph, config=config)
    assert node.runs == 1
    assert [m.type for m in messages] == ["human", "ai", "human", "ai"]


def test_graphs_and_tenants_stay_apart() -> None:
    """LangGraph calls both nodes `__dynamic__`."""
    store = MemoryStore()
    nodes = [Answers(lambda n, s, who=who: {"messages": [AIMessage(who)]}) for who in "abc"]
    caches = (
        NodeCache(graph="one", store=store),
        NodeCache(graph="two", store=store),
        NodeCache(graph="two", store=store, tenant="ann"),
    )
    graphs = [graph_of(node, cache) for node, cache in zip(nodes, caches, strict=True)]
    assert [ask(graph)[-1].text for graph in graphs] == ["a", "b", "c"]


def test_it_lives_as_long_as_the_policy_of_the_node_says() -> None:
    clock, node = FakeClock(), Answers()
    policy: Any = CachePolicy(key_func=message_state_key, ttl=60)
    graph = graph_of(node, NodeCache(graph="desk", clock=clock), policy)
    ask(graph)
    clock.advance(59)
    ask(graph)
    assert node.runs == 1
    clock.advance(2)
    ask(graph)
    assert node.runs == 2


def test_clear_forgets_this_graph_only() -> None:
    store, one, two = MemoryStore(), Answers(), Answers()
    first = graph_of(one, NodeCache(graph="one", store=store))
    second = graph_of(two, NodeCache(graph="two", store=store))
    ask(first)
    ask(second)
    first.clear_cache()
    ask(first)
    ask(second)
    assert (one.runs, two.runs) == (2, 1)


async def test_clear_forgets_async() -> None:
    node = Answers()
    cache = NodeCache(graph="one")
    graph = graph_of(node, cache)
    ask(graph)
    await cache.aclear()
    ask(graph)
    assert node.runs == 2


class Foreign:
    """Not plain data."""


@dataclass(frozen=True)
class Refused:
    """A node whose writes are not stored."""

    name: str
    writes: Callable[[Any], Any]


REFUSED = (
    Refused(
        "an object",
        lambda state: {"messages": [ToolMessage("x", tool_call_id="1", artifact=Foreign())]},
    ),
    Refused("all messages", lambda state: {"messages": [*state["messages"], AIMessage("Hello")]}),
    Refused(
        "a message by its id",
        lambda state: {"messages": [RemoveMessage(id=state["messages"][0].id)]},
    ),
    Refused("a cut-off answer", lambda state: {"messages": [say("He", finish_reason="length")]}),
)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_could_not_be_given_again_is_not_stored(case: Refused) -> None:
    node = Answers(lambda number, state: case.writes(state))
    graph = graph_of(node, NodeCache(graph="desk"))
    first, second = ask(graph), ask(graph)
    assert node.runs == 2
    assert [m.type for m in first] == [m.type for m in second]


def test_plain_values_and_messages_come_back_as_they_were() -> None:
    class State(MessagesState):
        facts: Any

    facts = {"a": [1, 2.5, None, True], "pair": ("x", b"\x00"), "nested": {"m": SystemMessage("s")}}
    builder: Any = StateGraph(State).add_edge(START, "node")
    node = Answers(
        lambda number, state: {
            "messages": [
                say("", call("f", "c1", x=1)),
                ToolMessage("r", tool_call_id="c1", artifact={"n": 1}),
            ],
            "facts": facts,
        }
    )
    builder.add_node("node", node, cache_policy=POLICY)
    graph: Any = builder.compile(cache=NodeCache(graph="desk"))
    question = {"messages": [HumanMessage("Hi")]}
    first, second = (graph.invoke(question) for _ in range(2))
    assert node.runs == 1
    assert second["facts"]["pair"] == facts["pair"]
    assert second["facts"]["a"] == facts["a"]
    assert second["facts"]["nested"]["m"].content == "s"
    assert second["messages"][1].tool_calls == first["messages"][1].tool_calls
    assert second["messages"][2].artifact == {"n": 1}


def test_a_fan_out_is_given_again() -> None:
    class State(MessagesState):
        done: Annotated[list[str], lambda old, new: (old or []) + new]

    node = Answers(lambda number, state: {"messages": [AIMessage("Go")]})
    workers = Answers(lambda number, given: {"done": [given["what"]]})
    builder: Any = StateGraph(State).add_edge(START, "node")
    builder.add_node("node", node, cache_policy=POLICY)
    builder.add_node("worker", workers, cache_policy=POLICY)
    builder.add_conditional_edges(
        "node", lambda state: [Send("worker", {"what": what}) for what in "ab"], ["worker"]
    )
    graph: Any = builder.compile(cache=NodeCache(graph="desk"))
    done = [sorted(graph.invoke({"messages": [HumanMessage("Hi")]})["done"]) for _ in range(2)]
    assert done == [["a", "b"]] * 2
    assert (node.runs, workers.runs) == (1, 2)


def test_open_tool_calls_get_results_of_their_own() -> None:
    """A stored tool result carries the call id of its run; providers reject it in another."""
    ran: list[int] = []

    @tool
    def lookup(order: int) -> str:
        """State of an order."""
        ran.append(order)
        return "shipped"

    graph = graph_of(ToolNode([lookup]), NodeCache(graph="desk"))
    for call_id in ("call-1", "call-2", "call-2"):
        asked = [HumanMessage("Hi"), say("", call("lookup", call_id, order=7))]
        messages = graph.invoke({"messages": asked})["messages"]
        assert messages[-1].tool_call_id == call_id
    assert len(ran) == 2


def test_ids_and_usage_are_not_in_the_key() -> None:
    def history(run: int) -> Any:
        return {
            "messages": [
                HumanMessage("Hi", id=f"h{run}"),
                say("", call("f", f"c{run}", x=1), id=f"r{run}"),
                ToolMessage("r", tool_call_id=f"c{run}", id=f"t{run}"),
            ]
        }

    assert message_state_key(history(1)) == message_state_key(history(2))


DIFFERENT: tuple[tuple[Any, Any], ...] = (
    ({"messages": [HumanMessage("a")]}, {"messages": [HumanMessage("b")]}),
    ({"messages": [HumanMessage("a")]}, {"messages": [AIMessage("a")]}),
    ({"messages": [], "user": "ann"}, {"messages": [], "user": "bob"}),
    ({"messages": [say("", call("f", "1", x=1))]}, {"messages": [say("", call("f", "1", x=2))]}),
    (
        {"messages": [ToolMessage("a", tool_call_id="1", artifact=1)]},
        {"messages": [ToolMessage("a", tool_call_id="1", artifact=2)]},
    ),
    ({"messages": ["a", "b"]}, {"messages": ["ab"]}),
)


@pytest.mark.parametrize(("one", "two"), DIFFERENT)
def test_what_differs_has_another_key(one: Any, two: Any) -> None:
    assert message_state_key(one) != message_state_key(two)


def test_a_state_without_a_plain_form_never_hits_and_breaks_nothing() -> None:
    faults = BUS.faults().get("cache.key", 0)
    node = Answers()

    class State(MessagesState):
        thing: Any

    builder: Any = (
        StateGraph(State).add_edge(START, "node").add_node("node", node, cache_policy=POLICY)
    )
    graph: Any = builder.compile(cache=NodeCache(graph="desk"))
    for _ in range(2):
        graph.invoke({"messages": [HumanMessage("Hi")], "thing": Foreign()})
    assert node.runs == 2
    assert BUS.faults()["cache.key"] == faults + 2


def test_a_poisoned_entry_is_a_miss() -> None:
    store, node = MemoryStore(), Answers()
    graph = graph_of(node, NodeCache(graph="desk", store=store))
    ask(graph)
    (key,) = store.scan()
    store.set(key, b"\x80\x04pickle", None)
    assert ask(graph)[-1].text == "answer 2"


@pytest.mark.parametrize("name", [" ", 3])
def test_a_graph_must_have_a_name(name: Any) -> None:
    with pytest.raises(ConfigError, match="graph"):
        NodeCache(graph=name)


def test_the_state_may_be_an_object() -> None:
    @dataclass
    class State:
        messages: Annotated[list[BaseMessage], add_messages]

    node = Answers()
    builder: Any = (
        StateGraph(State).add_edge(START, "node").add_node("node", node, cache_policy=POLICY)
    )
    graph: Any = builder.compile(cache=NodeCache(graph="desk"))
    for _ in range(2):
        graph.invoke({"messages": [HumanMessage("Hi")]})
    assert node.runs == 1


def test_entries_survive_in_a_file(tmp_path: Path) -> None:
    from agentperf_core.cache.stores.sqlite import SQLiteStore

    node = Answers()
    for _ in range(2):
        store = SQLiteStore(tmp_path / "nodes.db")
        ask(graph_of(node, NodeCache(graph="desk", store=store)))
        store.close()
    assert node.runs == 1


def test_a_message_that_the_node_writes_over_an_earlier_one_does_so_on_a_hit() -> None:
    """With a fresh id, the old summary would stand beside the better one."""
    builder: Any = StateGraph(MessagesState).add_edge(START, "sum").add_edge("sum", "better")
    node = Answers(lambda n, s: {"messages": [SystemMessage("in short", id="summary")]})
    builder.add_node("sum", node, cache_policy=POLICY)
    builder.add_node("better", lambda s: {"messages": [SystemMessage("shorter", id="summary")]})
    graph: Any = builder.compile(cache=NodeCache(graph="desk"))
    found = [[m.text for m in ask(graph)] for _ in range(2)]
    assert found == [["Hi", "shorter"]] * 2
    assert node.runs == 1


IDS: tuple[tuple[BaseMessage, bool], ...] = (
    (AIMessage("x", id="summary"), True),
    (AIMessage("x", id="summary-of-2024-05-01"), True),
    (say("x").model_copy(update={"id": "summary"}), True),
    (HumanMessage("x", id="note 1"), True),
    (AIMessage("x", id="lc_run--019a-0"), False),
    (AIMessage("x", id="run-3f5e"), False),
    (AIMessage("x", id="3f5e9a52-7a4b-4e0f-9d58-0c7b1a2f6e11"), False),
    (SystemMessage("x", id="3f5e9a527a4b4e0f9d580c7b1a2f6e11"), False),
    (say("x").model_copy(update={"id": "chatcmpl-BbW2u4kYxq0pV1c8"}), False),
    (say("x").model_copy(update={"id": "msg_01XFDUDYJgAACzvnptvVoYEL"}), False),
)


@pytest.mark.parametrize(("message", "kept"), IDS, ids=lambda m: getattr(m, "id", None))
def test_only_ids_that_a_node_has_chosen_are_kept(message: BaseMessage, kept: bool) -> None:
    graph = graph_of(
        Answers(lambda n, s: {"messages": [message.model_copy()]}), NodeCache(graph="desk")
    )
    first, second = ask(graph)[-1], ask(graph)[-1]
    assert first.id == message.id
    assert (second.id == message.id) is kept


async def test_a_tenant_is_asked_where_the_graph_is_called() -> None:
    """What a node writes is stored from threads that have nothing of the caller's context."""
    user: ContextVar[str | None] = ContextVar("user", default=None)
    cache = NodeCache(graph="desk", tenant=user.get)
    apart = threading.Event()

    def greet(number: int, state: Any) -> Any:
        apart.wait(0.05)  # still running when LangGraph begins to wait for it
        return {"messages": [AIMessage(f"hello {user.get()}")]}

    node = Answers(greet)
    policy: Any = CachePolicy(key_func=cache.state_key)
    graph = graph_of(node, cache, policy)
    for name in ("ann", "bob", "ann", "bob"):
        user.set(name)
        assert ask(graph)[-1].text == f"hello {name}"
        answer = await graph.ainvoke({"messages": [HumanMessage("Hi")]})
        assert answer["messages"][-1].text == f"hello {name}"
    assert node.runs == 2
    cache.clear()
    ask(graph)
    user.set("ann")
    ask(graph)
    assert node.runs == 3


@pytest.mark.parametrize("whose", [None, 7, "fails"])
def test_nothing_is_kept_for_a_caller_without_a_name(whose: Any) -> None:
    def tenant() -> Any:
        if whose == "fails":
            msg = "no request"
            raise LookupError(msg)
        return whose

    node, cache = Answers(), NodeCache(graph="desk", tenant=tenant)
    graph = graph_of(node, cache, CachePolicy(key_func=cache.state_key))
    ask(graph)
    ask(graph)
    assert node.runs == 2
    with pytest.raises(ConfigError, match="tenant"):
        cache.clear()


def test_a_key_without_the_tenant_is_not_used_where_tenants_are_asked() -> None:
    node = Answers()
    graph = graph_of(node, NodeCache(graph="desk", tenant=lambda: "ann"))
    ask(graph)
    ask(graph)
    assert node.runs == 2


def test_a_tenant_is_a_name_or_a_function() -> None:
    wrong: Any = 7
    with pytest.raises(ConfigError, match="tenant"):
        NodeCache(graph="desk", tenant=wrong)
