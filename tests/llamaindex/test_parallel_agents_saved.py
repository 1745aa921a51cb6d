"""Parallel agents that wait for people, are saved meanwhile, and go on elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from context_tools import ask
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.workflow import Context
from llamaindex_tools import ScriptedLLM, start
from parallel_tools import OURS, STOCK_WARNINGS, ListMemory, asks, stock_workflow, workflow
from workflows.events import HumanResponseEvent, InputRequiredEvent

from agentperf_core.toolpolicy import ToolPolicy

pytestmark = pytest.mark.filterwarnings(*STOCK_WARNINGS)
every = pytest.mark.parametrize("make", OURS, ids=lambda made: made.__name__)
Reply: Any = HumanResponseEvent


class Ledger:
    """What was written, in which order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str) -> str:
        """Write."""
        self.lines.append(line)
        return f"wrote {line}"


@every
async def test_several_calls_of_one_message_may_ask_people(make: Callable[..., Any]) -> None:
    """A call that waits is made again from its beginning; its siblings are not."""
    ledger = Ledger()
    script = asks(("ask", {"who": "ann"}), ("write", {"line": "x"}), ("ask", {"who": "bob"}))
    handler: Any = start(make(ScriptedLLM(script), [ask, ledger.write]), "go")
    asked: list[str] = []
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            asked.append(event.who)
            if len(asked) == 2:
                for who in reversed(asked):
                    handler.ctx.send_event(Reply(who=who, response="yes"))
    assert str(await handler) == "ann says yes wrote x bob says yes"
    assert sorted(asked) == ["ann", "bob"]
    assert ledger.lines == ["x"]


POLICIES = {
    "ask": ToolPolicy(writes=["ledger"]),
    "write": ToolPolicy(writes=["ledger"]),
}


@every
async def test_calls_wait_for_one_that_waits_for_a_person(make: Callable[..., Any]) -> None:
    ledger = Ledger()
    script = asks(("write", {"line": "x"}), ("ask", {"who": "ann"}), ("write", {"line": "y"}))
    runner = make(ScriptedLLM(script), [ask, ledger.write], policies=POLICIES)
    handler: Any = start(runner, "go")
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            assert ledger.lines == ["x"]
            handler.ctx.send_event(Reply(who="ann", response="yes"))
    assert str(await handler) == "wrote x ann says yes wrote y"
    assert ledger.lines == ["x", "y"]


@every
async def test_a_saved_run_goes_on_where_it_was(make: Callable[..., Any]) -> None:
    """With calls done, one waiting for a person, and one held back until then."""
    ledger = Ledger()
    script = asks(
        ("write", {"line": "x"}),
        ("ask", {"who": "ann"}),
        ("write", {"line": "y"}),
        ("write", {"line": "z"}),
    )

    def made() -> tuple[Any, ScriptedLLM]:
        llm = ScriptedLLM(script)
        return make(llm, [ask, ledger.write], policies=POLICIES), llm

    first, _ = made()
    handler: Any = first.run(user_msg="go", memory=ListMemory())
    saved = ""
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            saved = json.dumps(handler.ctx.to_dict())
            await handler.cancel_run()
    assert ledger.lines == ["x"]
    second, llm = made()
    handler = second.run(ctx=Context.from_dict(second, json.loads(saved)))
    handler.ctx.send_event(Reply(who="ann", response="yes"))
    assert str(await handler) == "wrote x ann says yes wrote y wrote z"
    assert ledger.lines == ["x", "y", "z"]
    assert llm.calls_made == 1


@every
async def test_a_context_carries_over_from_run_to_run(make: Callable[..., Any]) -> None:
    ledger = Ledger()

    def script(messages: Sequence[ChatMessage]) -> ChatMessage:
        since = max(n for n, message in enumerate(messages) if message.role == "user")
        return asks(("write", {"line": "x"}), ("write", {"line": "y"}))(messages[since:])

    def made() -> Any:
        return make(ScriptedLLM(script), [ledger.write], policies={"write": POLICIES["write"]})

    runner = made()
    context: Any = Context(runner)
    memory = ListMemory()
    await runner.run(user_msg="one", ctx=context, memory=memory)
    again = made()
    context = Context.from_dict(again, json.loads(json.dumps(context.to_dict())))
    assert str(await again.run(user_msg="two", ctx=context)) == "wrote x wrote y"
    assert ledger.lines == ["x", "y", "x", "y"]
    kept = await (await context.store.get("memory")).aget()
    assert [str(m.content) for m in kept if m.role == "user"] == ["one", "two"]


async def test_a_saved_workflow_is_no_other_than_the_stock_one() -> None:
    """What is kept in the store beside the stock entries is there only while calls wait."""
    ledger = Ledger()
    script = asks(("write", {"line": "x"}), ("write", {"line": "y"}))
    saved: list[Any] = []
    for make in (stock_workflow, workflow):
        runner: Any = make(ScriptedLLM(script), [ledger.write])
        context: Any = Context(runner)
        await runner.run(user_msg="go", ctx=context, memory=ListMemory())
        saved.append(context.to_dict()["state"])
    assert saved[0] == saved[1]
