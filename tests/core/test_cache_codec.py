"""The envelope of a stored answer: versioned plain data; anything else is an error of ours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.cache.codec import Entry, pack, unpack
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
)
GOOD: dict[str, Any] = {"v": 1, "at": 1.0, "took": 2.0, "usage": None, "body": {"text": "hi"}}


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
        lambda: None,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_come_back_as_something_else_is_not_packed(value: object):
    with pytest.raises(CodecError, match="must be plain JSON data"):
        pack(Entry(body={"value": value}, made_at=0, took_s=0))


@pytest.mark.parametrize("version", [0, 2, "1", None], ids=repr)
def test_another_version_is_refused_and_named(version: object):
    with pytest.raises(CodecError, match=f"have version 1, got {version!r}; clear the cache"):
        unpack(orjson.dumps({**GOOD, "v": version}))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"garbage",
        b"\x80\x04\x95",
        b"null",
        b"[]",
        b"5",
        b'"text"',
        b"{}",
        b'{"v":1}',
        *(orjson.dumps({k: v for k, v in GOOD.items() if k != name}) for name in GOOD),
        *(
            orjson.dumps({**GOOD, name: value})
            for name, value in [
                ("at", "today"),
                ("at", None),
                ("took", []),
                ("usage", 5),
                ("usage", {"unknown": 1}),
                ("usage", {"output_tokens": -1}),
                ("usage", {"output_tokens": "1"}),
                ("body", "text"),
                ("body", None),
                ("body", [1]),
            ]
        ),
    ],
    ids=lambda raw: raw.decode("latin-1")[:60],
)
def test_what_is_not_ours_is_a_codec_error_with_a_cause(raw: bytes):
    with pytest.raises(CodecError) as caught:
        unpack(raw)
    assert "clear the cache" in str(caught.value)
    assert caught.value.__cause__ is not None


@given(st.binary(max_size=100))
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
        unpack(orjson.dumps({"body": "x" * 30 + "the customer's secret"}))
    assert "secret" not in str(caught.value)
