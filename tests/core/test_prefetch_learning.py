"""Rules learnt from recorded runs: what is found, what is believed, and what is not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentperf_core.errors import ConfigError
from agentperf_core.tools.prefetch.foresight import Foresight, call_key
from agentperf_core.tools.prefetch.learning.learn import learn_rules
from agentperf_core.tools.prefetch.learning.runs import Run, checked_runs, run_of_messages
from agentperf_core.tools.prefetch.learning.shapes import shape_of
from agentperf_core.tools.prefetch.rules import PrefetchRule

ORDERS = "after get_user: get_order(order_id=result.orders[])"


def visits(often: int = 20, *, asked: int = 3, of: int = 3) -> list[Run]:
    """Runs in which a user is looked up, and then some of her orders."""
    runs: list[Run] = []
    for number in range(often):
        orders = [1000 + 10 * number + place for place in range(of)]
        user = ("get_user", {"user_id": f"u{number}"}, {"name": "Ann", "orders": orders})
        calls = [("get_order", {"order_id": order}, {"status": "sent"}) for order in orders[:asked]]
        runs.append([user, *calls])
    return runs


def texts(rules: Any) -> list[str]:
    return [str(rule) for rule in rules]


def test_a_field_of_a_result_that_becomes_an_argument_is_found_and_counted():
    (rule,) = learn_rules(visits(), tools=["get_order"])
    assert str(rule) == ORDERS
    assert rule.evidence is not None
    assert rule.evidence.as_dict() == {"offered": 60, "used": 60, "runs": 20}


def test_a_list_that_is_seldom_read_to_its_end_is_read_ahead_step_by_step():
    (rule,) = learn_rules(visits(asked=2, of=9), tools=["get_order"])
    assert str(rule) == f"{ORDERS}, 1 ahead"
    assert rule.evidence is not None
    assert rule.evidence.as_dict() == {"offered": 80, "used": 40, "runs": 20}


def test_arguments_of_the_earlier_call_and_constants_complete_a_rule():
    runs: list[Run] = []
    for number in range(20):
        place = {"lat": number / 7, "lon": number / 3, "country": "IT"}
        runs.append([
            ("find_city", {"name": f"city {number}", "lang": "it"}, {"matches": [place]}),
            (
                "weather",
                {"lat": number / 7, "lon": number / 3, "lang": "it", "unit": "C"},
                "sunny",
            ),
        ])  # fmt: skip
    (rule,) = learn_rules(runs, tools=["weather"])
    assert str(rule) == (
        "after find_city: weather(lang=arguments.lang, lat=result.matches[].lat, "
        'lon=result.matches[].lon, unit="C")'
    )


def test_what_the_user_says_is_learnt_from_by_its_shape():
    runs: list[Run] = [
        [
            f"Hi, I am ann_lee_{4000 + 7 * number}, where is my parcel?",
            ("get_user", {"user_id": f"ann_lee_{4000 + 7 * number}"}, {"orders": []}),
        ]
        for number in range(20)
    ]
    (rule,) = learn_rules(runs, tools=["get_user"])
    assert str(rule).startswith("on message: get_user(user_id=message/")
    assert list(rule.calls({"message": "it is bob_ray_7777."})) == [{"user_id": "bob_ray_7777"}]


def test_an_id_inside_a_plain_text_is_found_by_its_shape():
    runs: list[Run] = [
        [
            ("last_mail", {}, f"Dear shop, order #{7000 + number} never came. Ann"),
            ("get_order", {"order_id": f"#{7000 + number}"}, "sent"),
        ]
        for number in range(20)
    ]
    (rule,) = learn_rules(runs, tools=["get_order"])
    assert rule.after == "last_mail"
    assert list(rule.calls({"result": "and #1234?"})) == [{"order_id": "#1234"}]


def test_objects_whose_keys_are_data_are_read_by_value():
    runs: list[Run] = [
        [
            ("get_user", {}, {"cards": {f"c{number}": {"id": 100 + number}}}),
            ("get_card", {"card": 100 + number}, "valid"),
        ]
        for number in range(20)
    ]
    assert texts(learn_rules(runs, tools=["get_card"])) == [
        "after get_user: get_card(card=result.cards[].id)"
    ]


def test_thin_evidence_does_not_rule_however_right_it_was():
    assert learn_rules(visits(3), tools=["get_order"]) == ()
    assert learn_rules(visits(1) * 2, tools=["get_order"], min_runs=1, min_confidence=0.8) == ()
    assert learn_rules(visits(4), tools=["get_order"]) != ()


def test_what_is_seldom_asked_for_is_no_rule():
    """One of ten elements, another one each time: right once in ten offers."""
    runs: list[Run] = []
    for number in range(40):
        orders = [100 * number + place for place in range(10)]
        asked = orders[number % 10]
        runs.append([("get_user", {}, {"orders": orders}), ("get_order", {"order_id": asked}, "")])
    assert learn_rules(runs, tools=["get_order"]) == ()


def test_only_the_named_tools_are_proposed():
    runs = [
        [*run, ("cancel_order", {"order_id": run[-1][1]["order_id"]}, "done")]  # pyright: ignore[reportArgumentType, reportCallIssue]
        for run in visits()
    ]
    assert {rule.call for rule in learn_rules(runs, tools=["get_order"])} == {"get_order"}


def test_calls_that_were_made_before_are_no_offers():
    """What is in the cache already needs no guess: it counts neither for nor against a rule."""
    runs = [[*run, *run] for run in visits()]
    (rule,) = learn_rules(runs, tools=["get_order"])
    assert rule.evidence is not None
    assert rule.evidence.offered == 60


def test_a_rule_that_only_repeats_a_better_one_is_not_kept():
    runs: list[Run] = [
        [
            ("get_user", {"user_id": number}, {"last": 100 + number, "orders": [100 + number]}),
            ("get_order", {"order_id": 100 + number}, "sent"),
        ]
        for number in range(20)
    ]
    assert len(learn_rules(runs, tools=["get_order"])) == 1


scalars = st.integers(0, 6) | st.sampled_from(["a1", "b2", "c3", ""]) | st.none()
results = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
    ),
    max_leaves=6,
)
events = st.one_of(
    st.tuples(
        st.sampled_from(["one", "two", "three"]),
        st.dictionaries(st.sampled_from("pq"), scalars, max_size=2),
        results,
    ),
    st.sampled_from(["a1 please", "b2 and c3", ""]),
)
recorded = st.lists(st.lists(events, max_size=6), max_size=6)


@settings(max_examples=60, deadline=None)
@given(recorded)
def test_the_evidence_of_a_rule_is_what_following_it_would_have_brought(runs: list[Run]):
    """Counted anew here, by hand, for whatever was learnt from whatever was recorded."""
    for rule in learn_rules(runs, tools=["one", "two"], min_runs=1, min_confidence=0.01):
        assert rule.call in {"one", "two"}
        offered: list[tuple[int, bytes]] = []
        used: set[tuple[int, bytes]] = set()
        for number, run in enumerate(runs):
            foresight, asked, open_ = Foresight([rule]), set[bytes](), set[bytes]()
            for event in run:
                offers: list[Any] = []
                if isinstance(event, str):
                    offers += foresight.heard(event)
                else:
                    key = call_key(event[0], event[1])
                    used |= {(number, key)} & {(number, one) for one in open_}
                    open_.discard(key)
                    asked.add(key)
                    offers += foresight.asked(key)[1]
                    offers += foresight.finished(*event)
                for offer in offers:
                    assert offer.key not in asked, "it was called before"
                    open_.add(offer.key)
                    offered.append((number, offer.key))
        assert len(offered) == len(set(offered)), "nothing is offered twice"
        assert rule.evidence is not None
        assert rule.evidence.offered == len(offered)
        assert rule.evidence.used == len(used)
        assert rule.evidence.runs == len({number for number, _ in used})
        assert PrefetchRule.parse(str(rule)) == rule


@settings(max_examples=30, deadline=None)
@given(recorded, st.randoms(use_true_random=False))
def test_the_order_of_the_runs_changes_no_evidence(runs: list[Run], random: Any):
    options: dict[str, Any] = {"tools": ["one", "two"], "min_runs": 1, "min_confidence": 0.05}
    mixed = [*runs]
    random.shuffle(mixed)
    first = {str(rule): rule.evidence for rule in learn_rules(runs, **options)}
    second = {str(rule): rule.evidence for rule in learn_rules(mixed, **options)}
    assert {text: first[text] for text in first.keys() & second.keys()} == {
        text: second[text] for text in first.keys() & second.keys()
    }


def test_equal_runs_give_equal_rules_in_every_process():
    """Texts have another hash in each: nothing may depend on the order of a set."""
    code = (
        "from test_prefetch_learning import visits\n"
        "from agentperf_core.tools.prefetch.learning.learn import learn_rules\n"
        "from agentperf_core.tools.prefetch.rules import rules_to_json\n"
        "runs = [[*r, 'id ab-12', ('find', {'a': 'ab-12', 'b': 1}, {'x': 1})] for r in visits(9)]\n"
        "print(rules_to_json(learn_rules(runs, tools=['get_order', 'find'])))\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            cwd=__file__.rpartition("/")[0],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
    assert "get_order" in found.pop()


@given(st.lists(st.from_regex(r"[a-z]{2,6}_[a-z]{2,6}_[0-9]{4}", fullmatch=True), min_size=3))
def test_a_shape_finds_the_values_that_it_was_made_of(values: list[str]):
    shape = shape_of(values)
    if len(set(values)) < 3:
        assert shape is None
    else:
        assert shape is not None
        for value in values:
            assert re.findall(shape, f"my id is {value}, thanks") == [value]


@given(st.lists(st.text(max_size=12), max_size=12))
def test_a_shape_of_any_texts_fits_nine_of_ten_or_there_is_none(values: list[str]):
    shape = shape_of(values)
    if shape is not None:
        texts = {value for value in values if value}
        fits = sum(re.search(rf"^(?:{shape})$", text) is not None for text in texts)
        assert fits >= 0.9 * len(texts)


@pytest.mark.parametrize(
    ("values", "text", "found"),
    [
        (["JFK", "SEA", "LAX"], "from JFK to LONDON", ["JFK"]),
        (["NO6JO3", "AIXC49", "HKEG34"], "PLEASE check NO6JO3!", ["NO6JO3"]),
        (["a@b.com", "ann.lee@x.org", "bob_7@y.net"], "I am joe.ray@z.com.", ["joe.ray@z.com"]),
        (["#W12", "#W7", "#W345"], "order #W99.", ["#W99"]),
    ],
    ids=["codes", "ids with a digit", "addresses", "of any length"],
)  # fmt: skip
def test_shapes_of_usual_ids(values: list[str], text: str, found: list[str]):
    shape = shape_of(values)
    assert shape is not None
    assert re.findall(shape, text) == found


def test_trajectories_in_the_form_of_openai_are_read():
    def call(name: str, arguments: str, ident: str) -> dict[str, Any]:
        return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}

    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": [{"type": "text", "text": "I am 7"}, {"type": "image_url"}]},
        {"role": "assistant", "content": None, "tool_calls": [
            call("get", '{"id": 7}', "a"), call("get", "not json", "b"), call("get", "[]", "c"),
            call("ping", "", "d"), call("lost", "{}", "e"),
        ]},
        {"role": "tool", "tool_call_id": "d", "content": "pong"},
        {"role": "tool", "tool_call_id": "a", "content": '{"orders": [1]}'},
        {"role": "tool", "tool_call_id": "b", "content": "wrong"},
        {"role": "assistant", "content": "done"},
    ]  # fmt: skip
    assert run_of_messages(messages) == [
        "I am 7",
        ("ping", {}, "pong"),
        ("get", {"id": 7}, {"orders": [1]}),
    ]
    json.dumps(run_of_messages(messages))


def test_calls_whose_data_is_not_plain_are_left_out():
    assert checked_runs([["hi", ("a", {"x": object()}, 1), ("b", {}, 2)]]) == [["hi", ("b", {}, 2)]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_confidence": 1.5}, "min_confidence is a share below 1, got 1.5"),
        ({"min_confidence": 0}, "min_confidence must be > 0, got 0"),
        ({"min_runs": -1}, "min_runs must be > 0"),
        ({"runs": [[7]]}, "a run is a list of .* got 7"),
        ({"runs": [[("a", {})]]}, "a run is a list of"),
        ({"runs": [[("a", [], 1)]]}, "a run is a list of"),
    ],
)
def test_what_cannot_mean_anything_is_refused(options: dict[str, Any], message: str):
    arguments: dict[str, Any] = {"runs": [], "tools": ["a"], **options}
    with pytest.raises(ConfigError, match=message):
        learn_rules(**arguments)
