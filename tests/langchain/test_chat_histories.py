"""Windowed and summarising histories under `RunnableWithMessageHistory`, over other histories."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from conversations import WORDS, objections
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from scripted_models import ScriptedChat, say

from agentperf_core.errors import ConfigError
from langchain_agentperf import SummarizingChatMessageHistory, WindowedChatMessageHistory
from langchain_agentperf._messages import to_core

FILL = " ".join(f"word{n}" for n in range(18))


class Kept(BaseChatMessageHistory):
    """A history that gives new objects at every read, as stores do."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[BaseMessage] = []

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        return [message.model_copy(deep=True) for message in self.kept]

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        self.kept.extend(messages)

    def clear(self) -> None:
        self.kept = []


def scribe() -> ScriptedChat:
    return ScriptedChat(answer=lambda number, messages: say(f"summary {number}"))


def settle(history: SummarizingChatMessageHistory) -> None:
    for followed in history._pool._followed.values():
        followed.trimmer.settle(20)


def fill(history: Any, turns: int) -> None:
    for number in range(turns):
        history.add_messages(
            [HumanMessage(f"turn {number} {FILL}"), AIMessage(f"answer {number} {FILL}")]
        )
        _ = history.messages
        if isinstance(history, SummarizingChatMessageHistory):
            settle(history)


def test_importing_and_making_them_warns_of_nothing():
    script = (
        "import warnings; warnings.simplefilter('error');"
        "from langchain_agentperf import SummarizingChatMessageHistory as S;"
        "from langchain_agentperf import WindowedChatMessageHistory as W;"
        "W(max_messages=4).add_user_message('x'); S(None, max_messages=4).add_ai_message('y')"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_a_window_shows_a_part_and_keeps_the_whole():
    kept = Kept()
    history = WindowedChatMessageHistory(kept, max_tokens=200, counter=WORDS)
    fill(history, 20)
    shown = history.messages
    assert len(kept.kept) == 40
    assert 2 <= len(shown) < 10
    core = [to_core(message) for message in shown]
    assert sum(map(WORDS.count_message, core)) <= 200
    assert objections(core) == []
    assert shown[-1].text.startswith("answer 19")


def test_a_summary_stands_before_the_window():
    kept = Kept()
    history = SummarizingChatMessageHistory(scribe(), kept, max_tokens=400, counter=WORDS)
    fill(history, 20)
    shown = history.messages
    assert "summary" in shown[0].text
    assert sum(WORDS.count_message(to_core(message)) for message in shown) <= 400
    assert history.shown is not None
    assert history.shown.coverage.share == 1.0
    assert len(kept.kept) == 40


async def test_awaited_reads_are_the_same():
    history = SummarizingChatMessageHistory(scribe(), max_tokens=400, counter=WORDS)
    for number in range(20):
        await history.aadd_messages(
            [HumanMessage(f"turn {number} {FILL}"), AIMessage(f"answer {number} {FILL}")]
        )
        await history.aget_messages()
        for followed in history._pool._followed.values():
            await followed.trimmer.asettle(20)
    shown = await history.aget_messages()
    assert "summary" in shown[0].text
    assert [one.text for one in history.messages] == [one.text for one in shown]


async def test_clearing_forgets_the_summary_too():
    history = SummarizingChatMessageHistory(scribe(), max_tokens=400, counter=WORDS)
    fill(history, 20)
    history.clear()
    assert history.messages == []
    history.add_user_message("hi")
    assert [message.text for message in history.messages] == ["hi"]
    await history.aclear()
    assert await history.aget_messages() == []


def chain_of(histories: Any, seen: list[list[BaseMessage]], **keys: Any) -> Any:
    def reply(messages: Any) -> AIMessage:
        said = messages if isinstance(messages, list) else messages["history"]
        seen.append(said)
        return AIMessage(f"answer {len(seen)} {FILL}")

    return RunnableWithMessageHistory(RunnableLambda(reply), histories, **keys)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("keyed", [True, False])
def test_chains_with_a_history_per_session(keyed: bool):
    """The history is made anew for every call, and its input is cut off by its length."""
    stores: dict[str, Kept] = {}
    histories = SummarizingChatMessageHistory.per_session(
        lambda session_id: stores.setdefault(session_id, Kept()),
        scribe(),
        max_tokens=400,
        counter=WORDS,
        background=False,
    )
    keys = {"input_messages_key": "input", "history_messages_key": "history"} if keyed else {}
    seen: list[list[BaseMessage]] = []
    chain = chain_of(histories, seen, **keys)
    for number in range(20):
        for session in ("a", "b"):
            said = HumanMessage(f"turn {number} {FILL}")
            chain.invoke(
                {"input": [said]} if keyed else [said],
                {"configurable": {"session_id": session}},
            )
    assert len(stores["a"].kept) == len(stores["b"].kept) == 40
    assert [m.text for m in stores["a"].kept[::2]] == [f"turn {n} {FILL}" for n in range(20)]
    assert "summary" in seen[-1][0].text


def test_old_turns_can_be_dropped_instead():
    history = SummarizingChatMessageHistory(None, max_tokens=300, keep_turns=2, counter=WORDS)
    fill(history, 20)
    assert history.messages[0].text.startswith("turn")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("keyed", [True, False])
def test_a_turn_that_overflowed_does_not_end_the_conversation(keyed: bool):
    """Reading the history failed from then on, so that nothing could be asked any more."""
    kept = Kept()
    one = SummarizingChatMessageHistory(scribe(), kept, max_tokens=400, counter=WORDS)
    session = SummarizingChatMessageHistory.per_session(
        lambda session_id: kept, scribe(), max_tokens=400, counter=WORDS
    )
    picture = {"type": "image_url", "image_url": {"url": "http://x/y.png"}}
    pictures = HumanMessage([*[picture] * 6])
    seen: list[list[BaseMessage]] = []

    chain = chain_of(session if keyed else lambda session_id: one, seen)
    config: Any = {"configurable": {"session_id": "s"}}
    chain.invoke([HumanMessage(f"hi {FILL}")], config)
    chain.invoke([pictures], config)
    for number in range(20):
        chain.invoke([HumanMessage(f"turn {number} {FILL}")], config)
        if not keyed:
            settle(one)
    assert [message.text for message in seen[2]] == [f"turn 0 {FILL}"]
    assert len(kept.kept) == 44
    assert all(message.content != pictures.content for message in seen[-1])
    if not keyed:
        assert one.messages
        assert one.shown is not None
        assert one.shown.coverage.covered > 4


def test_what_is_no_history_is_refused():
    with pytest.raises(ConfigError, match="must be a BaseChatMessageHistory"):
        WindowedChatMessageHistory({}, max_messages=4)  # type: ignore[arg-type]


async def test_what_is_no_message_is_not_added():
    """One number among the messages once stayed, and every later reading failed with it."""
    history = WindowedChatMessageHistory(max_messages=4)
    history.add_user_message("hi")
    wrong: Any = [5]
    with pytest.raises(ConfigError, match="a message must be a BaseMessage, got an int"):
        history.add_messages(wrong)
    with pytest.raises(ConfigError, match="a message must be a BaseMessage, got an int"):
        await history.aadd_messages(wrong)
    assert [message.content for message in history.messages] == ["hi"]
