"""Texts of megabytes: a bounded amount of work, the answer still found, and the result says so."""

from __future__ import annotations

import asyncio
import json
import threading
from itertools import pairwise
from typing import Any

import pytest
from conversations import WORDS

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.compress import (
    Compressor,
    Extractive,
    Reduced,
    Task,
    _long,
    _passages,
    _rows,
    cleanup,
)
from agentperf_core.flow import Flow, run

QUERY = "How long do returns take?"
ANSWER = "Returns take 30 days."


def rooms(count: int) -> str:
    return "".join(
        f"Room {n} of house {n * 7919 % 10007} has {n % 5} chairs.\n" for n in range(count)
    )


LONG = f"{rooms(12_000)}{ANSWER}\n{rooms(6_000)}"
SIZE = len(LONG)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many characters were read closely, per look."""
    found: list[int] = []
    units = _passages.units_of_text

    def counted(text: str) -> Any:
        found.append(len(text))
        return units(text)

    def clean(text: str) -> Any:
        pytest.fail("a long text was cleaned up")

    monkeypatch.setattr(_passages, "units_of_text", counted)
    monkeypatch.setattr(cleanup, "blocks_of", clean)
    return found


def test_of_a_long_text_only_the_best_passages_are_read_closely(read: list[int]):
    """Ten megabytes from a tool held an agent for 50 s: every sentence of them was read."""
    assert SIZE > 2 * _long.LONGEST
    found = Compressor(max_tokens=200).compress(LONG, query=QUERY)
    assert ANSWER in found.text
    assert found.fits
    assert 0 < sum(read) <= _long.LONGEST


def test_the_result_says_what_was_done_without(read: list[int]):
    found = Compressor(max_tokens=200).compress(LONG, query=QUERY)
    clean, extractive = found.faults
    assert clean == f"clean-up: {SIZE:,} characters are too many to clean up, 250,000 is the most"
    assert extractive == (
        f"extractive: {SIZE:,} characters are too many to read closely, so that only 250,000 of "
        "them were read closely, the best by a count of the words of the question"
    )
    unread = next(one.pieces for one in found.removed if one.kind == "passage")
    assert all(place.startswith("characters ") for place in unread)
    assert sum(map(len, unread)) < 10_000  # places, and no copies of megabytes


def test_whole_passages_are_kept_where_the_target_is_more_than_can_be_read(read: list[int]):
    found = Compressor(ratio=2).compress(LONG, query=QUERY)
    assert read == []
    assert found.target * 0.9 < found.tokens <= found.target
    assert ANSWER in found.text
    assert [line for line in found.text.split("\n") if line and line not in LONG] == []
    assert "so that whole passages were kept" in found.faults[1]


def test_without_a_question_both_ends_and_some_of_all_between_are_read(read: list[int]):
    task = Task(text=LONG, tokens=100, counter=TokenCounter())
    run(Extractive().compress(task))
    spans = _long.looked_at([task], 100).spans(1)[0]
    texts = [LONG[start:end] for start, end in spans]
    assert (spans[0][0], spans[-1][1]) == (0, SIZE)
    assert all("\n" in text for text in texts)
    gaps = [after[0] - before[1] for before, after in pairwise(spans)]
    assert max(gaps) < SIZE / 50
    assert sum(read) <= _long.LONGEST


def test_several_texts_share_what_can_be_read(read: list[int]):
    """Each of them may be small: thousands of retrieved documents are too many, too."""
    texts = [rooms(4_000), f"{rooms(3_000)}{ANSWER}", "", "Snow fell."]
    assert all(len(text) < _long.LONGEST for text in texts)
    found = Compressor(max_tokens=300).compress_all(texts, query=QUERY)
    assert 0 < sum(read) <= _long.LONGEST
    assert ANSWER in found[1].text
    assert sum(one.tokens for one in found) <= 300


def test_nothing_changes_for_texts_of_ordinary_size():
    text = f"{LONG[:190_000]}\n{ANSWER}"
    assert _long.looked_at([Task(text=text, tokens=9, counter=WORDS)], 9).degraded == ""
    found = Compressor(max_tokens=200).compress(text, query=QUERY)
    assert (ANSWER in found.text, found.faults) == (True, ())


@pytest.mark.parametrize("text", ["abcd0123" * 60_000, "今天天气很好。我们去公园玩。" * 30_000])
def test_a_text_without_lines_or_blanks_is_cut_anywhere(text: str, read: list[int]):
    found = Compressor(max_tokens=400).compress(text)
    assert found.fits
    assert sum(read) <= _long.LONGEST


def test_tokens_of_a_long_text_are_counted_a_few_times_and_not_in_every_step():
    counted: list[int] = []

    def count(text: str) -> int:
        counted.append(len(text))
        return len(text) // 4 + 1

    for text in (LONG, rows(9_000)):
        counted.clear()
        Compressor(max_tokens=500, counter=TokenCounter(count)).compress(text, query=QUERY)
        assert sum(counted) < 3 * len(text)


def rows(count: int) -> str:
    found: list[dict[str, Any]] = [
        {"id": n, "name": f"house {n * 7919 % 10007}", "chairs": n % 5} for n in range(count)
    ]
    found[count // 2]["name"] = "returns take 30 days"
    return json.dumps(found)


def test_rows_of_long_json_are_chosen_by_a_count_of_words(monkeypatch: pytest.MonkeyPatch):
    """Each row's words were stemmed, and all rows written anew twenty times."""

    def add(self: object, text: str) -> None:
        pytest.fail("a row of a long text was read closely")

    monkeypatch.setattr(_rows.LexicalIndex, "add", add)
    text = rows(9_000)
    assert len(text) > _long.LONGEST
    found = Compressor(max_tokens=2_000).compress(text, query=QUERY)
    made = json.loads(found.text)
    assert "returns take 30 days" in found.text
    assert made["left_out"] == f"{9_000 - len(made['rows'])} of 9000 rows"
    assert 0.9 * 2_000 < found.tokens <= 2_000
    assert "rows were chosen by a count of the words of the question" in found.faults[-1]


