"""Stored answers that are made without pydantic: the same messages, and no other ones."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from agentperf_core.cache import CacheDecision
from agentperf_core.errors import CodecError
from langchain_agentperf._answers import decode_message, encode_message, fresh_id
from langchain_agentperf.chat_models._results import Said

HIT = CacheDecision(outcome="hit", reason="an equal request was answered before")
ARGS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3)
CALLS = st.lists(
    st.builds(
        lambda name, args, number: {"name": name, "args": args, "id": f"call_{number}"},
        st.text(min_size=1, max_size=8),
        ARGS,
        st.integers(0, 99),
    ),
    max_size=3,
)
BODY: Mapping[str, Any] = {"content": "4"}


@given(
    content=st.text(max_size=20),
    name=st.none() | st.text(min_size=1, max_size=5),
    calls=CALLS,
    kwargs=st.dictionaries(st.sampled_from(["refusal", "other"]), st.none() | st.text()),
)
def test_an_answer_is_the_one_that_pydantic_would_have_made(
    content: str, name: str | None, calls: list[Any], kwargs: dict[str, Any]
):
    given = AIMessage(content, name=name, tool_calls=calls, additional_kwargs=kwargs)
    made = decode_message(encode_message(given), HIT)
    checked = AIMessage(
        content=content,
        id=made.id,
        name=name,
        tool_calls=calls,
        additional_kwargs=kwargs,
        response_metadata=made.response_metadata,
    )
    assert made == checked
    assert made.__dict__ == checked.__dict__
    assert made.model_dump() == checked.model_dump()
    assert dumpd(made) == dumpd(checked)
    assert made.model_copy(update={"name": "other"}).name == "other"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": 4},
        {**BODY, "name": ["other"]},
        {**BODY, "tool_calls": [{"name": "f", "args": "no mapping", "id": "1"}]},
        {**BODY, "tool_calls": [{"name": 4, "args": {}, "id": "1"}]},
        {**BODY, "tool_calls": [{"name": "f"}]},
        {**BODY, "tool_calls": 4},
        {**BODY, "additional_kwargs": [1]},
        {**BODY, "response_metadata": [1]},
    ],
)
def test_a_body_that_is_no_answer_is_refused(body: Mapping[str, Any]):
    with pytest.raises(CodecError):
        decode_message(body, HIT)


def test_two_answers_of_one_body_share_nothing_that_could_be_changed():
    one, two = (decode_message(BODY, HIT) for _ in range(2))
    for kept in (one.tool_calls, one.invalid_tool_calls):
        kept.clear()
        kept.append({})  # pyright: ignore[reportArgumentType] - anything will do
    one.additional_kwargs["x"] = one.response_metadata["x"] = 1
    one.noted = True  # pyright: ignore[reportAttributeAccessIssue] - messages take further fields
    assert (two.tool_calls, two.invalid_tool_calls, two.additional_kwargs) == ([], [], {})
    assert "x" not in two.response_metadata
    assert not hasattr(two, "noted")
    assert decode_message(BODY, HIT).invalid_tool_calls == []


def test_a_result_is_the_one_that_pydantic_would_have_made():
    message = decode_message(BODY, HIT, named=False)
    made = Said(message).as_result()
    checked = ChatResult(generations=[ChatGeneration(message=message)])
    assert made == checked
    assert made.model_dump() == checked.model_dump()


def test_ids_are_drawn_once_also_after_a_fork():
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system does not fork")
    context = multiprocessing.get_context("fork")
    drawn = context.SimpleQueue()
    child = context.Process(target=lambda: drawn.put([fresh_id() for _ in range(5)]))
    child.start()
    child.join(30)
    ids = [*drawn.get(), *(fresh_id() for _ in range(5))]
    assert len(set(ids)) == 10
    assert all(one.startswith("lc_") and len(one) == 39 for one in ids)
