"""Sentences chosen for a query: within the budget, in order, letter for letter."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest
from conversations import WORDS
from hypothesis import example, given
from hypothesis import strategies as st
from test_compress_text import TEXTS

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.compress import Compressor, Extractive, Reduced, Task
from agentperf_core.errors import ConfigError
from agentperf_core.events import EventBus
from agentperf_core.flow import arun, run

ESTIMATE = TokenCounter()
SHOP = (
    "The shop stands in Oslo. It was founded in 1987 by two sisters. Shoes are made by hand there. "
    "Returns are accepted for 30 days. However, sale items are not taken back. The staff is kind. "
    "There is coffee on Fridays. A bus stops in front of the door."
)


def extracted(text: str, tokens: int, query: str = "", **options: object) -> Reduced:
    strategy = Extractive(**options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return run(strategy.compress(Task(text=text, tokens=tokens, query=query, counter=WORDS)))


def by_topic(texts: Sequence[str]) -> list[list[float]]:
    """Vectors of two topics: words that mean the same stand for one."""
    topics = ({"founded", "origin", "begin", "1987"}, {"returns", "refund"})
    return [
        [1e-6, *(float(bool(topic & {*re.findall(r"\w+", text.lower())})) for topic in topics)]
        for text in texts
    ]


@example("\u3002. 0", "", 2, ESTIMATE)
@given(TEXTS, st.text(max_size=20), st.integers(1, 40), st.sampled_from([WORDS, ESTIMATE]))
def test_never_over_the_target_and_always_pieces_of_the_text(
    text: str, query: str, tokens: int, counter: TokenCounter
):
    task = Task(text=text, tokens=tokens, query=query, counter=counter)
    found = run(Extractive().compress(task))
    if counter.count_text(text) > tokens:
        assert counter.count_text(found.text) <= tokens
    # Behind a sign of a script without blanks, the next piece follows without one.
    pieces = re.split(r"\s+|(?<=[\u3000-\uffff])", found.text.removesuffix("[...]"))
    assert [piece for piece in pieces if piece not in text] == []
    assert asyncio.run(arun(Extractive().compress(task))) == found


def test_what_the_query_asks_for_is_kept_in_the_order_of_the_text():
    found = extracted(SHOP, 16, "How long are returns accepted and when was it founded?")
    assert found.text == (
        "It was founded in 1987 by two sisters. Returns are accepted for 30 days."
    )
    assert [one.kind for one in found.removed] == ["sentence"]
    assert "Shoes are made by hand there." in found.removed[0].pieces


def test_a_sentence_that_takes_something_back_goes_with_the_one_before_it():
    found = extracted(SHOP, 14, "Are returns accepted?")
    assert found.text == "Returns are accepted for 30 days. However, sale items are not taken back."


def test_the_budget_is_filled_to_its_last_sentence():
    for tokens in range(10, 50, 3):
        found = extracted(SHOP, tokens, "returns")
        left = tokens - WORDS.count_text(found.text)
        gone = [piece for one in found.removed for piece in one.pieces]
        assert all(WORDS.count_text(piece) > left for piece in gone)


def test_numbers_names_and_negations_decide_between_sentences_that_are_worth_the_same():
    text = "It is nice here. Do not pay Ana Lima 20 euros. It is fine there. All is well again."
    assert extracted(text, 8).text == "Do not pay Ana Lima 20 euros."


def test_code_comes_first_and_is_never_cut_where_it_fits():
    code = "```\nrm -rf build\nmake all\n```"
    text = f"{SHOP}\n\n{code}\n\n{SHOP}"
    found = extracted(text, 40, "returns")
    assert code in found.text
    assert "Returns are accepted" in found.text


def test_what_a_pattern_protects_is_chosen_before_all_else():
    found = extracted(SHOP, 20, "When was it founded?", protect=r"bus|coffee")
    assert "coffee" in found.text
    assert "bus" in found.text


def test_nothing_is_said_twice_while_there_is_something_else():
    text = "Returns take 30 days here. Returns take 30 days here. Returns go by mail. Snow fell."
    assert extracted(text, 9, "How do returns work?", diversity=1.0).text == (
        "Returns take 30 days here. Returns go by mail."
    )


def test_without_a_query_what_the_text_speaks_of_most_is_kept():
    text = (
        "The parcel left Oslo. A cat slept. The parcel reached Rome. The parcel was opened. Rain."
    )
    assert "cat" not in extracted(text, 12).text


def test_an_embedder_finds_what_is_said_in_other_words():
    query = "What is the origin?"
    assert "founded" in extracted(SHOP, 9, query, embed=by_topic).text
    assert "founded" not in extracted(SHOP, 9, query).text


@pytest.mark.parametrize(
    "embed",
    [
        lambda texts: 1 / 0,
        lambda texts: [[1.0]],
        lambda texts: [[float("nan")] for _ in texts],
        lambda texts: [None for _ in texts],
    ],
    ids=["raises", "too few", "not finite", "no vectors"],
)
def test_an_embedder_that_fails_is_done_without_and_told(embed: object):
    bus = EventBus()
    found = extracted(SHOP, 8, "returns", embed=embed, bus=bus)
    assert found.text == extracted(SHOP, 8, "returns").text
    assert found.degraded.startswith("the embedder failed (")
    assert bus.faults() == {"context.compress.embed": 1}


async def test_an_async_embedder_serves_async_callers():
    async def aembed(texts: Sequence[str]) -> list[list[float]]:
        return by_topic(texts)

    compressor = Compressor.with_embedder(aembed=aembed, counter=WORDS)
    query = "What is the origin?"
    found = await compressor.acompress(SHOP, query=query, tokens=9)
    assert "founded" in found.text
    assert not found.faults
    compressor = Compressor.with_embedder(aembed=aembed, counter=WORDS, bus=EventBus())
    assert (
        "the embedder failed (TypeError)"
        in compressor.compress(SHOP, query=query, tokens=9).faults[0]
    )


def test_one_sentence_that_is_too_long_is_cut_with_a_mark():
    found = extracted("word " * 50, 6)
    assert found.text == "word word word word word [...]"


def test_several_texts_are_weighed_against_one_another():
    texts = [SHOP, "Our bank closes at noon. It has a vault.", "Cats sleep."]
    compressor = Compressor(counter=WORDS)
    found = compressor.compress_all(texts, query="When does the bank close?", tokens=7)
    assert [one.text for one in found] == ["", "Our bank closes at noon.", "Cats sleep."]


def test_a_gap_can_be_marked():
    found = extracted(SHOP, 18, "When was it founded? Are returns accepted?", gap=" [...]")
    assert "sisters. [...] Returns" in found.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"diversity": None}, "diversity must be a number >= 0, got None"),
        ({"diversity": -1}, "diversity must be a number >= 0, got -1"),
        ({"protect": "["}, r"protect is a regular expression, got '\[' \(unterminated"),
        ({"protect": 3}, "protect is a string, got 3"),
        ({"gap": None}, "gap is a string, got None"),
        ({"embed": "minilm"}, "embed must be a function, got 'minilm'"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        Extractive(**options)


def test_diversity_is_a_share():
    with pytest.raises(ConfigError, match="diversity is between 0 and 1, got 2"):
        Extractive(diversity=2)
