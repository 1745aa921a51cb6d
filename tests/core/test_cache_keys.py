"""Request keys: everything that can change the answer, nothing else, and no two by accident."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel, create_model

from agentperf_core.cache import MessageParts, Unkeyable, canonical, request_key, text_key
from agentperf_core.cache.requests import keys

SIMPLE = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
JSON = st.recursive(
    SIMPLE | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
PARAMS = st.dictionaries(st.text(), JSON, max_size=3)
TEXT = st.text(max_size=12)
MESSAGES = st.builds(
    MessageParts,
    role=st.sampled_from(["system", "user", "assistant", "tool"]) | TEXT,
    content=TEXT | st.binary(max_size=8),
    name=st.none() | TEXT,
    calls=st.binary(max_size=8),
    extra=st.binary(max_size=8),
    call_ids=st.just(()),
    answers=st.none(),
)


def message(text: str, role: str = "user", **fields: Any) -> MessageParts:
    return MessageParts(role, text, **fields)


def key(*messages: MessageParts, **parts: Any) -> str:
    defaults: dict[str, Any] = {"model": {"name": "big"}, "messages": messages}
    return request_key(**{**defaults, **parts})


# What does not matter


def test_a_key_is_64_hexadecimal_digits():
    assert len(key(message("hi"))) == 64
    assert set(key(message("hi"))) <= set("0123456789abcdef")


@given(st.lists(st.binary(max_size=6), max_size=5), st.randoms())
def test_the_order_of_tools_does_not_matter(tools: list[bytes], rng):
    shuffled = list(tools)
    rng.shuffle(shuffled)
    assert key(message("hi"), tools=tools) == key(message("hi"), tools=shuffled)


@given(PARAMS, st.randoms())
def test_the_order_of_dictionary_keys_does_not_matter(params: dict[str, Any], rng):
    items = list(params.items())
    rng.shuffle(items)
    assert canonical(params) == canonical(dict(items))
    assert key(message("hi"), params=params) == key(message("hi"), params=dict(items))


def conversation(first: str, second: str) -> list[MessageParts]:
    """Two parallel calls and their results under ids that the provider drew."""
    return [
        message("what about both?"),
        MessageParts("assistant", "", calls=b'[["f",{}],["g",{}]]', call_ids=(first, second)),
        MessageParts("tool", "result of f", answers=first),
        MessageParts("tool", "result of g", answers=second),
    ]


def test_tool_call_ids_do_not_matter_because_providers_draw_new_ones():
    assert key(*conversation("call_1", "call_2")) == key(*conversation("call_x", "call_y"))


def test_no_parameters_and_empty_parameters_are_the_same():
    assert key(message("hi"), params=None) == key(message("hi"), params={})


# What does


BASE: dict[str, Any] = {
    "model": {"name": "big", "temperature": 0},
    "messages": (message("be brief", "system"), message("hi")),
    "tools": (b'{"name":"f"}',),
    "params": {"tool_choice": "auto"},
    "tenant": "acme",
    "version": "1",
}
CHANGES: dict[str, dict[str, Any]] = {
    "model name": {"model": {"name": "small", "temperature": 0}},
    "model parameter": {"model": {"name": "big", "temperature": 1}},
    "model parameter added": {"model": {"name": "big", "temperature": 0, "seed": 1}},
    "text": {"messages": (message("be brief", "system"), message("hi!"))},
    "system prompt": {"messages": (message("be long", "system"), message("hi"))},
    "role": {"messages": (message("be brief", "user"), message("hi"))},
    "name": {"messages": (message("be brief", "system"), message("hi", name="eve"))},
    "extra": {"messages": (message("be brief", "system"), message("hi", extra=b"{}"))},
    "calls": {"messages": (message("be brief", "system"), message("hi", calls=b"[]"))},
    "message added": {"messages": (*BASE["messages"], message("and?"))},
    "message removed": {"messages": BASE["messages"][:1]},
    "order of messages": {"messages": BASE["messages"][::-1]},
    "tool": {"tools": (b'{"name":"g"}',)},
    "tool added": {"tools": (b'{"name":"f"}', b'{"name":"g"}')},
    "tool twice": {"tools": (b'{"name":"f"}',) * 2},
    "no tools": {"tools": ()},
    "parameter": {"params": {"tool_choice": "none"}},
    "no parameters": {"params": {}},
    "tenant": {"tenant": "other"},
    "no tenant": {"tenant": None},
    "empty tenant": {"tenant": ""},
    "version": {"version": "2"},
}


def test_every_change_gives_a_key_of_its_own():
    found = {name: request_key(**{**BASE, **change}) for name, change in CHANGES.items()}
    found["nothing"] = request_key(**BASE)
    assert len(set(found.values())) == len(found)


@given(st.lists(MESSAGES, max_size=4), st.lists(MESSAGES, max_size=4))
def test_different_histories_have_different_keys(one: list[MessageParts], two: list[MessageParts]):
    assert (key(*one) == key(*two)) == (one == two)


@given(PARAMS, PARAMS)
def test_different_parameters_have_different_keys(one: dict[str, Any], two: dict[str, Any]):
    """1, 1.0 and True are equal to Python and not to a provider: only same bytes share a key."""
    assert (canonical(one) == canonical(two)) == (key(params=one) == key(params=two))
    if one != two:
        assert canonical(one) != canonical(two)


@given(TEXT, TEXT, TEXT, st.integers(0, 12))
def test_a_boundary_moved_between_two_messages_changes_the_key(a: str, b: str, c: str, cut: int):
    whole = a + b
    assume(whole[:cut] != a)
    assert key(message(a), message(b), message(c)) != key(
        message(whole[:cut]), message(whole[cut:]), message(c)
    )


@given(st.lists(TEXT, min_size=1, max_size=4), st.lists(TEXT, min_size=1, max_size=4))
def test_plain_texts_share_a_key_only_if_all_are_equal(one: list[str], two: list[str]):
    assert (text_key(*one) == text_key(*two)) == (one == two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (message("a", name=None), message("a", name="")),
        (message("a", calls=b"x"), message("a", extra=b"x")),
        (MessageParts("user", "a"), MessageParts("user", b"a")),
        (MessageParts("user", "ab"), MessageParts("usera", "b")),
        (message("a", name="b"), message("ab", name="")),
    ],
    ids=["name or empty name", "field", "text or blocks", "role and text", "text and name"],
)
def test_parts_of_a_message_cannot_be_mistaken_for_each_other(one: MessageParts, two: MessageParts):
    assert key(one) != key(two)


def test_a_tool_is_no_message():
    assert key(tools=[b"x"]) != key(MessageParts("user", b"x"))
    assert key(tools=[b""]) != key()


# Positions of tool calls


def test_which_call_a_result_answers_matters():
    right, swapped = conversation("a", "b"), conversation("a", "b")
    swapped[2:] = [
        MessageParts("tool", "result of f", answers="b"),
        MessageParts("tool", "result of g", answers="a"),
    ]
    assert key(*right) != key(*swapped)


def test_an_answer_and_no_answer_differ():
    assert key(message("x", "tool")) != key(message("x", "tool", answers="a"))


def test_an_id_without_a_call_keeps_its_own_text():
    """A trimmed history holds results whose call is gone."""
    assert key(message("x", "tool", answers="a")) != key(message("x", "tool", answers="b"))


def test_an_id_that_looks_like_a_position_is_not_one():
    """The id is the user's to choose: "#0" must not stand for the first call."""
    call = MessageParts("assistant", "", calls=b"[]", call_ids=("a",))
    assert key(call, message("x", "tool", answers="a")) != key(
        call, message("x", "tool", answers="#0")
    )


