"""`LatencyCallbackHandler` and what integrations get wrong: right figures, closed spans."""

from __future__ import annotations

from enum import Enum
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult

from agentperf_core.types import Usage
from langchain_agentperf import LatencyCallbackHandler, latency_callback
from langchain_agentperf._facts import usage_from
from langchain_agentperf._generations import GENERATIONS
from tests.langchain.scripted_models import ScriptedChat, say


class FinishReason(Enum):
    """As in Google's protocol buffers, whose members print as their name."""

    SAFETY = 3

    def __str__(self) -> str:
        return self.name


def test_a_total_on_each_of_several_answers_counts_once() -> None:
    """With `n=2` langchain-openai writes the usage of the whole call on both answers."""

    class Two(ScriptedChat):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kw: Any):  # pyright: ignore[reportIncompatibleMethodOverride] - a stand-in
            return ChatResult(
                generations=[ChatGeneration(message=say(text)) for text in "ab"],
                llm_output={"token_usage": {"prompt_tokens": 10, "completion_tokens": 5}},
            )

    with latency_callback() as handler:
        Two().invoke("hi")
    assert handler.report().usage.total_tokens == 15


def test_what_a_hit_of_several_answers_saved_counts_once() -> None:
    facts = GENERATIONS.facts([ChatGeneration(message=say(text)) for text in "ab"])
    assert facts.usage is not None
    assert facts.usage.total_tokens == 15


@pytest.mark.parametrize(
    ("given", "made", "expected"),
    [
        (
            {"cache_read": 10, "cache_creation": 0, "ephemeral_1h_input_tokens": 70},
            {},
            Usage(
                uncached_input_tokens=20,
                cached_input_tokens=10,
                cache_write_tokens=70,
                output_tokens=9,
            ),
        ),
        (
            {"flex_cache_read": 60, "flex": 40},
            {"flex_reasoning": 4, "flex": 5},
            Usage(
                uncached_input_tokens=40,
                cached_input_tokens=60,
                output_tokens=9,
                reasoning_tokens=4,
            ),
        ),
    ],
    ids=["anthropic's cache by lifetime", "openai's service tier"],
)
def test_details_of_a_usage_under_other_names(
    given: dict[str, int], made: dict[str, int], expected: Usage
) -> None:
    """They were taken for uncached input and plain output, at another price."""
    usage = UsageMetadata(
        input_tokens=100,
        output_tokens=9,
        total_tokens=109,
        input_token_details=given,  # pyright: ignore[reportArgumentType] - integrations add names
        output_token_details=made,  # pyright: ignore[reportArgumentType] - same
    )
    assert usage_from(AIMessage("x", usage_metadata=usage)) == expected


def test_chunks_of_runs_that_are_not_open_leave_nothing_behind() -> None:
    """Each was remembered for ever, with its last chunk."""
    handler = LatencyCallbackHandler()
    for _ in range(100):
        handler.on_llm_new_token("x", run_id=uuid4())
    assert not handler._streams.open  # pyright: ignore[reportPrivateUsage] - nothing else shows it


@pytest.mark.parametrize(
    "mark",
    [
        {"cache": {"outcome": "hit", "saved_usage": {"of another version": 1}}},
        {"cache": "not ours"},
    ],
    ids=["fields", "type"],
)
def test_a_mark_that_is_not_ours_still_closes_the_span(mark: Any) -> None:
    """The span stayed open, and with it the run: it never came to the report."""

    def answer(number: int, messages: Any) -> AIMessage:
        return say("x", agentperf=mark)

    with latency_callback() as handler:
        ScriptedChat(answer=answer).invoke("hi")
    assert [span.status for span in handler.report().llm_calls] == ["ok"]
    assert handler.recorder.open_runs() == 0


def test_a_users_own_tag_may_look_like_that_of_a_retry() -> None:
    """`int("later")` in the first hook: the run was not recorded at all."""
    with latency_callback() as handler:
        ScriptedChat().with_config(tags=["retry:attempt:later"]).invoke("hi")
    (span,) = handler.report().llm_calls
    assert "attempt" not in span.attributes


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"finish_reason": "STOP"}, "stop"),
        ({"finish_reason": "eos_token"}, "stop"),
        ({"finish_reason": "", "stop_reason": "max_tokens"}, "max_tokens"),
        ({"finish_reason": None, "done_reason": "LENGTH"}, "length"),
        ({"finish_reason": FinishReason.SAFETY}, "safety"),
    ],
    ids=["capitals", "another word", "empty", "under another name", "an enum"],
)
def test_a_finish_reason_in_the_providers_words(metadata: Any, expected: str) -> None:
    with latency_callback() as handler:
        ScriptedChat(answer=lambda number, messages: say("x", **metadata)).invoke("hi")
    (span,) = handler.report().llm_calls
    assert span.attributes["finish_reason"] == expected


def test_details_that_an_integration_leaves_empty_hide_no_tokens() -> None:
    answer = say("x")
    assert answer.usage_metadata is not None
    answer.usage_metadata["input_token_details"] = None  # pyright: ignore[reportGeneralTypeIssues] - what some send
    with latency_callback() as handler:
        ScriptedChat(answer=lambda number, messages: answer).invoke("hi")
    assert handler.report().usage.total_tokens == 15
