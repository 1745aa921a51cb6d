"""Tools that start while the model still writes, for `tools_latency.py`.

One answer asks for four tools of 1.0, 0.6, 0.3 and 0.1 s, and takes 300 ms to write the arguments
of each. Whoever starts them early must leave the rest alone: the model has its tools and its system
prompt, middleware further in sees each call of the model, and tokens are streamed.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from inspect import signature
from typing import Any

from _tools_common import Groups, Row, Who, middle, reached, spread
from _tools_writers import TOOLS_S, ChatWriter, Seen, Worker, writing_llm
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from llama_index.core.agent.workflow import FunctionAgent

from agentperf_core.toolpolicy import ToolPolicy
from langchain_agentperf import ParallelToolsMiddleware
from llamaindex_agentperf import ParallelFunctionAgent

GOAL_MS = 1350.0
ROUNDS = 5
PEER = "eager_tools_langgraph"
POLICIES = {"work": ToolPolicy(read_only=True)}
PROMPT = "Work."
ASK = {"messages": [("user", "go")]}


class Inner(AgentMiddleware[Any, Any, Any]):
    """Middleware further in, such as a cache or a router: counts the model calls that it sees."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self._seen = seen

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        self._seen.inner = (self._seen.inner or 0) + 1
        return handler(request)

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        self._seen.inner = (self._seen.inner or 0) + 1
        return await handler(request)


class Case:
    """One way to run the turn, once per call, with all that was seen of it."""

    def __init__(
        self, who: Who, what: str, turn: Callable[[Seen], Any], *, goal_ms: float | None = None
    ) -> None:
        self.who: Who = who
        self.what = what
        self.goal_ms = goal_ms
        self._turn = turn
        self.taken: list[float] = []
        self.seen = Seen()
        self.starts: list[list[float]] = []
        self.error = ""

    async def run(self) -> None:
        if self.error:
            return
        seen = self.seen = Seen()
        try:
            await self._turn(seen)
        except Exception as error:  # whatever the way in question cannot do
            self.error = type(error).__name__
            return
        self.taken.append(time.perf_counter() - seen.began)
        self.starts.append(sorted(start - seen.began for start in seen.starts))

    def row(self) -> Row:
        if self.error:
            return {"who": self.who, "what": self.what, "note": self.error}
        seen, whole = self.seen, [second * 1e3 for second in self.taken]
        kept = all(seen.tools) and all(seen.prompts) and seen.inner in {None, len(seen.tools)}
        starts = [middle([run[place] for run in self.starts]) for place in range(len(TOOLS_S))]
        inner = {} if seen.inner is None else {"inner_middleware": f"{seen.inner} of 2"}
        return {
            "who": self.who,
            "what": self.what,
            **spread(self.taken, 1e3, "ms", 0),
            "tools_begin_at_ms": ", ".join(f"{start * 1e3:.0f}" for start in starts),
            "model_has_tools": said(seen.tools),
            "and_its_system_prompt": said(seen.prompts),
            **inner,
            "pieces_streamed": seen.pieces,
            **reached(self.goal_ms, whole if kept else [float("inf")], "ms"),
        }


def said(noted: Sequence[bool]) -> str:
    return "yes" if noted and all(noted) else "no"


def langchain_turn(
    middleware: Callable[[Seen], Sequence[Any]], *, is_async: bool, binds: bool = False
) -> Callable[[Seen], Any]:
    async def turn(seen: Seen) -> None:
        seen.inner = 0
        tool = Worker(seen).langchain(is_async=is_async)
        model: Any = ChatWriter(seen=seen)
        agent: Any = create_agent(
            model.bind_tools([tool]) if binds else model,
            [tool],
            system_prompt=PROMPT,
            middleware=[*middleware(seen), Inner(seen)],
        )
        seen.begin()
        pieces = 0
        if is_async:
            async for _ in agent.astream(ASK, stream_mode="messages"):
                pieces += 1
        else:
            for _ in agent.stream(ASK, stream_mode="messages"):
                pieces += 1
        seen.pieces = pieces

    return turn


def early(_: Seen) -> Sequence[Any]:
    return [ParallelToolsMiddleware(policies=POLICIES, early=True)]


def peer(seen: Seen) -> Sequence[Any]:
    """As its README has it: a second form of the tool, declared idempotent."""
    module: Any = importlib.import_module(PEER)
    return [module.eager_middleware({"work": Worker(seen).eager()})]


def langchain(*, is_async: bool) -> Sequence[Case]:
    cases = [
        Case("stock", "create_agent", langchain_turn(lambda _: [], is_async=is_async)),
        Case(
            "ours",
            "ParallelToolsMiddleware(early=True)",
            langchain_turn(early, is_async=is_async),
            goal_ms=GOAL_MS,
        ),
    ]
    if find_spec(PEER) is not None:
        name = "eager-tools-langgraph"
        by_hand = langchain_turn(peer, is_async=is_async, binds=True)
        cases += [
            Case("peer", name, langchain_turn(peer, is_async=is_async)),
            Case("peer", f"{name}, tools bound by hand", by_hand),
        ]
    return cases


def llamaindex() -> Sequence[Case]:
    def turn(kind: Any, **options: Any) -> Callable[[Seen], Any]:
        async def once(seen: Seen) -> None:
            tool = Worker(seen).llamaindex()
            llm = writing_llm(seen)
            agent = kind(name="desk", llm=llm, tools=[tool], system_prompt=PROMPT, **options)
            seen.begin()
            handler = agent.run(user_msg="go")
            seen.pieces = 0
            async for event in handler.stream_events():
                seen.pieces += type(event).__name__ == "AgentStream"
            await handler

        return once

    cases = [
        Case("stock", "FunctionAgent", turn(FunctionAgent)),
        Case("ours", "ParallelFunctionAgent", turn(ParallelFunctionAgent, policies=POLICIES)),
    ]
    if "early" in signature(ParallelFunctionAgent.__init__).parameters:
        eager = turn(ParallelFunctionAgent, policies=POLICIES, early=True)
        cases.append(Case("ours", "ParallelFunctionAgent(early=True)", eager, goal_ms=GOAL_MS))
    return cases


async def measured() -> Groups:
    groups = {
        "LangChain, async": langchain(is_async=True),
        "LangChain, sync": langchain(is_async=False),
        "LlamaIndex": llamaindex(),
    }
    found: dict[str, Sequence[Row]] = {}
    for name, cases in groups.items():
        for number in range(ROUNDS):
            for case in cases[:: 1 if number % 2 == 0 else -1]:
                await case.run()
        found[name] = [case.row() for case in cases]
        if name == "LangChain, async" and find_spec(PEER) is None:
            missing = {
                "who": "peer",
                "what": "eager-tools-langgraph",
                "note": "not installed",
            }
            found[name] = [*found[name], missing]
    return found


def figures() -> Groups:
    return asyncio.run(measured())
