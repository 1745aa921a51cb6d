"""Sentences, facts and clean-up: what a text is made of, and what may go without loss."""

# ruff: noqa: RUF001 - scripts of the world

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conversations import WORDS
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.context.compress import CleanUp, Task, facts_of, load_phrases, lost_facts
from agentperf_core.context.compress.facts import protected_spans
from agentperf_core.context.compress.sentences import blocks_of, joined, units_of_text
from agentperf_core.errors import ConfigError
from agentperf_core.flow import run

PIECES = st.sampled_from(
    [
        *(
            "One. ",
            "Two!\n",
            "\n\n",
            "  ",
            "\t",
            "好。",
            "是吗？",
            "```\n",
            "x  = 1\n",
            "| a | b |\n",
        ),
        *("> so\n", "- item\n", "Please ", "thank you", ", please.", '"a  b"', "`c  d`", "Dr. "),
    ]
)
TEXTS = st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=14).map("".join))


def sentences(text: str) -> list[str]:
    return [text[unit.start : unit.end] for unit in units_of_text(text)]


def cleaned(text: str, **options: object) -> str:
    clean_up = CleanUp(**options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return run(clean_up.compress(Task(text=text, tokens=1, counter=WORDS))).text


@dataclass(frozen=True)
class Split:
    language: str
    text: str
    found: list[str]


@pytest.mark.parametrize(
    "case",
    [
        Split("English", 'He left. "Why?" she asked.', ["He left.", '"Why?" she asked.']),
        Split(
            "abbreviations",
            "Mr. J. K. Smith, b. 1965, lives in the U.S. He writes. It costs 3.5 euros.",
            ["Mr. J. K. Smith, b. 1965, lives in the U.S. He writes.", "It costs 3.5 euros."],
        ),
        Split("Chinese", "今天下雨。我们在家！你呢？", ["今天下雨。", "我们在家！", "你呢？"]),
        Split(
            "Japanese", "雨です。「行こう。」と言った。", ["雨です。", "「行こう。」", "と言った。"]
        ),
        Split("Hindi", "वह गया। मैं आया।", ["वह गया।", "मैं आया।"]),
        Split("Arabic", "هل جاء؟ نعم جاء.", ["هل جاء؟", "نعم جاء."]),
        Split("Russian", "Он ушёл. Я остался.", ["Он ушёл.", "Я остался."]),
        Split(
            "wrapped lines",
            "A sentence goes\non here. Next.",
            ["A sentence goes\non here.", "Next."],
        ),
        Split("a list", "Buy:\n- milk\n- bread", ["Buy:", "- milk", "- bread"]),
    ],
    ids=lambda case: case.language,
)
def test_sentences_end_where_their_script_ends_them(case: Split):
    assert sentences(case.text) == case.found


def test_code_tables_and_quotes_are_one_unit_each():
    code, table = "```python\nif x:\n\n    y = 1.\n```", "| a | b |\n|---|---|\n| 1. | 2 |"
    text = f"Intro.\n\n{code}\n\n{table}\n\n> He. She.\n"
    kinds = [(unit.kind, text[unit.start : unit.end].count("\n")) for unit in units_of_text(text)]
    assert kinds == [("prose", 0), ("code", 4), ("table", 2), ("quote", 0)]


@given(TEXTS)
def test_units_hold_all_of_a_text_but_white_space_and_in_order(text: str):
    units = units_of_text(text)
    assert "".join(text.split()) == "".join("".join(sentences(text)).split())
    assert all(one.end <= two.start for one, two in pairwise(units))
    assert joined(text, units).split() == text.split()


def test_facts_are_numbers_names_code_and_negations():
    found = facts_of(
        "In 2019 Ana Lima moved to Oslo. She does not use `grep -r` at ACME (a@b.org)."
    )
    assert found.numbers == {"2019"}
    assert {"Ana Lima", "Oslo", "ACME", "a@b.org"} <= found.names
    assert found.code == {"`grep -r`"}
    assert len(found.negations) == 1


@pytest.mark.parametrize(
    ("text", "negates"),
    [
        ("Das geht nicht.", True),
        ("Il ne vient pas.", True),
        ("No hay nada.", True),
        ("Он не пришёл.", True),
        ("他没来。", True),
        ("彼は来ない。", True),
        ("Notable knots.", False),
    ],
)
def test_negations_of_several_languages_are_known(text: str, negates: bool):
    assert bool(facts_of(text).negations) is negates


def test_a_name_of_one_word_that_only_begins_sentences_is_not_seen():
    """The blind spot that the module names: without a dictionary it may be any word."""
    assert facts_of("Oslo is cold.").names == frozenset()


def test_a_lost_negation_is_told_though_every_word_is_there():
    before = facts_of("The refund of 30 euros is not paid to Ana.")
    assert lost_facts(before, "Ana: refund of 30 euros paid.") == ["negation of ana, paid"]
    assert lost_facts(before, "30 euros refund paid to Ana, no more.") != []
    assert lost_facts(before, "No refund is paid to Ana (30 euros).") == []


@given(st.text())
def test_protected_spans_lie_in_the_text(text: str):
    assert all(0 <= start < end <= len(text) for start, end in protected_spans(text))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Could you please list the files?", "List the files?"),
        ("Thank you for the 30 euros.", "Thank you for the 30 euros."),
        ("Thanks to Ana we won.", "Thanks to Ana we won."),
        ("It works. Thank you very much!", "It works."),
        ("Send it to me, please.", "Send it to me."),
        ("Könnten Sie bitte antworten? Vielen Dank im Voraus!", "Antworten?"),
        ("Por favor envíe el informe. Muchas gracias.", "Envíe el informe."),
        ("麻烦您查一下。谢谢！", "查一下。"),
        ("Пришлите отчёт, пожалуйста.", "Пришлите отчёт."),
        ('He said "please   go" twice.', 'He said "please   go" twice.'),
        ("Please do not delete it.", "Do not delete it."),
    ],
)
def test_polite_phrases_go_where_nothing_is_said_with_them(text: str, left: str):
    assert cleaned(text) == left