def test_ids_that_a_provider_uses_again_mean_the_latest_call():
    """Some providers number the calls of each turn anew."""

    def history(first: str, second: str, third: str, answered: str) -> str:
        return key(
            MessageParts("assistant", "", calls=b"1", call_ids=(first,)),
            message("one", "tool", answers=first),
            MessageParts("assistant", "", calls=b"2", call_ids=(second, third)),
            message("two", "tool", answers=answered),
        )

    assert history("0", "0", "1", answered="0") == history("x", "y", "z", answered="y")
    assert history("0", "0", "1", answered="1") == history("x", "y", "z", answered="z")
    assert history("0", "0", "1", answered="0") != history("0", "0", "1", answered="1")


def test_ids_used_again_do_not_shift_the_positions_of_later_calls():
    """Counted by distinct ids, "a" (again) and "c" would both be call number two."""

    def history(answered: str) -> str:
        return key(
            MessageParts("assistant", "", calls=b"1", call_ids=("a", "b")),
            MessageParts("assistant", "", calls=b"2", call_ids=("a", "c")),
            message("result", "tool", answers=answered),
        )

    assert len({history("a"), history("b"), history("c")}) == 3


# Canonical forms


class Color(Enum):
    RED = "red"


class Weather(BaseModel):
    city: str
    days: int = 1


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [True, None, 1.5]}, b'{"a":[true,null,1.5],"b":1}'),
        ((1, 2), b"[1,2]"),
        ({1: "a"}, b'{"1":"a"}'),
        (Color.RED, b'"red"'),
        (Point(3), b'{"x":3}'),
        (Weather(city="Rome"), b'{"city":"Rome","days":1}'),
        ({"set": {"b", "a"}}, b'{"set":["\\"a\\"","\\"b\\""]}'),
        (types.MappingProxyType({"b": 1, "a": 2}), b'{"a":2,"b":1}'),
        ("ä", '"ä"'.encode()),
    ],
    ids=["dict", "tuple", "int keys", "enum", "dataclass", "pydantic", "set", "mapping", "unicode"],
)
def test_one_byte_string_per_meaning(value: object, expected: bytes):
    assert canonical(value) == expected


def test_bytes_are_named_by_their_digest():
    assert canonical(b"image") == canonical(bytearray(b"image")) != canonical(b"other")
    assert len(canonical(b"x" * 10**6)) < 100


