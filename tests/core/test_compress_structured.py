"""JSON made shorter: valid, within the target, exact in its numbers, open about what is gone."""

from __future__ import annotations

import json
from typing import Any

from conversations import WORDS
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.compress import Compressor, Reduced, Structured, Task
from agentperf_core.context.compress._json import dumps, parsed
from agentperf_core.flow import run

CHARACTERS = TokenCounter(len)
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=12)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=25,
)
DOCUMENTS = st.lists(VALUES, max_size=6) | st.dictionaries(st.text(max_size=5), VALUES, max_size=5)
ORDERS = [
    {"order": 1000 + n, "town": "Rome" if n in {31, 77} else "Oslo", "price": n + 0.5, "note": None}
    for n in range(100)
]


def structured(value: Any, tokens: int, query: str = "") -> Reduced:
    text = value if isinstance(value, str) else json.dumps(value, indent=1)
    task = Task(text=text, tokens=tokens, query=query, counter=CHARACTERS)
    return run(Structured().compress(task))


def rows_back(value: Any) -> Any:
    """Column form undone."""
    if isinstance(value, list):
        return [rows_back(one) for one in value]
    if not isinstance(value, dict):
        return value
    if [*value] == ["columns", "rows"]:
        return [
            dict(zip(value["columns"], map(rows_back, row), strict=True)) for row in value["rows"]
        ]
    return {key: rows_back(one) for key, one in value.items()}


@given(DOCUMENTS, st.integers(20, 300), st.text(max_size=8))
def test_never_over_the_target_and_valid_json_or_marked(value: Any, tokens: int, query: str):
    text = json.dumps(value, indent=1)
    found = structured(text, tokens, query).text
    if len(text) <= tokens:
        assert found == text
        return
    assert len(found) <= tokens
    if found and not found.endswith("[...]"):
        json.loads(found)


@given(DOCUMENTS)
def test_column_form_loses_nothing(value: Any):
    text = json.dumps(value, indent=1)
    found = structured(text, len(text) - 1)
    if found.text and [one.kind for one in found.removed] == ["repeated keys"]:
        assert rows_back(json.loads(found.text)) == value


@given(DOCUMENTS)
def test_what_is_read_is_written_again(value: Any):
    assert json.loads(dumps(parsed(json.dumps(value)))) == value


def test_numbers_stay_as_they_were_written():
    text = (
        '[{"price": 1.10, "id": 123456789012345678901234567890, "e": 1E5}, '
        '{"price": 2.0, "id": 1, "e": 0}]'
    )
    assert structured(text, 95).text == (
        '{"columns":["price","id","e"],'
        '"rows":[[1.10,123456789012345678901234567890,1E5],[2.0,1,0]]}'
    )


def test_half_a_surrogate_pair_stays_escaped():
    text = '{"broken":   "\\ud83d",   "whole": "\\ud83d\\ude00"}'
    found = structured(text, len(text) - 1).text
    assert found == '{"broken":"\\ud83d","whole":"\N{GRINNING FACE}"}'
    found.encode()


def test_rows_that_answer_the_query_stay_and_the_rest_is_counted():
    found = structured({"ok": True, "orders": ORDERS}, 1200, "Which orders go to Rome?")
    orders = json.loads(found.text)["orders"]
    kept = [row[0] for row in orders["rows"]]
    assert {1031, 1077} <= set(kept)
    assert kept == sorted(kept)
    assert orders["left_out"] == f"{100 - len(kept)} of 100 rows"
    assert [(one.kind, len(one.pieces)) for one in found.removed] == [("row", 100 - len(kept))]


def test_sentences_are_chosen_inside_of_long_strings():
    results = [
        {"url": f"https://a.org/{n}", "text": "Snow fell on the hills all day long. " * 8}
        for n in range(4)
    ]
    results[2]["text"] += "Returns are accepted for 30 days. "
    found = structured(results, 500, "How long are returns accepted?")
    back = rows_back(json.loads(found.text))
    assert [one["url"] for one in back] == [one["url"] for one in results]
    assert "30 days" in back[2]["text"]


def test_lines_of_json_become_one_document():
    text = "\n".join(json.dumps({"level": "info", "number": n}) for n in range(20))
    found = structured(text, 300)
    assert rows_back(json.loads(found.text)) == [{"level": "info", "number": n} for n in range(20)]


def test_long_strings_are_cut_with_a_mark():
    text = json.dumps({"log": "x" * 3000})
    task = Task(text=text, tokens=500, counter=CHARACTERS)
    found = run(Structured(prose=None).compress(task))
    assert json.loads(found.text)["log"].endswith("[... 2,600 characters left out]")


def test_text_that_is_no_json_comes_back_as_it_is():
    for text in ("[1] is a footnote. " * 9, "{broken: json}" * 9, "plain " * 9):
        assert structured(text, 10).text == text


def test_json_too_deep_to_walk_is_kept_and_told():
    text = '{"a":' * 900 + "1" + "}" * 900
    found = Compressor(counter=WORDS, ratio=2).compress(text, tokens=1)
    assert found.text == text


def test_json_never_goes_through_a_choice_of_sentences():
    found = Compressor(counter=CHARACTERS, ratio=3).compress(json.dumps(ORDERS, indent=2))
    json.loads(found.text)
    assert found.fits
