"""`SummaryTrimMiddleware` in real agents: what the model is shown, and what stays in the state."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from conversations import WORDS, objections
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from scripted_models import ScriptedChat, call, say

from agentperf_core.accounting import TokenCounter
from agentperf_core.context import ContextOverflow
from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS
from langchain_agentperf import SummaryTrimMiddleware
from langchain_agentperf._messages import to_core

LIMIT = 400
FILL = " ".join(f"word{n}" for n in range(18))


def summaries(number: int, messages: list[BaseMessage]) -> AIMessage:
    return say(f"summary {number}")


def answers(number: int, messages: list[BaseMessage]) -> AIMessage:
    return say(f"answer {number} {FILL}")


class Desk:
    """An agent with its models; every turn waits for the work behind it, unless it is held."""

    def __init__(self, saver: Any = None, *, tools: Any = (), **options: Any) -> None:
        options = {"max_tokens": LIMIT, "counter": WORDS, **options}
        self.model = ScriptedChat(answer=options.pop("answer", answers))
        self.summarizer = options.pop("summarizer", ScriptedChat(answer=summaries))
        self.middleware = SummaryTrimMiddleware(self.summarizer, **options)
        self.agent: Any = create_agent(
            self.model,
            tools=list(tools),
            middleware=[self.middleware],
            checkpointer=saver or InMemorySaver(),
            system_prompt="Be brief.",
        )

    def settle(self) -> None:
        for followed in self.middleware._pool._followed.values():
            followed.trimmer.settle(20)

    async def asettle(self) -> None:
        for followed in self.middleware._pool._followed.values():
            await followed.trimmer.asettle(20)

    def turn(self, number: int, thread: str = "t") -> dict[str, Any]:
        config = {"configurable": {"thread_id": thread}}
        state = self.agent.invoke({"messages": [HumanMessage(f"turn {number} {FILL}")]}, config)
        self.settle()
        return state

    def talk(self, turns: int, first: int = 0) -> dict[str, Any]:
        state: dict[str, Any] = {}
        for number in range(first, first + turns):
            state = self.turn(number)
        return state

    def saved(self, thread: str = "t") -> dict[str, Any] | None:
        values = self.agent.get_state({"configurable": {"thread_id": thread}}).values
        return values.get("agentperf_summary")


def context_of(state: dict[str, Any]) -> dict[str, Any]:
    return state["messages"][-1].response_metadata["agentperf"]["trimmed"]


def shown(desk: Desk) -> list[BaseMessage]:
    return desk.model._calls[-1]


def test_the_model_sees_a_summary_and_the_state_keeps_everything():
    desk = Desk()
    state = desk.talk(20)
    assert len(state["messages"]) == 40
    system, summary, first, *_ = shown(desk)
    assert isinstance(system, SystemMessage)
    assert isinstance(summary, HumanMessage)
    assert "summary" in summary.text
    assert isinstance(first, HumanMessage)
    told = context_of(state)
    assert told["coverage"]["share"] == 1.0
    assert told["left_out"] == told["coverage"]["evicted"] > 10
    assert told["summary"]["usage"]["uncached_input_tokens"] == 10 * told["summary"]["calls"]
    assert "agentperf_summary" not in state, "private"


def test_no_request_is_over_budget_and_all_are_valid():
    desk = Desk()
    desk.talk(30)
    for messages in desk.model._calls:
        core = [to_core(message) for message in messages]
        assert WORDS.count_messages(core) <= LIMIT
        assert objections(core) == []


def test_between_two_cuts_every_request_begins_with_the_one_before():
    desk = Desk()
    desk.talk(30)
    breaks = 0
    for before, after in zip(desk.model._calls, desk.model._calls[1:], strict=False):
        same = [m.text for m in after[: len(before)]] == [m.text for m in before]
        breaks += not same
    assert 2 <= breaks <= 8


async def test_async_agents_too():
    desk = Desk()
    state: dict[str, Any] = {}
    config = {"configurable": {"thread_id": "t"}}
    for number in range(20):
        said = {"messages": [HumanMessage(f"turn {number} {FILL}")]}
        state = await desk.agent.ainvoke(said, config)
        await desk.asettle()
    assert context_of(state)["coverage"]["share"] == 1.0
    assert "summary" in shown(desk)[1].text


class Seen(BaseCallbackHandler):
    def __init__(self) -> None:
        self.models = 0

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.models += 1


@pytest.mark.parametrize("background", [True, False])
def test_summaries_are_neither_streamed_nor_seen_by_callbacks(background: bool):
    desk = Desk(background=background)
    seen = Seen()
    config = {"configurable": {"thread_id": "t"}, "callbacks": [seen]}
    text = ""
    for number in range(20):
        said = {"messages": [HumanMessage(f"turn {number} {FILL}")]}
        for chunk, _ in desk.agent.stream(said, config, stream_mode="messages"):
            text += chunk.text
        desk.settle()
    assert desk.summarizer.calls > 1
    assert seen.models == desk.model.calls == 20
    assert "summary" not in text


async def test_nor_by_those_of_an_async_stream():
    desk = Desk(background=False)
    config = {"configurable": {"thread_id": "t"}}
    names: set[str] = set()
    text = ""
    for number in range(20):
        said = {"messages": [HumanMessage(f"turn {number} {FILL}")]}
        async for event in desk.agent.astream_events(said, config, version="v2"):
            names.add(event["name"])
            if event["event"] == "on_chat_model_stream":
                text += event["data"]["chunk"].text
    assert desk.summarizer.calls > 1
    assert "summary" not in text
    assert "agentperf_summary" not in names


def test_a_restart_goes_on_with_the_saved_summary():
    saver = InMemorySaver()
    desk = Desk(saver)
    desk.talk(20)
    before = desk.saved()
    assert before is not None
    assert json.loads(json.dumps(before)) == before
    again = Desk(saver)
    state = again.turn(20)
    assert context_of(state)["coverage"]["share"] == 1.0
    assert before["summary"]["text"] in shown(again)[1].text
    assert again.summarizer.calls <= 1, "nothing is summarised twice"


def test_without_a_checkpointer_a_conversation_is_known_by_what_it_says():
    """The caller keeps the texts, and LangChain gives them new ids at every call."""
    desk = Desk()
    agent: Any = create_agent(desk.model, middleware=[desk.middleware])
    said: list[tuple[str, str]] = []
    told: dict[str, Any] = {}
    for number in range(20):
        said.append(("user", f"turn {number} {FILL}"))
        state = agent.invoke({"messages": said})
        said.append(("ai", state["messages"][-1].text))
        told = context_of(state)
        desk.settle()
    assert told["coverage"]["share"] == 1.0
    assert told["left_out"] > 10
    assert desk.summarizer.calls < 12


def test_another_thread_has_nothing_of_it():
    desk = Desk()
    desk.talk(20)
    state = desk.turn(0, thread="other")
    assert context_of(state)["left_out"] == 0
    assert desk.saved("other") is None


def test_a_branch_from_an_earlier_checkpoint_has_the_summary_of_then():
    desk = Desk()
    desk.talk(20)
    config = {"configurable": {"thread_id": "t"}}
    early = next(
        one for one in desk.agent.get_state_history(config) if len(one.values["messages"]) == 24
    )
    state = desk.agent.invoke({"messages": [HumanMessage("otherwise")]}, early.config)
    told = context_of(state)
    assert told["failed"] is None
    assert told["coverage"]["covered"] <= 24
    assert len(state["messages"]) == 26


def test_an_edited_history_is_not_told_by_its_old_summary():
    saver = InMemorySaver()
    desk = Desk(saver)
    first = desk.talk(20)["messages"][0]
    config = {"configurable": {"thread_id": "t"}}
    desk.agent.update_state(config, {"messages": [HumanMessage("other", id=first.id)]})
    again = Desk(saver)
    told = context_of(again.turn(20))
    assert told["failed"] == "HistoryEdited"
    assert told["summary"] is None
    assert told["coverage"]["pending"] > 0
    assert context_of(again.talk(30, first=21))["coverage"]["share"] == 1.0


def failing(number: int, messages: list[BaseMessage]) -> AIMessage:
    msg = "down"
    raise ConnectionError(msg)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (failing, "ConnectionError"),
        (lambda number, messages: say(""), "NoSummary"),
        (lambda number, messages: AIMessage("", additional_kwargs={"refusal": "No."}), "NoSummary"),
    ],
    ids=["fails", "says nothing", "refuses"],
)
@pytest.mark.parametrize("background", [True, False])
def test_a_summariser_that_gives_none_leaves_the_conversation_whole(
    answer: Any, error: str, background: bool
):
    before = BUS.faults().get("context.summary", 0)
    desk = Desk(summarizer=ScriptedChat(answer=answer), background=background)
    state = desk.talk(20)
    told = context_of(state)
    assert (told["failed"], told["summary"]) == (error, None)
    assert told["coverage"]["pending"] == told["left_out"] > 0
    assert len(state["messages"]) == 40
    assert BUS.faults()["context.summary"] > before
    assert desk.summarizer.calls < 12


@pytest.mark.parametrize("background", [True, False])
def test_a_summariser_that_hangs_holds_nobody_up(background: bool):
    gate = threading.Event()

    def hold(number: int) -> None:
        gate.wait(20)

    held = ScriptedChat(answer=summaries, before=hold)
    desk = Desk(summarizer=held, background=background, timeout_s=0.005)
    told = context_of(desk.talk(20))
    assert told["failed"] == "TimeoutError"
    assert told["summary"] is None
    gate.set()


@tool
def look(place: str) -> str:
    """Look at a place."""
    return f"{place} {FILL} {FILL}"


def searching(number: int, messages: list[BaseMessage]) -> AIMessage:
    if number % 6:
        return say("", call("look", f"call-{number}", place=f"room {number}"))
    return say(f"found {number}")


def test_tool_calls_and_their_results_stay_together():
    desk = Desk(tools=[look], answer=searching, max_tokens=600)
    for number in range(6):
        desk.turn(number)
    for messages in desk.model._calls:
        core = [to_core(message) for message in messages]
        assert objections(core) == []
        assert WORDS.count_messages(core) <= 600
    assert desk.summarizer.calls > 0


def test_tools_and_system_prompt_take_their_room():
    bare, full = Desk(), Desk(tools=[look])
    assert context_of(full.talk(12))["left_out"] > context_of(bare.talk(12))["left_out"]
    for messages, kwargs in zip(full.model._calls, full.model.bound, strict=True):
        core = [to_core(message) for message in messages]
        tools = WORDS.count_tools(kwargs["tools"])
        assert WORDS.count_messages(core) + tools <= LIMIT


def test_old_turns_can_be_dropped_instead():
    desk = Desk(summarizer=None, keep_turns=2)
    told = context_of(desk.talk(20))
    assert told["summary"] is None
    assert told["left_out"] > 20


def test_any_function_summarises():
    desk = Desk(summarizer=lambda messages, previous, most: f"{len(messages)} messages")
    desk.talk(20)
    assert "messages" in shown(desk)[1].text


def test_a_model_behind_a_runnable_summarises():
    desk = Desk(summarizer=ScriptedChat(answer=summaries).with_config(tags=["mine"]))
    desk.talk(20)
    assert "summary" in shown(desk)[1].text


def test_the_default_counts_as_openai_does():
    middleware = SummaryTrimMiddleware(ScriptedChat(), max_tokens=8000)
    assert middleware._pool is not None
    assert count_tokens_approximately([HumanMessage("hi")]) > 0
    assert TokenCounter.for_encoding("o200k_base").method in {"tiktoken", "estimate"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "max_tokens or by max_messages"),
        ({"max_tokens": 100, "summary_tokens": 60}, "more than half"),
        ({"max_tokens": 4000, "trigger": 5}, "check the spelling"),
    ],
)
def test_settings_that_mean_nothing_are_refused_at_once(options: dict[str, Any], says: str):
    with pytest.raises(ConfigError, match=says):
        SummaryTrimMiddleware(ScriptedChat(), **options)


PICTURES = [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}] * 6


@pytest.mark.parametrize("summarizer", [ScriptedChat(answer=summaries), None])
def test_a_turn_that_overflowed_does_no_harm_once_it_can_leave(summarizer: Any):
    """Six pictures were refused, and so was everything else that was said in that thread."""
    desk = Desk(summarizer=summarizer)
    desk.talk(3)
    config = {"configurable": {"thread_id": "t"}}
    with pytest.raises(ContextOverflow):
        desk.agent.invoke({"messages": [HumanMessage([*PICTURES])]}, config)
    state = desk.turn(3)
    assert len(state["messages"]) == 9, "kept whole"
    assert [message.text for message in shown(desk)[-1:]] == [f"turn 3 {FILL}"]
    assert context_of(state)["left_out"] == 7
    told = context_of(desk.talk(12, first=4))
    assert told["coverage"]["share"] == (1.0 if summarizer else 0.0)


def test_the_answer_tells_of_repairs():
    """Three of four messages were shown, and the record told of no repair and none left out."""
    desk = Desk()
    said = [HumanMessage("q1"), ToolMessage("lost", tool_call_id="zz"), AIMessage("a")]
    state = desk.agent.invoke(
        {"messages": [*said, HumanMessage("q2")]}, {"configurable": {"thread_id": "t"}}
    )
    told = context_of(state)
    assert (told["left_out"], told["repairs"]) == (1, ["orphan_result"])
    assert [message.text for message in shown(desk)[1:]] == ["q1", "a", "q2"]


@pytest.fixture
def sqlite_saver(tmp_path: Any) -> Iterator[Any]:
    with SqliteSaver.from_conn_string(str(tmp_path / "saved.db")) as saver:
        yield saver


def test_a_restart_from_sqlite(sqlite_saver: Any):
    desk = Desk(sqlite_saver)
    desk.talk(20)
    before = desk.saved()
    again = Desk(sqlite_saver)
    assert context_of(again.turn(20))["coverage"]["share"] == 1.0
    assert before is not None
    assert before["summary"]["text"] in shown(again)[1].text