def test_pydantic_classes_of_one_name_with_different_fields_stay_apart():
    """Two modules may both call their answer format `Answer`."""
    one, two = create_model("Answer", city=(str, ...)), create_model("Answer", country=(str, ...))
    assert one.__name__ == two.__name__
    assert key(params={"format": one}) != key(params={"format": two})
    assert key(params={"format": one}) == key(
        params={"format": create_model("Answer", city=(str, ...))}
    )


def test_a_class_and_its_instance_differ():
    assert canonical(Weather) != canonical(Weather(city="x"))


class Connection:
    pass


class Hostile:
    def model_dump(self, **_: Any) -> Any:
        raise RuntimeError("no")


LOOP: dict[str, Any] = {}
LOOP["self"] = LOOP


@pytest.mark.parametrize(
    "value",
    [
        lambda: None,
        Connection(),
        Connection,
        Decimal(1),
        Path("x"),
        2**70,
        "half an emoji \ud83d",
        LOOP,
        Hostile(),
        {"deep": [{"inside": Connection()}]},
        {Connection(): 1},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_canonical_form_is_unkeyable(value: object):
    """No address and no `repr` may end up in a key: it would hit by accident, or never."""
    with pytest.raises(Unkeyable):
        canonical(value)
    with pytest.raises(Unkeyable):
        key(params={"value": value})


class Rate(Enum):
    UNKNOWN = float("nan")


@dataclass
class Measured:
    value: float


class Weighed(BaseModel, ser_json_inf_nan="constants"):
    weight: float


@pytest.mark.parametrize(
    "value",
    [Rate.UNKNOWN, Measured(float("inf")), Weighed(weight=float("nan")), {float("nan")}, 1e999],
    ids=["enum", "dataclass", "pydantic", "set", "overflow"],
)
def test_a_number_that_json_cannot_say_is_found_inside_of_anything(value: object):
    with pytest.raises(Unkeyable, match="no canonical form"):
        canonical([None, value])


def test_looking_for_such_numbers_changes_nothing_else():
    when = datetime(2026, 1, 1, tzinfo=UTC)
    assert canonical([None, Color.RED, Point(1), when, {"a"}]) == (
        b'[null,"red",{"x":1},"2026-01-01T00:00:00+00:00",["\\"a\\""]]'
    )


@given(st.text(alphabet=st.characters(codec=None)))  # surrogates included
def test_any_text_can_be_part_of_a_message(text: str):
    assert key(MessageParts(text, text, name=text, answers=text)) == key(
        MessageParts(text, text, name=text, answers=text)
    )
    assert text_key(text, text) == text_key(text, text)


# The memo


@pytest.fixture
def fresh_memo(monkeypatch: pytest.MonkeyPatch) -> dict[MessageParts, bytes]:
    memo: dict[MessageParts, bytes] = {}
    monkeypatch.setattr(keys, "_memo", memo)
    monkeypatch.setattr(keys, "_memo_size", 0)
    return memo


def test_a_conversation_that_grew_hashes_the_new_message_only(fresh_memo, monkeypatch):
    history = [message(f"turn {n}") for n in range(100)]
    key(*history)
    hashed: list[int] = []
    whole = keys._hash
    monkeypatch.setattr(keys, "_hash", lambda parts: hashed.append(1) or whole(parts))
    key(*(message(f"turn {n}") for n in range(100)), message("new"))
    assert len(hashed) == 1  # the new message; everything but the conversation is known


def test_a_message_that_was_changed_is_another_message(fresh_memo):
    """The memo looks up by value, so a framework that mutates a message gets another key."""
    content = ["first"]
    before = key(message(content[0]))
    content[0] = "second"
    assert key(message(content[0])) != before
    content[0] = "first"
    assert key(message(content[0])) == before


def test_the_memo_is_bounded_and_forgetting_changes_no_key(fresh_memo, monkeypatch):
    monkeypatch.setattr(keys, "_MEMO_BYTES", 10_000)
    first = key(message("turn 0"))
    for n in range(500):
        key(message(f"turn {n}" * 5))
        assert keys._memo_size <= 10_000
    assert len(fresh_memo) <= 10_000 // 300
    assert key(message("turn 0")) == first


def test_a_huge_message_is_not_kept(fresh_memo):
    key(message("x" * (keys._MEMO_BYTES // 2)))
    assert fresh_memo == {}


@given(st.lists(MESSAGES, max_size=4))
def test_a_remembered_key_is_the_computed_one(messages: list[MessageParts]):
    first = key(*messages)
    keys._memo.clear()
    assert key(*messages) == first


# Across processes

SCRIPT = """
from agentperf_core.cache import MessageParts, canonical, request_key
print(request_key(
    model={"name": "big", "stop": {"b", "a", "c", "d"}},
    messages=[MessageParts("user", "hi", name="eve"), MessageParts("tool", "x", answers="gone")],
    tools=[canonical({"name": n}) for n in ("g", "f")],
    params={"format": {"z": 1, "a": {"d", "e", "f"}}},
    tenant="acme",
    version="7",
))
"""


def test_the_key_is_the_same_in_every_process():
    """A shared store is useless if the hash seed of a process gets into the key."""
    found = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(found) == 1
