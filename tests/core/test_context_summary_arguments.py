"""Arguments of the summarising classes that mean nothing are refused where they are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from conversations import WORDS, said
from summary_tools import Scribe, chat, trimmer_of

from agentperf_core.context import (
    ChatSummarizer,
    RollingSummary,
    SummarizingTrimmer,
    SummarySettings,
    TrimmerPool,
    WindowSettings,
    Written,
    trim_settings,
)
from agentperf_core.context.summaries.rolling import shorter
from agentperf_core.errors import ConfigError
from agentperf_core.types import Message

WRONG = cast("Any", None)
SCRIBE = SummarySettings(summarize=Scribe(), tokens=60)
WINDOW = WindowSettings(max_tokens=200, counter=WORDS)


def settings_of(**fields: Any) -> SummarySettings:
    return SummarySettings(summarize=Scribe(), **fields)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ChatSummarizer(WRONG), "chat must be a function, got None; give a function"),
        (lambda: ChatSummarizer(cast("Any", "gpt")), "chat must be a function, got 'gpt'"),
        (lambda: ChatSummarizer(lambda prompt: Written(text=""), cast("Any", 7)), "achat must be"),
        (lambda: settings_of(ahead=None), "ahead is a share"),
        (lambda: settings_of(ahead="0.5"), "ahead is a share"),
        (lambda: settings_of(chunk_tokens=None), "chunk_tokens must be a number >= 0, got None"),
        (lambda: settings_of(timeout_s=None), "timeout_s must be a number >= 0, got None"),
        (lambda: settings_of(prices=None), "prices must be a PriceBook, got None"),
        (lambda: SummarizingTrimmer(WRONG), "window must be a WindowSettings, got None"),
        (lambda: TrimmerPool(WRONG), "window must be a WindowSettings, got None"),
        (
            lambda: TrimmerPool(WINDOW, conversations=WRONG),
            "conversations must be a whole number",
        ),
        (lambda: RollingSummary(WRONG), "summary must be a SummarySettings, got None"),
        (lambda: RollingSummary(cast("Any", Scribe())), "summary must be a SummarySettings"),
    ],
)
def test_what_means_nothing_is_refused_at_once(make: Callable[[], object], says: str):
    """Some of these came up as a TypeError in the middle of a conversation, or never."""
    with pytest.raises(ConfigError, match=says):
        make()


@pytest.mark.parametrize("summarize", [Scribe(), None])
def test_an_argument_is_called_what_it_is_called_where_it_was_given(summarize: Any):
    """It was told that `tokens` must be above zero, which nobody had given."""
    with pytest.raises(ConfigError, match=r"^summary_tokens must be > 0, got 0"):
        trim_settings(summarize, max_tokens=4000, summary_tokens=0)
    with pytest.raises(ConfigError, match=r"at least 32 tokens .* got 5 tokens"):
        trim_settings(Scribe(), max_tokens=4000, summary_tokens=5)


WORDLESS = [Message(role="user", text=cast("Any", None)), "hello", None]


@pytest.mark.parametrize("message", WORDLESS)
def test_a_message_without_a_text_is_refused_before_it_is_noted(message: Any):
    """It was noted first, and every summary failed with a TypeError from then on."""
    trimmer = trimmer_of(Scribe())
    trimmer.extend(chat(0, 3))
    with pytest.raises(ConfigError, match="takes Messages with a text, got"):
        trimmer.add(message)
    assert trimmer.added == 6
    for one in chat(3, 20):
        trimmer.add(one)
        trimmer.begin()
        trimmer.settle()
    assert (trimmer.view().failed, trimmer.view().coverage.share) == (None, 1.0)


@pytest.mark.parametrize("message", WORDLESS)
def test_nor_does_a_rolling_summary_take_it(message: Any):
    rolling = RollingSummary(SCRIBE, counter=WORDS)
    with pytest.raises(ConfigError, match="takes Messages with a text, got"):
        rolling.put([said("user", 3), message])
    assert rolling.pending() == []


@pytest.mark.parametrize("fewer", range(0, 110, 10))
def test_a_summary_loses_as_much_as_it_must_or_goes(fewer: int):
    text = " ".join(f"w{number}" for number in range(100))
    found = shorter(text, fewer, WORDS)
    if fewer > 68:
        assert found is None
    else:
        assert found is not None
        assert len(found.split()) <= 100 - fewer
        assert found.startswith("w0 ")
        assert found.endswith("w99")
    assert shorter("", fewer, WORDS) is None
