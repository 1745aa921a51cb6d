"""Tools of LangChain agents that start while the model still writes.

The model of these tests does not go on writing before the first tool runs: an agent that starts it
any later never ends.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models.chat_models import (
    BaseChatModel,
    agenerate_from_stream,
    generate_from_stream,
)
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.tools import BaseTool, tool
from langgraph.prebuilt import InjectedState

from agentperf_core.errors import ConfigError
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import EarlyStats
from langchain_agentperf import ParallelToolsMiddleware

READ = ToolPolicy(read_only=True)
Call = tuple[str, str, dict[str, Any]]


class Writer(BaseChatModel):
    """Streams calls of tools piece by piece and waits, behind the first of them, for `go_on`."""

    calls: list[Call]
    go_on: threading.Event
    breaks: bool = False
    seen: list[tuple[tuple[str, ...], str]]

    def _pieces(self, messages: Sequence[BaseMessage]) -> Iterator[AIMessageChunk]:
        if isinstance(messages[-1], ToolMessage):
            yield AIMessageChunk(content="done")
            return
        for index, (call_id, name, args) in enumerate(self.calls):
            text = json.dumps(args)
            for at, piece in enumerate((text[:3], text[3:])):
                first = {"name": name, "id": call_id} if at == 0 else {"name": None, "id": None}
                chunk: Any = {**first, "args": piece, "index": index, "type": "tool_call_chunk"}
                yield AIMessageChunk(content="", tool_call_chunks=[chunk])
        if self.breaks:
            raise ConnectionError("the stream broke off")

    def _note(self, messages: Sequence[BaseMessage], bound: dict[str, Any]) -> None:
        self.seen.append((tuple(bound.get("tools", ())), messages[0].type))

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        self._note(messages, kwargs)
        for number, message in enumerate(self._pieces(messages)):
            if number == 2:
                assert self.go_on.wait(30)
            chunk = ChatGenerationChunk(message=message)
            if run_manager:
                run_manager.on_llm_new_token(message.content, chunk=chunk)
            yield chunk

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        self._note(messages, kwargs)
        for number, message in enumerate(self._pieces(messages)):
            while number == 2 and not self.go_on.is_set():  # noqa: ASYNC110 - a thread sets it
                await asyncio.sleep(0)
            chunk = ChatGenerationChunk(message=message)
            if run_manager:
                await run_manager.on_llm_new_token(message.content, chunk=chunk)
            yield chunk

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=[one.name for one in tools])

    @property
    def _llm_type(self) -> str:
        return "writer"


TWO: list[Call] = [("c1", "look", {"at": 1}), ("c2", "look", {"at": 2})]


def looking(ran: list[int], go_on: threading.Event, *, use_async: bool) -> BaseTool:
    def found(at: int) -> str:
        ran.append(at)
        go_on.set()
        return f"seen {at}"

    if use_async:

        @tool("look")
        async def alook(at: int) -> str:
            """Look."""
            return found(at)

        return alook

    @tool
    def look(at: int) -> str:
        """Look."""
        return found(at)

    return look


def made(
    *,
    use_async: bool = True,
    calls: list[Call] = TWO,
    middleware: Sequence[Any] = (),
    **fields: Any,
) -> tuple[Any, ParallelToolsMiddleware, list[int], Writer]:
    go_on, ran = threading.Event(), list[int]()
    model = Writer(calls=calls, go_on=go_on, seen=[])
    options: dict[str, Any] = {"policies": {"look": READ}, "early": True, **fields}
    parallel = ParallelToolsMiddleware(**options)
    tools = [looking(ran, go_on, use_async=use_async)]
    agent = create_agent(
        model, tools, system_prompt="Look around.", middleware=[parallel, *middleware]
    )
    return agent, parallel, ran, model


ASK: Any = {"messages": ["go"]}


def contents(state: Any) -> list[str]:
    return [message.text for message in state["messages"]]


def invoke(agent: Any) -> list[str]:
    return contents(agent.invoke(ASK))


def ainvoke(agent: Any) -> list[str]:
    return contents(asyncio.run(agent.ainvoke(ASK)))


def stream(agent: Any) -> list[str]:
    return contents([*agent.stream(ASK, stream_mode="values")][-1])


def astream_events(agent: Any) -> list[str]:
    async def whole() -> list[str]:
        events = [event async for event in agent.astream_events(ASK, version="v2")]
        names = [e["name"] for e in events if e["event"] == "on_tool_start"]
        assert names == ["look", "look"]
        return contents(events[-1]["data"]["output"])

    return asyncio.run(whole())


@pytest.mark.parametrize(
    ("way", "use_async"),
    [(invoke, False), (stream, False), (ainvoke, True), (ainvoke, False), (astream_events, True)],
    ids=["invoke", "stream", "ainvoke", "ainvoke with a sync tool", "astream_events"],
)
def test_a_tool_runs_while_the_model_writes(way: Callable[[Any], list[str]], use_async: bool):
    agent, parallel, ran, _ = made(use_async=use_async)
    assert way(agent) == ["go", "", "seen 1", "seen 2", "done"]
    assert sorted(ran) == [1, 2]
    assert parallel.early_stats() == EarlyStats(started=2, claimed=2)


def test_a_reader_of_tokens_gets_them_all():
    async def whole(agent: Any) -> list[Any]:
        return [part async for part in agent.astream(ASK, stream_mode="messages")]

    agent, _, _, _ = made()
    parts = asyncio.run(whole(agent))
    pieces = [m for m, _ in parts if isinstance(m, AIMessageChunk) and m.tool_call_chunks]
    assert len(pieces) == 4


def test_nothing_of_the_request_is_changed():
    class Inner(AgentMiddleware[Any, Any, Any]):
        def __init__(self) -> None:
            super().__init__()
            self.asked = 0
            self.called = 0

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            self.asked += 1
            return await handler(request)

        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            self.called += 1
            return await handler(request)

    inner = Inner()
    agent, _, _, model = made(middleware=[inner])
    ainvoke(agent)
    assert model.seen == [(("look",), "system")] * 2
    assert (inner.asked, inner.called) == (2, 2)


def test_the_message_says_that_its_call_was_begun_early():
    agent, _, _, _ = made()
    state = asyncio.run(agent.ainvoke(ASK))
    said = state["messages"][2].response_metadata["agentperf"]["tool"]
    assert (said["outcome"], said["reason"]) == ("ok", "begun while the model was writing")


@pytest.mark.parametrize(
    "fields",
    [{"policies": {}}, {"policies": {"look": ToolPolicy(timeout_s=30)}}, {"early": ["other"]}],
    ids=["undeclared", "may not be called twice", "not named"],
)
def test_what_may_not_start_early_waits_for_the_agent(fields: dict[str, Any]):
    agent, parallel, ran, model = made(**fields)
    model.go_on.set()
    assert ainvoke(agent)[-1] == "done"
    assert sorted(ran) == [1, 2]
    assert parallel.early_stats().started == 0


def test_a_tool_that_needs_the_state_waits_for_it():
    go_on, seen = threading.Event(), list[int]()
    go_on.set()

    @tool("look")
    def look(at: int, state: Annotated[Any, InjectedState]) -> str:
        """Look."""
        seen.append(len(state["messages"]))
        return f"seen {at}"

    parallel = ParallelToolsMiddleware(policies={"look": READ}, early=True)
    agent: Any = create_agent(
        Writer(calls=TWO, go_on=go_on, seen=[]), [look], middleware=[parallel]
    )
    assert ainvoke(agent) == ["go", "", "seen 1", "seen 2", "done"]
    assert seen == [2, 2]
    assert parallel.early_stats().started == 0


def test_what_the_agent_does_not_ask_for_is_given_up():
    """Middleware may take a call out of the answer, a person's no for one."""

    class Strict(AgentMiddleware[Any, Any, Any]):
        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            response = await handler(request)
            message = response.result[0]
            kept = message.tool_calls[:1]
            response.result[0] = AIMessage(message.content, tool_calls=kept, id=message.id)
            return response

    agent, parallel, _, _ = made(middleware=[Strict()])
    assert ainvoke(agent) == ["go", "", "seen 1", "done"]
    assert parallel.early_stats() == EarlyStats(started=2, claimed=1, dropped=1)


