"""A question read once, and what is kept of it."""

from __future__ import annotations

import sys

import pytest

from agentperf_core.cache.semantic import questions, wording
from agentperf_core.cache.semantic.questions import self_contained
from agentperf_core.cache.semantic.spelling import stem
from agentperf_core.cache.semantic.wording import MAX_KEPT, Wording

SHORT = "How do I change the address of my account?"


def test_a_question_is_parsed_once():
    assert Wording.of(SHORT) is Wording.of(SHORT)


def test_a_long_text_is_not_kept():
    long = SHORT * 20
    assert len(long) > MAX_KEPT
    kept = wording._parsed.cache_info().currsize
    assert Wording.of(long) is not Wording.of(long)
    assert Wording.of(long).content == Wording.of(long).content
    assert wording._parsed.cache_info().currsize == kept


def test_of_a_long_turn_the_outcome_is_not_kept():
    kept = questions._remembered.cache_info().currsize
    assert self_contained(SHORT * 20)
    assert questions._remembered.cache_info().currsize == kept


def test_a_long_code_does_not_fill_the_memory_of_word_forms():
    code = "qx" * 2000
    kept = stem.cache_info().currsize
    assert Wording(code).stems == (code[:500], Wording(code).stems[1], code[-500:])
    assert stem.cache_info().currsize <= kept + 1


@pytest.mark.parametrize("length", [3000, 50_000])
def test_a_parsed_text_is_small_however_long_it_was(length: int):
    parsed = Wording(" ".join(f"word{number}x" for number in range(length // 8)))
    assert len(parsed.tokens) < 300
    assert sys.getsizeof(parsed.stems) < 3000
    assert len(parsed.trigrams()) <= wording.MAX_TRIGRAMS


def test_trigrams_are_those_of_the_words():
    assert Wording.of("Hello,  you!").trigrams() == Wording.of("hello you").trigrams()
