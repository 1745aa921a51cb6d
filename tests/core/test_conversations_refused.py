"""What a store refuses, and what still waits at the end: told of, and in nobody's way."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from outage_tools import Breakable, Outage, record, texts

from agentperf_core.cache.conversations import (
    Batch,
    Conversations,
    ConversationUnavailable,
    open_conversations,
)
from agentperf_core.clock import FakeClock
from agentperf_core.events import Fault
from agentperf_core.flow import Flow


class Choosy(Breakable):
    """A store that will not have some messages."""

    refuses = b"bad"

    def append(self, name: str, batch: Batch, *, again: bool = False) -> Flow[int]:
        self._ask()
        if self.refuses and any(self.refuses in value for value in batch.values):
            raise ValueError("a value of this kind cannot be stored")
        return (yield from super().append(name, batch, again=again))


class Refusal(Outage):
    """Conversations over a store that refuses what says "bad"."""

    def __init__(self) -> None:
        super().__init__()
        self.choosy = self.all.store = self.store = Choosy()

    def stored(self) -> list[str]:
        return texts(Conversations(self.store).of("s", tenant="t").read())


def test_a_refused_batch_holds_up_nothing() -> None:
    """And no number of them looks like an outage of the store.

    One that the store would not have once stayed first in the queue, and what came after it was
    never stored.
    """
    case = Refusal()
    for number in range(5):
        assert case.talk.append(record(f"bad {number}")) is False
        assert case.talk.append(record(f"good {number}")) is True
    assert not case.all.is_down
    assert case.stored() == [f"good {number}" for number in range(5)]
    assert [event.where for event in case.told if isinstance(event, Fault)] == [
        "cache.conversations.refused"
    ] * 5


def test_a_refused_batch_holds_up_nothing_after_an_outage() -> None:
    """Neither does it when it was said while the store was down."""
    case = Refusal()
    case.down()
    for text in ("one", "bad", "two"):
        case.talk.append(record(text))
    case.down(False)
    assert case.talk.append(record("three")) is True
    assert case.stored() == ["one", "two", "three"]
    assert (case.talk.waiting, case.all.waiting) == (1, 1)


def test_what_was_refused_is_read_here_and_tried_again_at_the_end() -> None:
    """Whoever said it sees it, and a store that was only odd for a while gets it after all."""
    case = Refusal()
    case.talk.append(record("bad", "good"))
    case.talk.append(record("more"))
    assert sorted(texts(case.talk.read())) == ["bad", "good", "more"]
    case.choosy.refuses = b""
    case.all.close()
    assert case.stored() == ["more", "bad", "good"]
    assert case.all.waiting == 0


def closing(case: Outage) -> list[Fault]:
    case.told.clear()
    case.all.close()
    faults = [event for event in case.told if isinstance(event, Fault)]
    return [event for event in faults if event.where == "cache.conversations.close"]


def test_what_waits_at_the_end_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """`close` once said nothing of messages that ended with the process."""
    case = Outage()
    case.down()
    case.talk.append(record("one", "two"))
    case.all.of("other").append(record("three"))
    with caplog.at_level(logging.WARNING, "agentperf"):
        (told,) = closing(case)
    assert isinstance(told.error, ConversationUnavailable)
    assert "got 3 that wait for their store" in str(told.error)
    assert sum("got 3 that wait" in line for line in caplog.messages) == 1
    case.down(False)
    assert closing(case) == []
    assert texts(Conversations(case.store).of("s", tenant="t").read()) == ["one", "two"]


def test_what_was_refused_is_told_of_at_the_end() -> None:
    """It is lost as well."""
    case = Refusal()
    case.talk.append(record("bad"))
    (told,) = closing(case)
    assert "got 1 that wait" in str(told.error)


async def test_aclose_tells_the_same() -> None:
    """It is the same flow."""
    case = Outage()
    case.down()
    await case.talk.aappend(record("one"))
    await case.all.aclose()
    assert case.all.bus.faults()["cache.conversations.close"] == 1


def test_closing_asks_a_store_that_was_down_a_moment_ago() -> None:
    """There is no later call that could find out that it is back."""
    case = Outage(failures=1, open_s=1000.0)
    case.down()
    case.talk.append(record("said"))
    case.store.is_down = False
    case.all.close()
    assert texts(Conversations(case.store).of("s", tenant="t").read()) == ["said"]


def test_a_file_that_is_deleted_takes_no_messages(tmp_path: Path) -> None:
    """SQLite goes on with a deleted file: `append` said True, and all of it was lost."""
    path = tmp_path / "talks.db"
    clock = FakeClock()
    with open_conversations(f"sqlite:{path}", clock=clock) as conversations:
        talk = conversations.of("s")
        assert talk.append(record("one")) is True
        assert texts(talk.read()) == ["one"]
        aside = tmp_path / "aside.db"
        path.rename(aside)
        assert talk.append(record("two")) is False
        assert conversations.is_down
        assert texts(talk.read()) == ["one", "two"]
        with pytest.raises(ConversationUnavailable):
            conversations.of("other").read()
        aside.rename(path)
        clock.advance(10.0)
        assert talk.append(record("three")) is True
        assert not conversations.is_down
    with open_conversations(f"sqlite:{path}") as conversations:
        assert texts(conversations.of("s").read()) == ["one", "two", "three"]


def test_a_file_that_is_replaced_takes_no_messages(tmp_path: Path) -> None:
    """The other file is another history, and is not taken for this one."""
    path = tmp_path / "talks.db"
    conversations = open_conversations(f"sqlite:{path}")
    talk = conversations.of("s")
    talk.append(record("one"))
    with open_conversations(f"sqlite:{tmp_path}/other.db"):
        pass
    (tmp_path / "other.db").replace(path)
    assert talk.append(record("two")) is False
    conversations.close()
    assert conversations.waiting == 1