@pytest.mark.parametrize("use_async", [False, True])
def test_a_stream_that_breaks_off_leaves_nothing_behind(use_async: bool):
    agent, parallel, _, model = made(use_async=use_async)
    model.breaks = True
    with pytest.raises(ConnectionError):
        (ainvoke if use_async else invoke)(agent)
    stats = parallel.early_stats()
    assert (stats.started, stats.claimed, stats.dropped) == (2, 0, 2)
    assert parallel.executor.limits.running == 0


def test_a_tool_that_fails_early_is_an_error_message():
    go_on = threading.Event()

    @tool("look")
    async def look(at: int) -> str:
        """Look."""
        go_on.set()
        raise ValueError("dark")

    parallel = ParallelToolsMiddleware(policies={"look": READ}, early=True)
    agent: Any = create_agent(
        Writer(calls=TWO[:1], go_on=go_on, seen=[]), [look], middleware=[parallel]
    )
    go_on.set()
    answer = asyncio.run(agent.ainvoke(ASK))["messages"][2]
    assert answer.status == "error"
    assert "ValueError: dark" in answer.text


async def test_many_runs_at_once_keep_to_themselves():
    """The ids of their calls are the same."""
    agent, parallel, ran, _ = made()
    states = await asyncio.gather(*(agent.ainvoke(ASK) for _ in range(5)))
    assert all(contents(state)[2:4] == ["seen 1", "seen 2"] for state in states)
    assert len(ran) == 10
    assert parallel.early_stats().claimed == 10


def test_one_name_is_not_a_list_of_names():
    with pytest.raises(ConfigError, match=r"write \['look'\]"):
        ParallelToolsMiddleware(early="look")


def test_without_early_tools_there_is_no_hook_around_the_model():
    """LangChain puts two changes of thread around each, also around one that does nothing."""
    assert type(ParallelToolsMiddleware()).awrap_model_call is AgentMiddleware.awrap_model_call
    assert isinstance(ParallelToolsMiddleware(early=True), ParallelToolsMiddleware)


def test_a_hook_that_a_subclass_has_itself_goes_first():
    class Counting(ParallelToolsMiddleware):
        asked = 0

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            self.asked += 1
            return await super().awrap_model_call(request, handler)

    go_on, ran = threading.Event(), list[int]()
    counting = Counting(policies={"look": READ}, early=True)
    agent: Any = create_agent(
        Writer(calls=TWO, go_on=go_on, seen=[]),
        [looking(ran, go_on, use_async=True)],
        middleware=[counting],
    )
    assert ainvoke(agent)[2:4] == ["seen 1", "seen 2"]
    assert (counting.asked, counting.early_stats().claimed) == (2, 2)
