"""Claim: `LatencyCallbackHandler` adds at most 10 us CPU per event to what LangChain spends on any
handler, and an agent run with it costs at most 1.3 times one with LangChain's own
`UsageMetadataCallbackHandler`.

The same `create_agent` agent with eight tools runs with no handler, with one that does nothing,
with LangChain's and with ours. Arms alternate; the CPU time of the process counts. The model is
scripted, so that nothing but the framework and the handlers is measured. What LangChain spends to
call a handler that does nothing is shown apart: no handler can be cheaper.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from _common import Paired, paired, table, us
from _models import Scripted
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
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


def history(messages: int) -> list[BaseMessage]:
    return [HumanMessage(f"message {i} " + "word " * 180) for i in range(messages)]


def runner(
    agent: Any, prompt: list[BaseMessage], handlers: list[Any], *, use_async: bool
) -> Callable[[], object]:
    config: Any = {"callbacks": handlers}
    if use_async:
        loop = LOOP
        return lambda: loop.run_until_complete(agent.ainvoke({"messages": prompt}, config))
    return lambda: agent.invoke({"messages": prompt}, config)


LOOP = asyncio.new_event_loop()


def main() -> None:
    rows: list[list[str]] = []
    for use_async in (False, True):
        agent = create_agent(Scripted(eight_tools_then_done), [anoop if use_async else noop])
        for messages in (1, 200):
            prompt = history(messages)
            counting = Counting()
            runner(agent, prompt, [counting], use_async=use_async)()
            bare = runner(agent, prompt, [], use_async=use_async)
            ours = runner(agent, prompt, [LatencyCallbackHandler()], use_async=use_async)
            stock = runner(agent, prompt, [UsageMetadataCallbackHandler()], use_async=use_async)
            nothing = runner(agent, prompt, [Nothing()], use_async=use_async)
            over_bare: Paired = paired(bare, ours, loops=12, pairs=25)
            over_nothing: Paired = paired(nothing, ours, loops=12, pairs=25)
            over_stock: Paired = paired(stock, ours, loops=12, pairs=25)
            rows.append(
                [
                    "async" if use_async else "sync",
                    str(messages),
                    str(counting.events),
                    us(over_bare.a_s),
                    us(over_bare.difference_s / counting.events),
                    us(over_nothing.difference_s / counting.events),
                    over_bare.cell(),
                    over_stock.cell(),
                ]
            )
    headers = [
        "agent",
        "messages of history",
        "events",
        "run without handler",
        "ours over no handler, per event",
        "ours over one that does nothing, per event",
        "ours / none",
        "ours / UsageMetadataCallbackHandler",
    ]
    print(table(headers, rows))


if __name__ == "__main__":
    main()
