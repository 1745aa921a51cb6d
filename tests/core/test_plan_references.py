"""References: what they stand for, what is text, and what is said when they lead nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentperf_core.tools.references import (
    MissingPathError,
    literal,
    references,
    resolved,
    unresolved,
)

USER: dict[str, Any] = {
    "name": "Ada",
    "orders": [{"id": 7, "paid": True}, {"id": 9, "paid": False}],
    "first name": "A.",
    "big": {f"key{n:02}": n for n in range(30)},
    "price": 9.99,
    "nothing": None,
    "0": "zero",
    "zip-code_2": "x",
}


def in_place(text: Any) -> Any:
    """What a string of a plan stands for, when the result of every call is `USER`."""
    return resolved({"x": text}, lambda _: USER)["x"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$user", USER),
        ("${user}", USER),
        ("$user.name", "Ada"),
        ("${user.name}", "Ada"),
        ("$user.orders[0].id", 7),
        ("$user.orders[-1].paid", False),
        ("$user.orders.1.id", 9),
        ("$user.0", "zero"),
        ("$user[0]", "zero"),
        ('$user["first name"]', "A."),
        ('$user["name"]', "Ada"),
        ("$user.zip-code_2", "x"),
        ("$user.nothing", None),
        ("$1.name", "Ada"),
        ("$call_7-b.name", "Ada"),
    ],
)
def test_a_string_that_is_one_reference_is_the_value_itself(text: str, value: object):
    assert in_place(text) == value


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("Dear ${user.name},", "Dear Ada,"),
        ("${user.name}${user.name}", "AdaAda"),
        ("first ${user.orders[0]}", 'first {"id":7,"paid":true}'),
        ("${user.price} USD", "9.99 USD"),
        ("${user.nothing}?", "null?"),
        ("pay $$${user.price}", "pay $9.99"),
        ("$$$user.price", "$9.99"),
    ],
)
def test_inside_a_longer_string_a_value_is_put_in_as_text(text: str, filled: str):
    assert in_place(text) == filled


@pytest.mark.parametrize(
    "text",
    [
        "",
        "$",
        "$$",
        "$ user",
        "US$ 5",
        "$5,000",
        "costs $5 today",
        "ask $user now",
        "$user and $user",
        "$HOME/bin",
        "echo $$",
        "${}",
        "${a b}",
        "${PATH:-x}",
        "$user.",
        "$user[x]",
        "$user\n",
        "{user}",
    ],
)
def test_any_other_dollar_sign_is_text(text: str):
    assert in_place(text) == text
    assert not list(references({"x": text}))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("$$user", "$user"),
        ("$$user.name", "$user.name"),
        ("$${user}", "${user}"),
        ("a $${user} b", "a ${user} b"),
        ("$$$$user", "$$user"),
        ("$$5.00", "$5.00"),
    ],
)
def test_a_doubled_dollar_sign_makes_a_reference_text(text: str, plain: str):
    assert in_place(text) == plain
    assert literal(plain) == text


@given(st.text(alphabet='$${}[]ab.0-1" ', max_size=12) | st.text())
@example("$$$${a}$b")
def test_any_text_can_be_written_down(text: str):
    """`literal` is undone by resolving, and there is no reference in what it gives."""
    written = literal(text)
    assert not list(references([written]))
    assert in_place(written) == text
    assert unresolved({"x": written}) == {"x": text}


def test_references_are_found_at_any_depth_but_not_in_keys():
    arguments = {"$a": [{"x": ["$b.c", 1, None]}, ("$d",)], "y": "to ${e}"}
    assert [one.call for one in references(arguments)] == ["b", "d", "e"]


def test_values_are_copies():
    """A tool that changes its arguments changes nothing for the other calls of the plan."""
    orders = in_place("$user.orders")
    orders[0]["id"] = "changed"
    assert USER["orders"][0]["id"] == 7


def test_what_is_known_beforehand_is_all_but_the_references():
    known = unresolved({"id": 7, "to": "$user", "text": "for ${user}", "price": "$$user"})
    assert known == {"id": 7, "to": None, "text": None, "price": "$user"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$user.nmae", r"\$user\.nmae.*the result has the keys \['name', 'orders'.*not 'nmae'"),
        ("$user.orders[5].id", r"\['orders'\] in the result of 'user' is a list of 2.*no 5"),
        ("$user.orders.id", r"is a list of 2, which has no 'id'"),
        ("$user.name.first", r"\['name'\] in the result of 'user' is a str"),
        ("$user.nothing.x", r"is a null"),
        ("$user.big.x", r"'key19'\] and 10 more"),
        ("to ${user.nmae}", r"\$user\.nmae"),
    ],
)
def test_a_path_to_nothing_names_the_call_the_path_and_what_there_is(text: str, said: str):
    with pytest.raises(MissingPathError, match=said) as found:
        in_place(text)
    assert "Ada" not in str(found.value), "values are nobody's business"
