"""A look into a store from outside: what lies there, whose it is, and how to be rid of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.cache import MemoryStore
from agentperf_core.cache.answers import Question
from agentperf_core.cache.codec import Entry, pack
from agentperf_core.cache.inspection import (
    contents,
    entries,
    find_entry,
    forget,
    question_of,
)
from agentperf_core.cache.stored import kind_of
from agentperf_core.cache.stores import Store
from agentperf_core.cache.stores.redis import RedisStore
from agentperf_core.cache.stores.sqlite import SQLiteStore
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.types import Usage

CLOCK = FakeClock()
KEY = "ab" * 32
ANSWER = Entry(
    body={"text": "Twice a week."},
    made_at=CLOCK.time() - 100,
    took_s=1.5,
    usage=Usage(uncached_input_tokens=7, output_tokens=3),
    model="gpt-4o-mini",
    fresh_until=CLOCK.time() + 60,
    until=CLOCK.time() + 3600,
    question=Question("0f", "How often are there trains?"),
    tags=("timetable",),
)
TOOL = Entry(body={"result": 17, "failed": False}, made_at=CLOCK.time(), took_s=None)
STORED = {
    KEY: pack(ANSWER),
    "cd" * 32: pack(TOOL),
    f"~q:1f:0f:{KEY}": b"a question",
    "~q:1f:state": b"learnt",
    "~stats:1": b"counters",
    "embedding:1f:text": b"vector",
    "writing:timetable": b"note",
    "ef" * 32: b"AP1jan old entry",
    "ff" * 32: b"something else",
}


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path, namespace: str) -> Store:
    made: Store = MemoryStore()
    if request.param == "sqlite":
        made = SQLiteStore(tmp_path / "cache.db")
    if request.param == "redis":
        made = RedisStore(request.getfixturevalue("plain_server").url, namespace=namespace)
    for key, value in STORED.items():
        made.set(key, value, None, ("timetable",) if key == KEY else ())
    return made


def test_contents_tell_answers_from_what_stands_beside_them(store: Store):
    seen: list[int] = []
    held = contents(store, progress=seen.append)
    assert held.entries == {
        "answer": 1,
        "tool result": 1,
        "question": 1,
        "learnt": 1,
        "statistics": 1,
        "embedding": 1,
        "note": 1,
        "unreadable": 2,
    }
    assert held.answers == 2
    assert held.size_bytes == sum(map(len, STORED.values()))
    assert held.problems == {"it is of another version": 1, "it cannot be read": 1}
    assert seen == list(range(1, len(STORED) + 1))


def test_entries_are_answers_and_tool_results_and_what_cannot_be_read(store: Store):
    found = {one.key[:2]: one for one in entries(store, clock=CLOCK)}
    assert {key: one.kind for key, one in found.items()} == {
        "ab": "answer",
        "cd": "tool result",
        "ef": "unreadable",
        "ff": "unreadable",
    }
    answer = found["ab"]
    assert (answer.age_s, answer.left_s, answer.is_stale) == (100, 3600, False)
    assert answer.size == len(STORED[KEY])
    assert found["cd"].left_s is None


def test_an_entry_past_its_time_says_so(store: Store):
    later = FakeClock()
    later.advance(61)
    (one,) = entries(store, "ab", clock=later)
    assert (one.is_stale, one.left_s) == (True, 3539)


def test_texts_are_shown_only_when_asked_for(store: Store):
    (one,) = entries(store, KEY, clock=CLOCK)
    plain, whole = one.as_dict(), one.as_dict(show_text=True)
    assert "trains" not in str(plain)
    assert "Twice" not in str(plain)
    assert (plain["model"], plain["tags"], plain["scope"]) == ("gpt-4o-mini", ["timetable"], "0f")
    assert whole["question"] == "How often are there trains?"
    assert whole["body"] == {"text": "Twice a week."}


def test_the_beginning_of_a_key_is_enough_to_find_it(store: Store):
    assert find_entry(store, "abab") == find_entry(store, KEY) == KEY


@pytest.mark.parametrize(("start", "message"), [("e", "'e'"), ("", "one that is stored")])
def test_a_key_that_names_none_is_refused(store: Store, start: str, message: str):
    store.delete("ef" * 32)
    with pytest.raises(ConfigError, match=message):
        find_entry(store, start)


def test_a_key_that_names_several_is_refused(store: Store):
    store.set("abcd", STORED[KEY], None)
    with pytest.raises(ConfigError, match="2 begin with"):
        find_entry(store, "ab")


@pytest.mark.parametrize("key", [key for key in STORED if kind_of(key) is not None])
def test_what_stands_beside_the_entries_is_none(store: Store, key: str):
    with pytest.raises(ConfigError):
        find_entry(store, key)


def test_forgetting_an_entry_forgets_the_question_that_it_answers(store: Store):
    assert forget(store, KEY) == 2
    assert store.get(KEY) is None
    assert not list(store.scan("~q:1f:0f:"))
    assert store.get("~q:1f:state") == b"learnt"


def test_the_question_of_an_entry_is_found_where_the_semantic_tier_keeps_it(store: Store):
    assert question_of(store, KEY) is None, "what cannot be read is no question"
    store.set(f"~q:1f:0f:{KEY}", b'{"v": 1, "text": "How often?"}', None)
    assert question_of(store, KEY) == "How often?"
    assert question_of(store, "cd" * 32) is None


@given(st.binary(max_size=64))
def test_any_bytes_can_be_looked_at(raw: bytes):
    store = MemoryStore()
    store.set("key", raw, None)
    (one,) = entries(store)
    assert one.entry is not None or one.problem
    assert contents(store).answers + len(contents(store).problems) == 1
