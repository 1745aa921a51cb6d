"""The envelope of a stored answer: versioned plain data; anything else is an error of ours."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.cache import codec
from agentperf_core.cache.answers import Question
from agentperf_core.cache.codec import Entry, OldVersion, pack, unpack
from agentperf_core.errors import CodecError
from agentperf_core.types import Usage

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ENTRIES = st.builds(
    Entry,
    body=st.dictionaries(st.text(), JSON, max_size=4),
    made_at=st.floats(0, 2e9),
    took_s=st.floats(0, 1e6),
    usage=st.none()
    | st.builds(
        Usage.from_totals, input_tokens=st.integers(0, 10**9), output_tokens=st.integers(0, 10**9)
    ),
    model=st.none() | st.text(),
    fresh_until=st.none() | st.floats(0, 2e9),
    until=st.none() | st.floats(0, 2e9),
    wording=st.none() | st.text(),
    question=st.none() | st.builds(Question, st.text(), st.text(), st.none() | st.text()),
    tags=st.lists(st.text(), max_size=3).map(tuple),
)
GOOD: dict[str, Any] = {
    "at": 1.0,
    "took": 2.0,
    "usage": {"output_tokens": 1},
    "model": "m",
    "fresh": 3.0,
    "until": 4.0,
    "wording": "w",
    "question": ["scope", "text", None],
    "tags": ["t"],
    "body": {"text": "hi"},
}


def written(record: object, start: bytes = b"AP2j") -> bytes:
    return start + orjson.dumps(record)


def test_the_written_form_is_the_one_of_these_tests():
    assert unpack(written(GOOD)) == Entry(
        body={"text": "hi"},
        made_at=1.0,
        took_s=2.0,
        usage=Usage(output_tokens=1),
        model="m",
        fresh_until=3.0,
        until=4.0,
        wording="w",
        question=Question("scope", "text"),
        tags=("t",),
    )
    assert unpack(written({"at": 1, "body": {}})) == Entry(body={}, made_at=1.0, took_s=None)


@given(ENTRIES)
def test_an_entry_comes_back_equal(entry: Entry):
    assert unpack(pack(entry)) == entry


def test_every_unpacking_gives_fresh_objects():
    """Whoever changes a served answer must not change the next one."""
    raw = pack(Entry(body={"list": [1]}, made_at=0, took_s=0))
    first = unpack(raw)
    first.body["list"].append(2)
    assert unpack(raw).body == {"list": [1]}


@dataclass
class Answer:
    text: str


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Answer("x"),
        datetime(2026, 1, 1, tzinfo=UTC),
        {1, 2},
        b"bytes",
        {1: "a"},
        2**70,
        "half an emoji \ud83d",
        float("nan"),
        [None, -float("inf")],
        lambda: None,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_come_back_as_something_else_is_not_packed(value: object):
    with pytest.raises(CodecError, match="must be plain JSON data"):
        pack(Entry(body={"value": value}, made_at=0, took_s=0))


OLD = orjson.dumps({"v": 1, "at": 1.0, "took": 2.0, "usage": None, "body": {"text": "hi"}})


@pytest.mark.parametrize("raw", [OLD, written(GOOD, b"AP1j"), written(GOOD, b"AP3j")])
def test_another_version_is_refused_and_named(raw: bytes):
    with pytest.raises(OldVersion, match="of another version; clear it"):
        unpack(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"garbage",
        b"\x80\x04\x95",
        b"null",
        b"{}",
        b"AP2",
        b"AP2j",
        b"AP2jnull",
        b"AP2j[]",
        b'AP2j"text"',
        b"AP2j{}",
        b"AP2zgarbage",
        b"AP2z" + zlib.compress(b"{}"),
        b"AP2z" + zlib.compress(orjson.dumps(GOOD))[:-6],
        *(written({k: v for k, v in GOOD.items() if k != name}) for name in ("at", "body")),
        *(
            written({**GOOD, name: value})
            for name, value in [
                ("at", "today"),
                ("at", None),
                ("took", []),
                ("usage", 5),
                ("usage", {"unknown": 1}),
                ("usage", {"output_tokens": -1}),
                ("usage", {"output_tokens": "1"}),
                ("model", 5),
                ("fresh", "soon"),
                ("until", {}),
                ("wording", ["w"]),
                ("question", "text"),
                ("question", ["scope", None, None]),
                ("question", ["scope", "text"]),
                ("tags", 5),
                ("body", "text"),
                ("body", None),
                ("body", [1]),
            ]
        ),
    ],
    ids=lambda raw: raw.decode("latin-1")[:60],
)
def test_what_is_not_ours_is_a_codec_error_that_says_what_to_do(raw: bytes):
    with pytest.raises(CodecError, match="clear the cache") as caught:
        unpack(raw)
    assert not isinstance(caught.value, OldVersion)


@given(st.binary(max_size=100) | st.binary(max_size=50).map(lambda raw: b"AP2z" + raw))
def test_garbage_is_never_another_error(raw: bytes):
    with pytest.raises(CodecError):
        unpack(raw)


@given(ENTRIES, st.data())
def test_half_an_entry_is_never_an_entry(entry: Entry, data: st.DataObject):
    raw = pack(entry)
    with pytest.raises(CodecError):
        unpack(raw[: data.draw(st.integers(0, len(raw) - 1))])


def test_the_error_does_not_quote_the_answer():
    with pytest.raises(CodecError) as caught:
        unpack(b"AP2j" + b"x" * 30 + b"the customer's secret")
    assert "secret" not in str(caught.value)


# Compression


TEXT = "The desk is open from nine to five, on every day of the week but Sunday. " * 100


@pytest.mark.parametrize("length", [10, 3900, 4200, 7000])
def test_a_long_answer_is_stored_in_less_room(length: int):
    entry = Entry(body={"text": TEXT[:length]}, made_at=1.0, took_s=None)
    raw = pack(entry)
    assert unpack(raw) == entry
    assert (len(raw) < length / 2) == (length > 4096)


def test_a_small_value_cannot_become_a_huge_one(monkeypatch: pytest.MonkeyPatch):
    """Whoever can write to the store could else fill the memory of all who read from it."""
    monkeypatch.setattr(codec, "_MOST_UNPACKED", 10_000)
    bomb = b"AP2z" + zlib.compress(orjson.dumps({**GOOD, "body": {"text": "x" * 100_000}}))
    assert len(bomb) < 1000
    with pytest.raises(CodecError, match="clear the cache"):
        unpack(bomb)
