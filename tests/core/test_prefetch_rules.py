"""Rules of prefetch: their text, their paths into results, and the calls that they propose."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.errors import ConfigError
from agentperf_core.tools.prefetch.evidence import Evidence, lower_bound
from agentperf_core.tools.prefetch.paths import EACH, Part, Path, plain
from agentperf_core.tools.prefetch.rules import (
    PrefetchRule,
    read_rules,
    rules_from_json,
    rules_to_json,
)
from agentperf_core.tools.prefetch.sources import Constant, Taken

parts = st.one_of(st.text(), st.integers(0, 99), st.just(EACH))
paths = st.lists(parts, max_size=5).map(lambda found: Path(tuple(found)))
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
tools = st.from_regex(r"[a-z][a-z0-9_.-]{0,20}", fullmatch=True)
names = st.from_regex(r"[a-z_][a-z0-9_]{0,10}", fullmatch=True)
patterns = st.from_regex(r"[a-z#/@]{1,6}(\[0-9\]\+)?(\\d)?", fullmatch=True)


@st.composite
def rules(draw: st.DrawFn) -> PrefetchRule:
    after = draw(st.none() | tools)
    roots = ("message",) if after is None else ("result", "arguments")
    taken = st.builds(Taken, st.sampled_from(roots), paths, st.none() | patterns)
    sources = taken | st.builds(Constant, values)
    return PrefetchRule(
        after=after,
        call=draw(tools),
        arguments=draw(st.dictionaries(names, sources, max_size=3)),
        ahead=draw(st.none() | st.integers(1, 9)),
        evidence=draw(st.none() | st.just(Evidence(offered=9, used=5, runs=3))),
    )


@given(paths)
def test_a_path_is_what_its_text_says(path: Path):
    assert Path.parse(str(path)) == path


@given(rules())
def test_a_rule_is_what_its_text_says(rule: PrefetchRule):
    assert PrefetchRule.parse(str(rule)) == rule
    assert hash(PrefetchRule.parse(str(rule))) == hash(rule)


@given(st.lists(rules(), max_size=4))
def test_rules_come_back_from_json_with_their_evidence(found: list[PrefetchRule]):
    back = rules_from_json(rules_to_json(found))
    assert [(rule, rule.evidence) for rule in back] == [(rule, rule.evidence) for rule in found]


def inside(value: Any, at: tuple[Part, ...] = ()) -> list[tuple[tuple[Part, ...], Any]]:
    """Every place in a value, by the concrete path to it."""
    found = [(at, value)]
    if isinstance(value, list):
        for index, one in enumerate(value):
            found += inside(one, (*at, index))
    elif isinstance(value, dict):
        for key, one in value.items():
            found += inside(one, (*at, key))
    return found


@given(values)
def test_every_place_of_a_value_is_found_by_its_path(value: Any):
    for path, there in inside(value):
        assert [found for _, found in Path(path).find(value)] == [there]


@given(values, st.data())
def test_a_path_with_each_finds_what_the_paths_to_its_elements_find(
    value: Any, data: st.DataObject
):
    """`[]` is nothing but all indices, or keys, at that place; and it says which."""
    path, _ = data.draw(st.sampled_from(inside(value)))
    general = tuple(data.draw(st.sampled_from([part, EACH])) for part in path)
    expected = [
        there
        for concrete, there in inside(value)
        if len(concrete) == len(general)
        and all(part in (EACH, at) for part, at in zip(general, concrete, strict=True))
    ]
    found = list(Path(general).find(value))
    assert sorted(map(repr, expected)) == sorted(repr(there) for _, there in found)
    for place, there in found:
        filled = tuple(
            place[general[: at + 1]] if part is EACH else part for at, part in enumerate(general)
        )
        assert [again for _, again in Path(filled).find(value)] == [there]


@given(paths, values)
def test_any_path_into_any_value_finds_something_or_nothing(path: Path, value: Any):
    list(path.find(value))


def calls(text: str, **seen: Any) -> list[dict[str, Any]]:
    return list(PrefetchRule.parse(text).calls(seen))


def test_arguments_of_one_list_belong_together_and_lists_that_do_not_give_all_pairs():
    result = {"flights": [{"from": "A", "on": 1}, {"from": "B", "on": 2}], "cabins": ["x", "y"]}
    assert calls(
        "after r: s(at=result.flights[].from, day=result.flights[].on)", result=result
    ) == [
        {"at": "A", "day": 1},
        {"at": "B", "day": 2},
    ]
    pairs = calls("after r: s(at=result.flights[].from, cabin=result.cabins[])", result=result)
    assert [(one["at"], one["cabin"]) for one in pairs] == [
        ("A", "x"), ("A", "y"), ("B", "x"), ("B", "y"),
    ]  # fmt: skip


def test_a_nested_list_belongs_to_its_element():
    result = [{"id": 1, "items": [10, 11]}, {"id": 2, "items": [20]}]
    assert calls("after r: s(item=result[].items[], order=result[].id)", result=result) == [
        {"item": 10, "order": 1},
        {"item": 11, "order": 1},
        {"item": 20, "order": 2},
    ]


def test_arguments_of_the_earlier_call_constants_and_objects_by_key():
    arguments, result = {"city": "Rome"}, {"hotels": {"h7": {"id": 7}, "h9": {"id": 9}}}
    text = 'after find: book(city=arguments.city, id=result.hotels[].id, unit="km", beds=2)'
    assert calls(text, arguments=arguments, result=result) == [
        {"beds": 2, "city": "Rome", "id": 7, "unit": "km"},
        {"beds": 2, "city": "Rome", "id": 9, "unit": "km"},
    ]


def test_a_pattern_finds_all_its_matches_in_a_text():
    text = r"on message: order(id=message/#[0-9]+/)"
    assert calls(text, message="where are #7 and #12?") == [{"id": "#7"}, {"id": "#12"}]
    assert calls(r"after mail: order(id=result.body/#\d/)", result={"body": "#1 #2"}) == [
        {"id": "#1"},
        {"id": "#2"},
    ]


@pytest.mark.parametrize("result", [None, "not found", 7, [], {}, {"orders": None}])
def test_a_result_of_another_shape_proposes_nothing(result: Any):
    assert calls("after a: b(x=result.orders[].id)", result=result) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("get_user -> get_order", "a rule reads like 'after get_user: "),
        ("after a: b(x=result.y) quickly", "a rule reads like"),
        ("after a: b(x=result.y, x=result.z)", "a rule reads like"),
        ("after a: b(x=result.y", "a rule reads like"),
        ("after a: b(x=output.y)", "an argument comes from result, arguments, message"),
        ("after a: b(x=message.y)", "after a call values are taken from .*got \\['message'\\]"),
        ("on message: b(x=result.y)", "on a message values are taken from"),
        ("after a: b(x=result/[/)", "a pattern is a regular expression, got '\\['"),
        ("after a: b(x=result.y), 0 ahead", "ahead must be > 0, got 0"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        PrefetchRule.parse(text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PrefetchRule(after="a b", call="c"), "a rule names tools, got 'a b'"),
        (lambda: PrefetchRule(after="a", call="b", arguments={"x": "result.y z"}), "one source"),
        (lambda: PrefetchRule(after="a", call="b", arguments={"x": {1, 2}}), "plain JSON data"),
        (lambda: Taken("output"), "a value is taken from one of"),
        (lambda: Taken("result", pattern=""), "a pattern finds something, got ''"),
        (lambda: Path.parse("a..b"), "a path looks like 'a.b\\[\\].c', got 'a..b'"),
        (lambda: rules_from_json("no"), "rules are kept as JSON, got 'no'"),
        (lambda: rules_from_json("{}"), "rules are kept as a list"),
        (lambda: rules_from_json('[{"text": 1}]'), "a rule has a text and its evidence"),
        (
            lambda: rules_from_json('[{"rule": "after a: b()", "evidence": {"offered": 1}}]'),
            "a rule has a text and its evidence",
        ),
        (lambda: Evidence(offered=1, used=2, runs=1), "evidence counts offered >= used >= runs"),
        (lambda: Evidence(offered=True, used=1, runs=1), "evidence counts"),
    ],
)
def test_what_cannot_mean_anything_is_refused(make: Any, message: str):
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_constant_needs_no_text_and_a_rule_that_is_given_twice_counts_once():
    rule = PrefetchRule(after="a", call="b", arguments={"x": "result.y", "n": 10})
    assert str(rule) == "after a: b(n=10, x=result.y)"
    assert read_rules([rule, str(rule)]) == (rule,)


@given(st.integers(0, 500), st.integers(0, 500))
def test_the_bound_is_below_the_share_and_more_evidence_brings_it_closer(used: int, more: int):
    offered = used + more
    bound = lower_bound(used, offered)
    assert 0.0 <= bound <= (used / offered if offered else 0.0) + 1e-12
    assert lower_bound(10 * used, 10 * offered) >= bound - 1e-12


@pytest.mark.parametrize("text", ['{"a": 1', "[", "hello", ""])
def test_a_text_that_is_no_json_stays_a_text(text: str):
    assert plain(text) == text
