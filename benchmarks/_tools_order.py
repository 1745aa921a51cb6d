"""How many different prompts equal runs have, whatever finishes first, for `tools_latency.py`.

Four tools of one message finish in a random order, a hundred times. What the model is sent
afterwards is compared byte by byte: a prompt that differs misses every cache of prompts.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import _tools_langchain as lc
import _tools_llamaindex as li
from _models import Scripted
from _tools_common import Groups, Row, Who, counted
from langchain.agents import create_agent
from langchain_core.messages import BaseMessage, ToolMessage, messages_to_dict
from langchain_core.tools import StructuredTool
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.tools import FunctionTool

from langchain_agentperf import ParallelToolsMiddleware
from llamaindex_agentperf import ParallelAgentWorkflow, ParallelFunctionAgent

RUNS = 100
COUNT = 4


class Finishing:
    """`step(n)` for n from 0: they finish in the given order, whichever begins first."""

    def __init__(self, order: Sequence[int]) -> None:
        self._ended = [asyncio.Event() for _ in order]
        self._before = dict(zip(order[1:], order, strict=False))

    async def step(self, n: int) -> str:
        """Step."""
        if n in self._before:
            await self._ended[self._before[n]].wait()
            await asyncio.sleep(0)  # what has ended is told to others first
        self._ended[n].set()
        return f"result {n}"


async def llamaindex(make: Callable[[Any, Any], Any], finishing: Finishing) -> bytes:
    llm = li.Asking(li.numbered("step", COUNT))
    tool = FunctionTool.from_defaults(async_fn=finishing.step, name="step")
    await li.finished(make(llm, tool))
    return "\n".join(message.model_dump_json() for message in llm.prompts[-1]).encode()


def agent(kind: Any) -> Callable[[Any, Any], Any]:
    return lambda llm, tool: kind(name="desk", llm=llm, tools=[tool])


def workflow(kind: Any) -> Callable[[Any, Any], Any]:
    return lambda llm, tool: kind([FunctionAgent(name="desk", llm=llm, tools=[tool])])


async def langchain(middleware: Sequence[Any], finishing: Finishing) -> bytes:
    prompts: list[Sequence[BaseMessage]] = []
    answer = lc.asks(lc.numbered("step", COUNT))

    def noted(messages: Sequence[BaseMessage]) -> Any:
        prompts.append([*messages])
        return answer(messages)

    tool = StructuredTool.from_function(coroutine=finishing.step, name="step")
    made: Any = create_agent(Scripted(noted), [tool], middleware=[*middleware])
    await made.ainvoke({"messages": [("user", "go")]})
    # A provider is sent contents, calls and their ids, and no ids of messages.
    sent = [
        (kind["type"], message.content, getattr(message, "tool_calls", ""), call_id(message))
        for kind, message in zip(messages_to_dict(prompts[-1]), prompts[-1], strict=True)
    ]
    return repr(sent).encode()


def call_id(message: BaseMessage) -> str:
    return message.tool_call_id if isinstance(message, ToolMessage) else ""


async def distinct(run: Callable[[Finishing], Any]) -> int:
    chance = random.Random(1)
    found: set[str] = set()
    for _ in range(RUNS):
        order = chance.sample(range(COUNT), COUNT)
        found.add(sha256(await run(Finishing(order))).hexdigest())
    return len(found)


async def measured() -> Groups:
    ways: Sequence[tuple[Who, str, Callable[[Finishing], Any]]] = (
        ("stock", "FunctionAgent", lambda f: llamaindex(agent(FunctionAgent), f)),
        ("stock", "AgentWorkflow", lambda f: llamaindex(workflow(AgentWorkflow), f)),
        ("ours", "ParallelFunctionAgent", lambda f: llamaindex(agent(ParallelFunctionAgent), f)),
        ("ours", "ParallelAgentWorkflow", lambda f: llamaindex(workflow(ParallelAgentWorkflow), f)),
        ("stock", "create_agent", lambda f: langchain([], f)),
        (
            "ours",
            "create_agent, ParallelToolsMiddleware",
            lambda f: langchain([ParallelToolsMiddleware()], f),
        ),
    )
    found: list[Row] = []
    for who, what, run in ways:
        count = await distinct(run)
        goal = counted(1, count) if who == "ours" else {}
        found.append({"who": who, "what": what, "distinct_prompts": count, **goal})
    return {f"distinct prompts of {RUNS} runs, {COUNT} calls in a message": found}


def figures() -> Groups:
    return asyncio.run(measured())
