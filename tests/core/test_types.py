"""Core values: frozen, and token buckets that never overlap."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.errors import ConfigError
from agentperf_core.types import Message, ToolCall, Usage

COUNT = st.integers(0, 10**9)
ANY_INT = st.integers(-(10**6), 10**9)

USAGES = st.builds(
    lambda u, c, w, o, r, e: Usage(
        uncached_input_tokens=u,
        cached_input_tokens=c,
        cache_write_tokens=w,
        output_tokens=o + r,
        reasoning_tokens=r,
        estimated=e,
    ),
    COUNT,
    COUNT,
    COUNT,
    COUNT,
    COUNT,
    st.booleans(),
)


@given(i=COUNT, o=COUNT, c=COUNT, w=COUNT, r=COUNT)
def test_buckets_sum_to_the_totals_of_the_provider(i: int, o: int, c: int, w: int, r: int):
    usage = Usage.from_totals(
        input_tokens=i,
        output_tokens=o,
        cached_input_tokens=c,
        cache_write_tokens=w,
        reasoning_tokens=r,
    )
    assert usage.input_tokens == i
    assert usage.output_tokens == o
    assert usage.total_tokens == i + o


@given(i=ANY_INT, o=ANY_INT, c=ANY_INT, w=ANY_INT, r=ANY_INT)
def test_a_report_that_contradicts_itself_is_clamped_and_never_raises(
    i: int, o: int, c: int, w: int, r: int
):
    usage = Usage.from_totals(
        input_tokens=i,
        output_tokens=o,
        cached_input_tokens=c,
        cache_write_tokens=w,
        reasoning_tokens=r,
    )
    buckets = dataclasses.astuple(usage)[:5]
    assert min(buckets) >= 0
    assert usage.input_tokens == max(i, 0)
    assert usage.cached_input_tokens <= max(c, 0)
    assert usage.cache_write_tokens <= max(w, 0)
    assert usage.reasoning_tokens <= usage.output_tokens == max(o, 0)


@given(COUNT, COUNT, COUNT)
def test_a_consistent_report_keeps_its_parts(uncached: int, cached: int, written: int):
    usage = Usage.from_totals(
        input_tokens=uncached + cached + written,
        output_tokens=0,
        cached_input_tokens=cached,
        cache_write_tokens=written,
    )
    assert usage == Usage(
        uncached_input_tokens=uncached, cached_input_tokens=cached, cache_write_tokens=written
    )


@given(USAGES, USAGES)
def test_addition_adds_every_bucket_and_remembers_estimates(a: Usage, b: Usage):
    total = a + b
    assert total.total_tokens == a.total_tokens + b.total_tokens
    assert total.reasoning_tokens == a.reasoning_tokens + b.reasoning_tokens
    assert total.estimated == (a.estimated or b.estimated)
    assert total == b + a


@given(USAGES, USAGES, USAGES)
def test_addition_is_associative_and_nothing_is_neutral(a: Usage, b: Usage, c: Usage):
    assert (a + b) + c == a + (b + c)
    assert a + Usage() == a
    assert sum([a, b], Usage()) == a + b


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Usage)[:5]])
def test_a_negative_bucket_is_refused(name: str):
    with pytest.raises(ConfigError, match="-1"):
        Usage(**{name: -1})  # pyright: ignore[reportArgumentType] - a field chosen by name


def test_values_are_frozen():
    for value, name in [
        (Usage(), "output_tokens"),
        (Message(role="user"), "text"),
        (ToolCall(id="1", name="f", arguments={}), "name"),
    ]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, 1)


def test_messages_are_equal_by_content_whatever_object_they_came_from():
    """`origin` is a reference for the way back, not a part of the message."""
    assert Message(role="user", text="hi", origin=object()) == Message(role="user", text="hi")
    assert "origin" not in repr(Message(role="user", origin="secret"))


def test_a_usage_comes_back_from_its_plain_form():
    """Stores, traces and decisions all keep usages in this form."""
    usage = Usage(uncached_input_tokens=7, cached_input_tokens=2, output_tokens=5, estimated=True)
    assert Usage(**usage.as_dict()) == usage