def test_rows_fill_the_room_however_many_there_are():
    """Of 60,000 rows, a part in 256 was more than there was room for: two rows were kept."""
    found = Compressor(max_tokens=900).compress(rows(60_000))
    assert 0.9 * 900 < found.tokens <= 900


def test_a_question_that_is_a_document_is_read_at_its_ends():
    query = f"When was it? {rooms(9_000)} {QUERY}"
    assert len(_long.asked(query)) < 11_000
    assert _long.asked(query).endswith(QUERY)
    assert ANSWER in Compressor(max_tokens=200).compress(LONG, query=query).text


def test_a_long_text_is_compressed_once_too():
    """It was larger than the memory, so that each call of an agent compressed it anew."""
    asked: list[int] = []

    class First:
        name = "first"

        def compress(self, task: Task) -> Flow[Reduced]:
            asked.append(len(task.text))
            yield from ()
            return Reduced(task.text[:100])

    compressor = Compressor([First()], counter=WORDS)
    text = "word " * 2_000_000
    first = compressor.compress(text)
    assert compressor.compress("".join(text)) == first
    assert len(asked) == 1


async def test_the_event_loop_counts_and_reads_nothing_long():
    here: list[int] = []
    loop = threading.get_ident()

    def count(text: str) -> int:
        if len(text) > 4_000 and threading.get_ident() == loop:
            here.append(len(text))
        return len(text) // 4 + 1

    for text in (LONG, rows(3_000), rows(9_000)):
        for options in ({"ratio": 2}, {"max_tokens": 300}):
            compressor = Compressor(counter=TokenCounter(count), **options)  # pyright: ignore[reportArgumentType]
            await compressor.acompress(text, query=QUERY)
    assert here == []


def test_async_callers_get_the_same():
    one, two = Compressor(max_tokens=300), Compressor(max_tokens=300)
    found = one.compress(LONG, query=QUERY)
    assert asyncio.run(two.acompress(LONG, query=QUERY)) == found
