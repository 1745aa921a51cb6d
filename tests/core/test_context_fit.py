"""Fitting a whole request: everything that is sent counts, against what the model can take."""

from __future__ import annotations

from typing import Any

import pytest
from conversations import WORDS, histories, said
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.accounting.profiles import ModelProfile, ModelRegistry
from agentperf_core.context.fit import ContextFitter
from agentperf_core.context.records import ContextOverflow
from agentperf_core.errors import ConfigError
from agentperf_core.types import Message


def tool(name: str, words: int) -> dict[str, Any]:
    description = " ".join(f"d{n}" for n in range(words))
    return {"type": "function", "function": {"name": name, "description": description}}


@given(histories(), st.integers(200, 500), st.integers(0, 3), st.integers(0, 40))
def test_the_whole_request_and_the_answer_fit(
    history: list[Message], context: int, tools: int, output: int
):
    sent = [tool(f"t{n}", 10) for n in range(tools)]
    fitter = ContextFitter(context_tokens=context, reserve_output=output, counter=WORDS)
    fitted = fitter.fit(history, tools=sent)
    assert fitted.tokens == WORDS.count_messages(fitted.messages, tools=sent)
    assert fitted.tokens + output <= context
    assert fitted.left_out == 0 or fitted.cuts


def test_each_model_has_its_own_context():
    registry = ModelRegistry()
    registry.override(ModelProfile("small", context_tokens=60))
    registry.override(ModelProfile("large", context_tokens=100_000))
    fitter = ContextFitter(registry=registry, counter=WORDS, reserve_output=10)
    history = [said("user", 10, f"u{n}.") for n in range(20)]
    assert len(fitter.fit(history, model="small").messages) < 5
    assert len(fitter.fit(history, model="large").messages) == 20
    unknown = fitter.fit(history, model="nobody-knows-it")
    assert (unknown.context_tokens, len(unknown.messages), unknown.left_out) == (None, 20, 0)


def test_tools_that_leave_no_room_are_an_error_that_says_so():
    fitter = ContextFitter(context_tokens=60, reserve_output=20, counter=WORDS)
    with pytest.raises(ContextOverflow, match="send fewer tools or lower reserve_output"):
        fitter.fit([said("user", 1)], tools=[tool("t", 60)])


def test_what_was_done_is_plain_data():
    fitter = ContextFitter(context_tokens=60, reserve_output=10, counter=WORDS)
    record = fitter.fit([said("user", 10, f"u{n}.") for n in range(9)]).record()
    assert record["context_tokens"] == 60
    assert record["left_out"] == 9 - record["tokens"] // 14
    assert {cut["kind"] for cut in record["cuts"]} == {"dropped"}


@pytest.mark.parametrize(
    ("fields", "said_"),
    [
        ({"context_tokens": 0}, "context_tokens must be > 0"),
        ({"reserve_output": -1}, "reserve_output must be a whole number >= 0, got -1"),
        ({"reserve_output": None}, "reserve_output must be a whole number"),
        ({"context_tokens": 10, "reserve_output": 10}, "leaves no room"),
        ({"low": 2}, "low must be a number from 0 to 1, got 2"),
        ({"counter": 7}, "counter must be a TokenCounter"),
        ({"registry": 7}, "registry must be a ModelRegistry"),
    ],
)
def test_arguments_that_mean_nothing(fields: dict[str, Any], said_: str):
    with pytest.raises(ConfigError) as caught:
        ContextFitter(**fields)
    assert said_ in str(caught.value)
