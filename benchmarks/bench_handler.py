"""Aim: `LatencyCallbackHandler` costs at most 10 us CPU per event, and an agent run with it at most
1.3 times one with LangChain's own `UsageMetadataCallbackHandler`.

The same `create_agent` agent with eight tools runs with no handler, with one that does nothing,
with LangChain's and with ours. Arms alternate; the CPU time of the process counts. The model is
scripted, so that nothing but the framework and the handlers is measured. What LangChain spends to
call a handler that does nothing is shown apart: no handler can be cheaper. "Inside ours" is the CPU
time of the thread around each call of our handler, in the same agent; sync agents run their nodes
and tools in a pool of threads, where every event meets cold caches.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from _common import Paired, paired, table, us
from _models import Scripted
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from langchain_agentperf import LatencyCallbackHandler

TOOLS = 8


def eight_tools_then_done(messages: Sequence[BaseMessage]) -> AIMessage:
    calls: list[Any] = []
    if not isinstance(messages[-1], ToolMessage):
        calls = [{"name": "noop", "args": {"x": i}, "id": f"c{i}"} for i in range(TOOLS)]
    return AIMessage(
        content="" if calls else "done",
        tool_calls=calls,
        response_metadata={"model_name": "gpt-4o-mini", "finish_reason": "stop"},
        usage_metadata={"input_tokens": 100, "output_tokens": 10, "total_tokens": 110},
    )


@tool
def noop(x: int) -> str:
    """Do nothing."""
    return str(x)


@tool("noop")
async def anoop(x: int) -> str:
    """Do nothing."""
    return str(x)


class Nothing(BaseCallbackHandler):
    """Takes every event and does nothing: LangChain's own price of a handler."""

    run_inline = True

    def _nothing(self, *args: Any, **kwargs: Any) -> None:
        pass

    on_chain_start = on_chain_end = on_tool_start = on_tool_end = _nothing
    on_chat_model_start = on_llm_end = _nothing


class Counting(BaseCallbackHandler):
    """Counts the events that a run fires at a handler."""

    run_inline = True

    def __init__(self) -> None:
        self.events = 0

    def _count(self, *args: Any, **kwargs: Any) -> None:
        self.events += 1

    on_chain_start = on_chain_end = on_tool_start = on_tool_end = _count
    on_chat_model_start = on_llm_end = _count


class Timed(LatencyCallbackHandler):
    """Ours, with a stopwatch around every event."""

    def __init__(self) -> None:
        super().__init__()
        self.events = 0
        self.spent_ns = 0


def _timed(name: str) -> Callable[..., None]:
    inner = getattr(LatencyCallbackHandler, name)

    def event(self: Timed, *args: Any, **kwargs: Any) -> None:
        start = time.thread_time_ns()
        inner(self, *args, **kwargs)
        self.spent_ns += time.thread_time_ns() - start
        self.events += 1

    return event


for _name in ("chain_start", "chain_end", "tool_start", "tool_end", "chat_model_start", "llm_end"):
    setattr(Timed, f"on_{_name}", _timed(f"on_{_name}"))


def history(messages: int) -> list[BaseMessage]:
    return [HumanMessage(f"message {i} " + "word " * 180) for i in range(messages)]


def runner(
    work: Any, prompt: list[BaseMessage], handlers: list[Any], *, use_async: bool
) -> Callable[[], object]:
    config: Any = {"callbacks": handlers}
    given: Any = {"messages": prompt} if hasattr(work, "nodes") else prompt
    if use_async:
        loop = LOOP
        return lambda: loop.run_until_complete(work.ainvoke(given, config))
    return lambda: work.invoke(given, config)


def chain() -> Any:
    """Four steps of the expression language around a model, in one thread."""
    steps = RunnableLambda(list) | RunnableLambda(list) | Scripted(answered) | StrOutputParser()
    return steps.with_config(run_name="chain")


def answered(messages: Sequence[BaseMessage]) -> AIMessage:
    usage: Any = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}
    metadata = {"model_name": "gpt-4o-mini", "finish_reason": "stop"}
    return AIMessage("fine", response_metadata=metadata, usage_metadata=usage)


LOOP = asyncio.new_event_loop()


def row(name: str, work: Any, messages: int, *, use_async: bool) -> list[str]:
    prompt = history(messages)
    counting, stopwatch = Counting(), Timed()
    arms = {
        "bare": [],
        "nothing": [Nothing()],
        "ours": [LatencyCallbackHandler()],
        "stock": [UsageMetadataCallbackHandler()],
        "timed": [stopwatch],
        "counted": [counting],
    }
    run = {arm: runner(work, prompt, on, use_async=use_async) for arm, on in arms.items()}
    run["counted"]()
    over_bare: Paired = paired(run["bare"], run["ours"], loops=12, pairs=25)
    of_nothing: Paired = paired(run["bare"], run["nothing"], loops=12, pairs=25)
    over_stock: Paired = paired(run["stock"], run["ours"], loops=12, pairs=25)
    for _ in range(200):
        run["timed"]()
    return [
        f"{name}, {'async' if use_async else 'sync'}",
        str(messages),
        str(counting.events),
        us(over_bare.a_s),
        us(over_bare.difference_s / counting.events),
        us(of_nothing.difference_s / counting.events),
        us(stopwatch.spent_ns / stopwatch.events / 1e9),
        over_bare.cell(),
        over_stock.cell(),
    ]


def main() -> None:
    rows: list[list[str]] = []
    for use_async in (False, True):
        agent: Any = create_agent(Scripted(eight_tools_then_done), [anoop if use_async else noop])
        rows += [row("agent", agent, n, use_async=use_async) for n in (1, 200)]
        rows.append(row("chain", chain(), 1, use_async=use_async))
    headers = [
        "work",
        "messages of history",
        "events",
        "run without handler",
        "ours over no handler, per event",
        "one that does nothing over no handler, per event",
        "inside ours, per event",
        "ours / none",
        "ours / UsageMetadataCallbackHandler",
    ]
    print(table(headers, rows))


if __name__ == "__main__":
    main()
