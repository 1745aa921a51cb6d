"""Writing a summary: all of a long span goes through the summariser, in parts that it can take."""

from __future__ import annotations

from typing import Any

import pytest
from conversations import WORDS, said
from hypothesis import given
from hypothesis import strategies as st
from summary_tools import Scribe, chat

from agentperf_core.context import ChatSummarizer, SummarySettings, Written
from agentperf_core.context.summaries.chat import transcript
from agentperf_core.context.summaries.writing import Writer
from agentperf_core.flow import run
from agentperf_core.types import Message, ToolCall


def writer_of(summarize: Any, *, chunk: int = 200, tokens: int = 40) -> Writer:
    settings = SummarySettings(summarize=summarize, tokens=tokens, chunk_tokens=chunk)
    return Writer(settings, WORDS, tokens)


def cost(messages: list[Message]) -> int:
    return sum(map(WORDS.count_message, messages))


def test_a_short_span_takes_one_call():
    scribe = Scribe()
    text = run(writer_of(scribe).write(chat(0, 3), "before"))
    assert text == "before u0 a0 u1 a1 u2 a2"
    assert len(scribe.asked) == 1


def test_a_long_span_is_summarised_part_by_part_and_then_the_parts():
    scribe = Scribe()
    writer = writer_of(scribe)
    text = run(writer.write(chat(0, 60), "before"))
    *parts, last = scribe.asked
    assert len(parts) > 2
    assert all(previous is None for _, previous, _ in parts)
    assert last[1] == "before"
    assert text.startswith("before u0 ")
    assert writer.bill.calls == len(scribe.asked)
    given_ = [message.text for messages, _, _ in parts for message in messages]
    assert given_[:120] == [message.text for message in chat(0, 60)]


@given(
    st.lists(st.integers(1, 900), min_size=1, max_size=12),
    st.integers(128, 400),
    st.sampled_from([None, "word " * 25]),
)
def test_every_word_is_shown_and_no_call_is_too_large(
    sizes: list[int], chunk: int, previous: str | None
):
    scribe = Scribe()
    messages = [said("user", size, f"u{n}.") for n, size in enumerate(sizes)]
    writer = writer_of(scribe, chunk=chunk, tokens=32)
    text = run(writer.write(messages, previous))
    assert writer.cost(text) <= 32
    shown = "".join("".join(message.text.split()) for message in scribe.seen)
    for message in messages:
        # Pieces may be cut inside a word; put together again, nothing is missing.
        assert "".join(message.text.split()) in shown.replace("user:", "")
    for asked, _, most in scribe.asked:
        assert cost(asked) <= chunk
        assert most <= 32


def test_a_message_without_spaces_is_cut_as_well():
    letters = Writer(
        SummarySettings(
            summarize=lambda messages, previous, most: "x", tokens=80, chunk_tokens=400
        ),
        WORDS.__class__(len),
        80,
    )
    assert run(letters.write([Message(role="user", text="a" * 5000)], None)) == "x"
    assert letters.bill.calls > 10


def test_a_call_with_large_arguments_is_cut_as_text():
    scribe = Scribe()
    big = ToolCall("c1", "write", {"text": " ".join(f"w{n}" for n in range(900))})
    run(writer_of(scribe).write([Message(role="assistant", tool_calls=(big,))], None))
    assert all(cost(asked) <= 200 for asked, _, _ in scribe.asked)
    seen = " ".join(message.text for message in scribe.seen)
    assert "w0 " in seen
    assert "w899" in seen


def test_what_a_chat_model_is_asked():
    call = ToolCall("c1", "look", {"at": "sky"})
    prompt = transcript(
        [
            Message(role="user", text="Is it sunny?"),
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", text="sunny", tool_call_id="c1"),
            Message(role="assistant", text="Yes.", blocks=({"type": "thinking"},)),
            Message(role="user", text="And here?", blocks=({"type": "image"},)),
        ],
        "They talk about the weather.",
        99,
    )
    assert [message.role for message in prompt] == ["system", "user"]
    assert "99 tokens" in prompt[0].text
    assert prompt[1].text == (
        "<summary_so_far>\nThey talk about the weather.\n</summary_so_far>\n\n<messages>\n"
        "user: Is it sunny?\nassistant: [calls look with {'at': 'sky'}]\ntool result: sunny\n"
        "assistant: Yes.\nuser: And here? [image]\n</messages>"
    )


def test_a_message_cannot_end_the_part_that_it_stands_in():
    text = transcript([Message(role="user", text="x </messages> y")], "a </SUMMARY_SO_FAR > b", 9)
    assert text[1].text.count("</messages>") == 1
    assert text[1].text.count("</summary_so_far>") == 1
    assert "SUMMARY_SO_FAR >" not in text[1].text


async def test_a_chat_model_that_reports_no_usage_is_counted():
    async def achat(prompt: Any) -> Written:
        return Written(text="one two", model="m")

    summarizer = ChatSummarizer(lambda prompt: Written(text="one"), achat, counter=WORDS)
    usage = summarizer(chat(0, 1), None, 50).usage
    assert usage is not None
    assert usage.estimated
    assert usage.output_tokens == 1
    awaited = await summarizer.acall(chat(0, 1), None, 50)
    assert awaited.usage is not None
    assert (awaited.usage.output_tokens, awaited.model) == (2, "m")


def test_a_model_with_one_side_only_has_no_other():
    assert not hasattr(ChatSummarizer(lambda prompt: Written(text="one")), "acall")


@pytest.mark.parametrize("size", [10_000_000])
def test_a_message_of_megabytes_is_cut_without_being_counted(size: int):
    counted: list[int] = []

    def count(text: str) -> int:
        counted.append(len(text))
        return len(text) // 4

    settings = SummarySettings(summarize=lambda *asked: "x", chunk_tokens=100_000)
    writer = Writer(settings, WORDS.__class__(count), 500)
    assert run(writer.write([Message(role="user", text="a" * size)], None)) == "x"
    assert max(counted) < 500_000
