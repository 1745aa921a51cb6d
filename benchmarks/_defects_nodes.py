"""Rows of `bench_cache_defects.py`: the node cache of LangGraph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from _defects import Row, count
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.cache.memory import InMemoryCache as StockNodes
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import CachePolicy

from agentperf_core.cache import MemoryStore
from langchain_agentperf import NodeCache, message_state_key

NODES = "langgraph: CachePolicy, InMemoryCache"


class Node:
    """A node that is an object, as instances of classes are."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.runs = 0

    def __call__(self, state: MessagesState) -> Any:
        self.runs += 1
        return {"messages": [AIMessage(self.text)]}


def asked_graph(node: Node, cache: Any, policy: Any) -> str:
    builder: Any = StateGraph(MessagesState).add_node("node", node, cache_policy=policy)
    graph = builder.add_edge(START, "node").compile(cache=cache)
    return graph.invoke({"messages": [HumanMessage("hi")]})["messages"][-1].text


def node_runs(cache: Any, policy: Any) -> str:
    node = Node("hello")
    for _ in range(2):
        asked_graph(node, cache, policy)
    return count(node.runs, "run")


def two_graphs(cache_of: Callable[[str], Any]) -> str:
    policy: Any = CachePolicy(key_func=message_state_key)
    return ", ".join(asked_graph(Node(f"of graph {g}"), cache_of(g), policy) for g in "ab")


def rows() -> list[Row]:
    stock, store = StockNodes(), MemoryStore()
    by_state: Any = CachePolicy(key_func=message_state_key)
    return [
        Row(
            "a node on message state, asked twice",
            "1 run",
            NODES,
            lambda: node_runs(StockNodes(), CachePolicy()),
            "NodeCache",
            lambda: node_runs(NodeCache(graph="g"), by_state),
        ),
        Row(
            "two graphs, a node of one class each",
            "of graph a, of graph b",
            NODES,
            lambda: two_graphs(lambda _: stock),
            "NodeCache",
            lambda: two_graphs(lambda graph: NodeCache(graph=graph, store=store)),
        ),
    ]