@pytest.mark.parametrize("languages", ["english", "en", ("xx",), ["en", "klingon"], [3], 5])
def test_languages_are_among_the_known_ones(languages: Any):
    """The text "english" was taken for "en", which stands in it, and "klingon" for none at all."""
    with pytest.raises(ConfigError, match=r"languages are .*'de', 'en', 'es'.*, got "):
        CleanUp(languages=languages)


def test_a_language_of_your_own_is_known():
    phrases = {"tlh": ("qatlho",)}
    assert cleaned("Go. Qatlho!", phrases=phrases, languages=["tlh"]) == "Go."
    with pytest.raises(ConfigError, match=r"languages are among \['tlh'\], got \['en'\]"):
        CleanUp(phrases=phrases, languages=("en",))


@pytest.mark.parametrize("phrase", ["...", " ... ", "", 3])
def test_a_phrase_has_words(phrase: Any):
    with pytest.raises(ConfigError, match="phrases are a mapping"):
        CleanUp(phrases={"en": [phrase]})


def test_facts_are_those_of_a_text():
    wrong: Any = None
    with pytest.raises(ConfigError, match="a text is a string, got None"):
        facts_of(wrong)
    with pytest.raises(ConfigError, match="another wording is a string, got None"):
        lost_facts(facts_of("Ana came."), wrong)


def test_phrases_in_a_row_are_no_trap():
    """Thirty thousand of them, such as a page may hold on purpose, took minutes."""
    assert cleaned("Go, please, please, please!") == "Go!"
    text = "please, " * 30_000
    assert len(cleaned(text)) < len(text)


def test_phrases_are_the_users_to_change(tmp_path: Path):
    file = tmp_path / "phrases.json"
    file.write_text(json.dumps({"en": ["ahoy ..."]}), encoding="utf-8")
    phrases = load_phrases(file)
    assert cleaned("Ahoy list it. Please stay.", phrases=phrases) == "List it. Please stay."
    assert cleaned("Please list it.", phrases={}) == "Please list it."
    assert cleaned("Please list it. Danke!", languages=("de",)) == "Please list it."


@pytest.mark.parametrize("content", ['{"en": "please"}', "[1]", "no json", '{"en": [""]}'])
def test_other_files_of_phrases_are_refused(tmp_path: Path, content: str):
    file = tmp_path / "phrases.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="phrases are a"):
        load_phrases(file)


def test_white_space_goes_outside_of_code_tables_and_quotes():
    kept = [
        "```\na  =  1\n\n\n\nb\n```",
        "| a  | b |\n|----|---|",
        ">  quoted   so",
        "    def f():\n        pass",
    ]
    text = (
        "One   two\u200b.  \n\n\n\n"
        + "\n\n\n".join(kept)
        + "\n\nIt says `a   b` and \u201cc   d\u201d."
    )
    found = cleaned(text)
    assert found.startswith("One two.\n\n```")
    assert all(piece in found for piece in [*kept, "`a   b`", "\u201cc   d\u201d"])
    assert "\n\n\n|" not in found


def test_a_line_of_every_page_stands_once():
    footer = "Confidential - ACME Corporation - do not distribute"
    pages = "\n\n".join(f"Page {n} says {n * n}.\n{footer}" for n in range(4))
    assert cleaned(pages).count(footer) == 1
    assert cleaned(pages, boilerplate=False).count(footer) == 4


def test_json_is_left_to_others():
    text = '{"say": "please   go",   "n": 1}'
    assert cleaned(text) == text


@pytest.mark.parametrize("text", ["PLEASE```\n```\nPLEASE", "Please\n\nPlease ```\n```\nplease"])
def test_what_is_left_of_a_line_is_no_fence(text: str):
    """The fence that came of it ended at the real one, and the code behind was cleaned up."""
    assert cleaned(text).endswith(text[text.index("\n```") + 1 :])
    assert cleaned(cleaned(text)) == cleaned(text)


@given(TEXTS)
def test_clean_up_is_done_after_once_and_leaves_code_as_it_is(text: str):
    found = cleaned(text)
    assert cleaned(found) == found
    assert len(found) <= len(text)
    numbers = {char for char in text if char.isdigit()}
    assert numbers == {char for char in found if char.isdigit()}
    for block in blocks_of(text.replace("\r\n", "\n").rstrip()):
        if block.kind != "prose":
            assert text.replace("\r\n", "\n")[block.start : block.end] in found
