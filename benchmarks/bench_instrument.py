"""Claim: the LlamaIndex span and event handlers are no dearer than LlamaIndex's own
`SimpleSpanHandler` (which records no tokens, no TTFT and no cost), and do not grow over 100,000
spans.

The same work runs under each set of handlers, alternately; the CPU time of the process counts.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from _common import paired, table, us
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.tools import FunctionTool
from llama_index_instrumentation import get_dispatcher

from agentperf_core.telemetry import Recorder
from llamaindex_agentperf import LatencyEventHandler, LatencySpanHandler

SPANS = 200


def noop(x: int) -> str:
    """Do nothing."""
    return str(x)


TOOL = FunctionTool.from_defaults(noop)
LLM = MockFunctionCallingLLM()
PROMPT = [ChatMessage(role="user", content="Hello")]
DISPATCHER = get_dispatcher()


@DISPATCHER.span
def nested_tools() -> None:
    for index in range(SPANS):
        TOOL.call(x=index)


@DISPATCHER.span
def nested_chats() -> None:
    for _ in range(SPANS // 4):
        LLM.chat(PROMPT)


def ours() -> tuple[list[Any], list[Any]]:
    spans = LatencySpanHandler(Recorder(max_traces=8))
    return [spans], [LatencyEventHandler(spans)]


class Handlers:
    """Which handlers are on the root dispatcher, made anew for every arm."""

    def __init__(self) -> None:
        self.ours = ours()

    @contextmanager
    def none(self) -> Generator[None]:
        yield

    @contextmanager
    def stock(self) -> Generator[None]:
        handler = SimpleSpanHandler()  # keeps every span for good, so a new one per run
        with on_root([handler], []):
            yield

    @contextmanager
    def latency(self) -> Generator[None]:
        with on_root(*self.ours):
            yield


@contextmanager
def on_root(spans: list[Any], events: list[Any]) -> Generator[None]:
    before = list(DISPATCHER.span_handlers), list(DISPATCHER.event_handlers)
    DISPATCHER.span_handlers = spans
    DISPATCHER.event_handlers = events
    try:
        yield
    finally:
        DISPATCHER.span_handlers, DISPATCHER.event_handlers = before


def under(handlers: Callable[[], Any], work: Callable[[], object]) -> Callable[[], object]:
    def run() -> None:
        with handlers():
            work()

    return run


def growth(handlers: list[Any], events: list[Any]) -> tuple[int, int]:
    """Bytes held after 10,000 and after 110,000 spans."""
    with on_root(handlers, events):
        tracemalloc.start()
        sizes: list[int] = []
        for runs in (50, 500):
            for _ in range(runs):
                nested_tools()
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    return sizes[0], sizes[1]


def main() -> None:
    handlers = Handlers()
    rows: list[list[str]] = []
    for name, work, spans in (
        ("tool calls", nested_tools, SPANS),
        ("model calls with events", nested_chats, SPANS // 4),
    ):
        bare, mine = under(handlers.none, work), under(handlers.latency, work)
        stock = under(handlers.stock, work)
        over_none = paired(bare, mine, loops=5, pairs=25)
        over_stock = paired(stock, mine, loops=5, pairs=25)
        stock_over_none = paired(bare, stock, loops=5, pairs=25)
        rows.append(
            [
                name,
                us(over_none.a_s / spans),
                us(over_none.difference_s / spans),
                us(stock_over_none.difference_s / spans),
                over_stock.cell(),
            ]
        )
    headers = [
        "work",
        "per call, no handler",
        "ours adds per call",
        "SimpleSpanHandler adds per call",
        "whole run: ours / SimpleSpanHandler",
    ]
    print(table(headers, rows))
    print()
    rows = []
    for name, on in (("ours", ours()), ("SimpleSpanHandler", ([SimpleSpanHandler()], []))):
        early, late = growth(*on)
        rows.append([name, f"{early:,}", f"{late:,}", f"{late - early:+,}"])
    print(table(["handlers", "bytes after 10,000 spans", "after 110,000", "growth"], rows))


if __name__ == "__main__":
    main()
