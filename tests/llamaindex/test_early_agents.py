"""Tools of LlamaIndex agents that start while the model still writes.

The model of these tests does not go on writing before the first tool runs: an agent that starts it
any later never ends.
"""

# pyright: reportUntypedFunctionDecorator=false
# The callbacks of LlamaIndex are untyped decorators.

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from context_tools import Counter
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    MessageRole,
    ToolCallBlock,
)
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.tools import ToolSelection
from llamaindex_tools import ScriptedLLM, says, start
from parallel_tools import STOCK_WARNINGS
from pydantic import PrivateAttr

from agentperf_core.errors import ConfigError
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import EarlyStats
from llamaindex_agentperf import ParallelAgentWorkflow, ParallelFunctionAgent

pytestmark = pytest.mark.filterwarnings(*STOCK_WARNINGS)

READ = ToolPolicy(read_only=True)
Call = tuple[str, str, dict[str, Any]]
TWO: list[Call] = [("c1", "look", {"at": 1}), ("c2", "look", {"at": 2})]


class Writer(ScriptedLLM):
    """Streams calls piece by piece, as text, and waits behind the first of them for `go_on`."""

    breaks: bool = False
    asks: list[Any] = TWO
    _go_on: threading.Event = PrivateAttr(default_factory=threading.Event)

    @property
    def go_on(self) -> threading.Event:
        return self._go_on

    def _growing(self) -> Iterator[ChatMessage]:
        blocks: list[Any] = []
        for call_id, name, arguments in self.asks:
            text = json.dumps(arguments)
            for piece in (text[:3], text):
                block = ToolCallBlock(tool_call_id=call_id, tool_name=name, tool_kwargs=piece)
                yield ChatMessage(role=MessageRole.ASSISTANT, blocks=[*blocks, block])
            blocks.append(block)

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        answered = any(message.role == MessageRole.TOOL for message in messages)

        async def chunks() -> AsyncIterator[ChatResponse]:
            if answered:
                yield ChatResponse(message=says("done"), delta="done", raw=None)
                return
            for number, message in enumerate(self._growing()):
                while number == 2 and not self.go_on.is_set():  # noqa: ASYNC110 - a thread sets it
                    await asyncio.sleep(0)
                yield ChatResponse(message=message, delta="", raw=None)
            if self.breaks:
                raise ConnectionError("the stream broke off")

        return chunks()

    def get_tool_calls_from_response(
        self, response: Any, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        found: list[ToolSelection] = []
        for block in response.message.blocks:
            if isinstance(block, ToolCallBlock):
                try:
                    arguments = json.loads(str(block.tool_kwargs))
                except ValueError:
                    arguments = {}
                selection = ToolSelection(
                    tool_id=block.tool_call_id or "",
                    tool_name=block.tool_name,
                    tool_kwargs=arguments,
                )
                found.append(selection)
        return found


def made(**fields: Any) -> tuple[ParallelFunctionAgent, list[int], Writer]:
    ran: list[int] = []
    llm = Writer()

    async def look(at: int) -> str:
        """Look."""
        ran.append(at)
        llm.go_on.set()
        return f"seen {at}"

    options: dict[str, Any] = {"policies": {"look": READ}, "early": True, **fields}
    agent = ParallelFunctionAgent(name="desk", llm=llm, tools=[look], **options)
    return agent, ran, llm


async def test_a_tool_runs_while_the_model_writes() -> None:
    agent, ran, _ = made()
    result = await start(agent, "go")
    assert str(result) == "done"
    assert [str(call.tool_output) for call in result.tool_calls] == ["seen 1", "seen 2"]
    assert sorted(ran) == [1, 2]
    assert agent.early_stats() == EarlyStats(started=2, claimed=2)


async def test_sync_tools_start_early_too() -> None:
    llm = Writer()

    def look(at: int) -> str:
        """Look."""
        llm.go_on.set()
        return f"seen {at}"

    agent = ParallelFunctionAgent(llm=llm, tools=[look], policies={"look": READ}, early=["look"])
    assert str(await start(agent, "go")) == "done"
    assert agent.early_stats().claimed == 2


async def test_an_agent_of_a_workflow_starts_its_tools_early() -> None:
    agent, ran, _ = made()
    workflow = ParallelAgentWorkflow([agent])
    assert str(await start(workflow, "go")) == "done"
    assert sorted(ran) == [1, 2]
    assert agent.early_stats().claimed == 2


async def test_the_events_of_the_run_are_those_of_any_other() -> None:
    from llama_index.core.agent.workflow import AgentStream, ToolCall, ToolCallResult

    agent, _, _ = made()
    handler = start(agent, "go")
    events = [event async for event in handler.stream_events()]
    await handler
    assert sum(isinstance(event, AgentStream) for event in events) == 5
    assert [e.tool_id for e in events if type(e) is ToolCall] == ["c1", "c2"]
    assert sorted(e.tool_id for e in events if isinstance(e, ToolCallResult)) == ["c1", "c2"]


@pytest.mark.parametrize(
    "fields",
    [{"policies": {}}, {"policies": {"look": ToolPolicy(timeout_s=30)}}, {"early": ["other"]}],
    ids=["undeclared", "may not be called twice", "not named"],
)
async def test_what_may_not_start_early_waits_for_the_agent(fields: dict[str, Any]) -> None:
    agent, ran, llm = made(**fields)
    llm.go_on.set()
    assert str(await start(agent, "go")) == "done"
    assert sorted(ran) == [1, 2]
    assert agent.early_stats().started == 0


async def test_a_tool_that_takes_the_context_waits_for_it() -> None:
    llm = Writer(asks=[("c1", "steps", {}), ("c2", "steps", {})])
    llm.go_on.set()
    counter = Counter()
    agent = ParallelFunctionAgent(
        llm=llm, tools=[counter.steps], policies={"steps": READ}, early=True
    )
    result = await start(agent, "go")
    assert sorted(str(call.tool_output) for call in result.tool_calls) == ["1", "2"]
    assert agent.early_stats().started == 0


async def test_a_stream_that_breaks_off_leaves_nothing_behind() -> None:
    agent, _, llm = made()
    llm.breaks = True
    with pytest.raises(ConnectionError):
        await start(agent, "go")
    stats = agent.early_stats()
    assert (stats.started, stats.claimed, stats.dropped) == (2, 0, 2)


async def test_many_runs_at_once_keep_to_themselves() -> None:
    """The ids of their calls are the same."""
    agent, ran, _ = made()
    results = await asyncio.gather(*(start(agent, "go") for _ in range(4)))
    assert [str(result) for result in results] == ["done"] * 4
    assert len(ran) == 8
    assert agent.early_stats().claimed == 8


def test_one_name_is_not_a_list_of_names() -> None:
    with pytest.raises(ConfigError, match=r"write \['look'\]"):
        ParallelFunctionAgent(llm=Writer(), early="look")


async def test_what_listens_for_early_calls_is_no_listener_of_others() -> None:
    """It stays at the root dispatcher: cached answers once took the long way ever after."""
    from llamaindex_agentperf.events import heard

    agent, _, _ = made()
    await start(agent, "go")
    assert not heard(ScriptedLLM())
