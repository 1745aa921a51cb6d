"""Model answers that are built on cached tool results: worth no more than the results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.memory import ChatMemoryBuffer
from llamaindex_tools import ScriptedLLM, calls, mark, says, start, user

from agentperf_core.cache import ExactCache, MemoryStore
from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.clock import FakeClock
from agentperf_core.flow import run
from agentperf_core.toolpolicy import ToolPolicy
from llamaindex_agentperf import CachedLLM, CachedTool
from llamaindex_agentperf._marks import inherited_by, marked_blocks

pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step:DeprecationWarning",
)

READS = ToolPolicy(read_only=True, ttl_s=60, reads=["orders:{order_id}"])
TAGS = ("orders:7", "orders:*")


class Desk:
    """An agent with a cached model and a cached tool, on one clock."""

    def __init__(self, *, react: bool = False) -> None:
        self.clock = FakeClock()
        self.answers = MemoryStore(clock=self.clock)
        self.cache = ToolResultCache(clock=self.clock, answers=[self.answers])
        self.inner = ScriptedLLM(_react if react else _function)
        self.llm = CachedLLM(
            self.inner, cache=ExactCache(self.answers, clock=self.clock), version="1"
        )
        self.tool = CachedTool(get_order, policy=READS, cache=self.cache)
        self.agent: Any = (
            ReActAgent(llm=self.llm, tools=[self.tool], streaming=False)
            if react
            else FunctionAgent(llm=self.llm, tools=[self.tool])
        )


def get_order(order_id: int) -> str:
    """State of an order."""
    return f"order {order_id}: shipped"


def _function(messages: Sequence[ChatMessage]) -> ChatMessage:
    if messages[-1].role == MessageRole.TOOL:
        return says(f"It says {messages[-1].content}.")
    return calls(("get_order", {"order_id": 7}))


def _react(messages: Sequence[ChatMessage]) -> ChatMessage:
    if "Observation:" in str(messages[-1].content):
        return says("Thought: I can answer.\nAnswer: It has shipped.")
    return says('Thought: I need a tool.\nAction: get_order\nAction Input: {"order_id": 7}')


@pytest.mark.parametrize("react", [False, True], ids=["function", "react"])
async def test_an_answer_expires_with_the_tool_result_that_it_is_built_on(react: bool) -> None:
    """The step that asks for the tool is built on nothing and stays."""
    desk = Desk(react=react)
    for later, expected in ((0, 2), (0, 2), (61, 3)):
        desk.clock.advance(later)
        await start(desk.agent, "where is order 7?")
        assert desk.inner.calls_made == expected


@pytest.mark.parametrize("react", [False, True], ids=["function", "react"])
async def test_an_answer_is_forgotten_with_the_tool_result_that_it_is_built_on(react: bool) -> None:
    desk = Desk(react=react)
    await start(desk.agent, "where is order 7?")
    assert run(desk.llm.cache.invalidate("orders:7")) == 1
    await start(desk.agent, "where is order 7?")
    assert desk.inner.calls_made == 3


async def test_a_write_forgets_the_result_and_the_answer_built_on_it() -> None:
    desk = Desk()

    def ship(order_id: int) -> str:
        """Ship."""
        return "done"

    write = CachedTool(ship, policy=ToolPolicy(writes=["orders:*"]), cache=desk.cache)
    await start(desk.agent, "where is order 7?")
    write.call(order_id=1)
    await start(desk.agent, "where is order 7?")
    assert desk.inner.calls_made == 3


async def test_a_later_turn_inherits_what_is_in_the_memory() -> None:
    desk = Desk()
    memory = ChatMemoryBuffer.from_defaults(token_limit=10_000)
    run_agent: Any = desk.agent.run
    await run_agent(user_msg="where is order 7?", memory=memory)
    until, tags = inherited_by(memory.get_all())
    assert (until, tags) == (desk.clock.time() + 60, TAGS)


async def test_another_run_inherits_nothing() -> None:
    desk = Desk()
    await start(desk.agent, "where is order 7?")
    other: Any = FunctionAgent(llm=desk.llm, tools=[], streaming=False)
    desk.inner._script = lambda _: says("hello")
    await start(other, "hi")
    desk.clock.advance(100)
    await start(other, "hi")
    assert desk.inner.calls_made == 3


def test_a_message_of_ones_own_making_can_carry_the_mark() -> None:
    """For loops written by hand, where the tool's text is put into a message of its own."""
    said = {"expires_at": 5.0, "tags": ["a"]}
    message = ChatMessage(
        role="tool", content="x", additional_kwargs={"tool_call_id": "1", "agentperf": said}
    )
    assert inherited_by([message]) == (5.0, ("a",))
    assert inherited_by([user("x")]) == (None, ())


def test_an_answer_on_a_result_that_has_expired_is_not_kept() -> None:
    clock = FakeClock()
    inner = ScriptedLLM(lambda _: says("fine"))
    llm = CachedLLM(inner, cache=ExactCache(MemoryStore(clock=clock), clock=clock))
    blocks = marked_blocks(
        ChatMessage(content="x").blocks, {"expires_at": clock.time(), "tags": []}
    )
    history = [
        user("where?"),
        calls(("get", {})),
        ChatMessage(role="tool", blocks=blocks, additional_kwargs={"tool_call_id": "id-0"}),
    ]
    for _ in range(2):
        assert mark(llm.chat(history))["outcome"] == "bypass"
    assert inner.calls_made == 2


def test_a_mark_changes_neither_the_key_nor_what_is_sent_and_saved() -> None:
    plain = ChatMessage(role="tool", content="x", additional_kwargs={"tool_call_id": "1"})
    marked = ChatMessage(
        role="tool",
        blocks=marked_blocks(plain.blocks, {"expires_at": 9e9, "tags": ["a"]}),
        additional_kwargs={"tool_call_id": "1"},
    )
    assert marked.model_dump() == plain.model_dump()
    assert marked.content == plain.content
    inner = ScriptedLLM(lambda _: says("fine"))
    llm = CachedLLM(inner)
    llm.chat([plain])
    assert mark(llm.chat([marked]))["outcome"] == "hit"
