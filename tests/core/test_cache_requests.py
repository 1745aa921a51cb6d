"""From an adapter's reading of a request to its key, or to the reason why it has none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.cache import CachePolicy, CacheRequest, MessageParts, Unkeyable, canonical
from agentperf_core.cache.answers import Question
from agentperf_core.cache.requests.build import build_request, request_or_bypass
from agentperf_core.cache.requests.keys import Fixed, RequestView
from agentperf_core.errors import ConfigError
from agentperf_core.events import Event, EventBus, Fault

SYSTEM = MessageParts("system", "You are a desk agent.")
ASKED = MessageParts("user", "What is the capital of France?")
BASE: dict[str, Any] = {
    "policy": CachePolicy(),
    "model": {"class": "Chat", "model": "big", "temperature": 0.0},
    "messages": [SYSTEM, ASKED],
    "tools": (canonical({"name": "f"}), canonical({"name": "g"})),
    "params": {"choice": None, "format": b"{}", "settings": {"seed": 1}},
    "tenant": "acme",
    "version": "1",
    "index_versions": {"docs": "2026-01"},
}


def request(*texts: str, **changes: Any) -> CacheRequest:
    if texts:
        changes["messages"] = [SYSTEM, *user_turns(*texts)]
    return build_request(**{**BASE, **changes})


def user_turns(*texts: str) -> list[MessageParts]:
    turns: list[MessageParts] = []
    for text in texts:
        turns += [MessageParts("user", text), MessageParts("assistant", f"about {text}")]
    return turns[:-1]


def question(made: CacheRequest) -> Question:
    assert made.question is not None
    return made.question


# What must differ differs, what must not does not


CHANGES: dict[str, dict[str, Any]] = {
    "tenant": {"tenant": "other"},
    "no tenant": {"tenant": None},
    "empty tenant": {"tenant": ""},
    "model": {"model": {**BASE["model"], "model": "small"}},
    "temperature": {"model": {**BASE["model"], "temperature": 0.1}},
    "model parameter": {"model": {**BASE["model"], "seed": 7}},
    "system prompt": {"messages": [MessageParts("system", "You are a pirate."), ASKED]},
    "no system prompt": {"messages": [ASKED]},
    "developer prompt": {"messages": [MessageParts("developer", SYSTEM.content), ASKED]},
    "late system prompt": {"messages": [SYSTEM, ASKED, MessageParts("system", "Rhyme."), ASKED]},
    "tool set": {"tools": (canonical({"name": "f"}),)},
    "no tools": {"tools": ()},
    "tool schema": {"tools": (canonical({"name": "f"}), canonical({"name": "g", "x": 1}))},
    "tool choice": {"params": {**BASE["params"], "choice": "any"}},
    "no choice at all": {"params": {k: v for k, v in BASE["params"].items() if k != "choice"}},
    "format": {"params": {**BASE["params"], "format": b'{"x":1}'}},
    "setting": {"params": {**BASE["params"], "settings": {"seed": 2}}},
    "version": {"version": "2"},
    "index version": {"index_versions": {"docs": "2026-02"}},
    "no index version": {"index_versions": ()},
}
ONLY_THE_CONVERSATION: dict[str, dict[str, Any]] = {
    "history": {"messages": [SYSTEM, *user_turns("Hello", "What is the capital of France?")]},
    "question": {"messages": [SYSTEM, MessageParts("user", "What is the capital of Spain?")]},
    "name": {"messages": [SYSTEM, ASKED._replace(name="eve")]},
}


@pytest.mark.parametrize("normalise", [False, True], ids=["exact", "normalised"])
def test_every_change_gives_a_key_of_its_own(normalise: bool):
    policy = CachePolicy(normalise=normalise)
    changes = {**CHANGES, **ONLY_THE_CONVERSATION, "nothing": {}}
    keys = {name: request(policy=policy, **change).key for name, change in changes.items()}
    assert None not in keys.values()
    assert len(set(keys.values())) == len(keys)


def test_everything_but_the_conversation_is_the_scope():
    """Questions are only compared by meaning inside one scope."""
    scopes = {name: request(**change).question for name, change in CHANGES.items()}
    found = {q.scope for q in scopes.values() if q is not None}
    assert len(found) == len(CHANGES)
    here = question(request()).scope
    assert here not in found
    assert question(request(**ONLY_THE_CONVERSATION["question"])).scope == here


def in_scope(*messages: MessageParts) -> tuple[str, str | None]:
    found = question(request(messages=[*messages, MessageParts("user", "Which one is cheaper?")]))
    return found.scope, found.parent


def test_of_a_conversation_only_the_turns_that_a_question_leans_on_may_be_worded_otherwise():
    """What a user pasted two turns ago, or an assistant listed, went into the answer."""
    hotels = MessageParts("user", "Name two hotels in the centre of Rome.")
    listed = MessageParts("assistant", "1. Ritz 2. Hilton")
    scope, parent = in_scope(hotels, listed)
    assert parent == hotels.content
    reworded = MessageParts("user", "Which two hotels are in the centre of Rome?")
    assert in_scope(reworded, listed)[0] == scope
    others = [
        (hotels, MessageParts("assistant", "1. Plaza 2. Astoria")),
        (MessageParts("user", "I am on a budget of 40 euros."), hotels, listed),
        (MessageParts("document", "Prices of 2019"), hotels, listed),
        (hotels, listed, MessageParts("function", "17", name="stock")),
        (hotels, listed, MessageParts("tool", "17")),
    ]
    assert len({in_scope(*messages)[0] for messages in others} | {scope}) == len(others) + 1


def test_what_cannot_change_the_answer_changes_no_key():
    def answered(call_id: str) -> list[MessageParts]:
        return [
            ASKED,
            MessageParts("assistant", "", calls=b'[["f",{}]]', call_ids=(call_id,)),
            MessageParts("tool", "Paris", answers=call_id),
        ]

    same = [
        request(messages=answered("call_1")),
        request(messages=answered("call_2")),
        request(messages=answered("call_1"), tools=BASE["tools"][::-1]),
        request(messages=iter(answered("call_1"))),
        request(messages=answered("call_1"), tags=("order:1",), expires_at=5.0),
        request(messages=answered("call_1"), tenant=lambda: "acme"),
    ]
    assert len({made.key for made in same}) == 1
    assert request(index_versions=["a", "b"]).key == request(index_versions=["b", "a"]).key


TENANTS = st.none() | st.text(max_size=6)


@given(TENANTS, TENANTS, st.sampled_from([False, True]))
def test_two_tenants_share_neither_keys_nor_scopes(one: str | None, two: str | None, plain: bool):
    policy = CachePolicy(normalise=plain)
    first, second = (request(policy=policy, tenant=tenant) for tenant in (one, two))
    assert (first.key == second.key) == (one == two)
    assert (question(first).scope == question(second).scope) == (one == two)


TEXTS = st.lists(st.text(min_size=1, max_size=8).filter(str.strip), min_size=1, max_size=4)


@given(TEXTS, TEXTS)
def test_histories_share_a_key_only_if_they_are_equal(one: list[str], two: list[str]):
    assert (request(*one).key == request(*two).key) == (one == two)


@given(st.text(max_size=12), st.text(max_size=12))
def test_two_wordings_share_a_normalised_key_only_if_their_forms_are_equal(one: str, two: str):
    from agentperf_core.cache.requests.normal import normalised

    policy = CachePolicy(normalise=True)
    first, second = (request(f"What is {text}?", policy=policy) for text in (one, two))
    same_form = normalised(f"What is {one}?") == normalised(f"What is {two}?")
    assert (first.key == second.key) == same_form
    assert (first.wording == second.wording) == (one == two)


# Wordings


def test_a_wording_in_another_form_shares_the_key_and_keeps_its_own_digest():
    policy = CachePolicy(normalise=True)
    first = request("What is the capital of France?", policy=policy)
    second = request("what's the capital of france", policy=policy)
    assert first.key == second.key
    assert first.wording != second.wording
    assert first.wording == request("What is the capital of France?").key


def test_only_the_last_turn_is_normalised():
    policy = CachePolicy(normalise=True)
    one = request("What's up?", "Why?", policy=policy)
    two = request("What is up?", "Why?", policy=policy)
    assert one.key != two.key


def test_a_normalised_key_is_never_an_exact_one():
    """Two policies may share a store; the exact one must not be given another wording's answer."""
    text = "what is the capital of france"
    assert request(text).key != request(text, policy=CachePolicy(normalise=True)).key


def test_a_tool_step_is_keyed_exactly_and_asks_nothing():
    step = [ASKED, MessageParts("assistant", "", calls=b"[]", call_ids=("a",))]
    step.append(MessageParts("tool", "Paris", answers="a"))
    made = request(messages=step, policy=CachePolicy(normalise=True))
    assert (made.question, made.wording) == (None, None)
    assert made.key == request(messages=step).key


# Questions


def test_a_question_knows_what_it_follows():
    made = question(request("When does the Louvre open?", "and on Mondays?"))
    assert (made.text, made.parent) == ("and on Mondays?", "When does the Louvre open?")
    assert question(request("When does it open?")).parent is None


TEXT_BLOCKS = canonical([{"type": "text", "text": "What is this?"}])
IMAGE = canonical([{"type": "text", "text": "What is this?"}, {"type": "image_url", "url": "x"}])


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([], None),
        ([SYSTEM], None),
        ([MessageParts("user", TEXT_BLOCKS)], "What is this?"),
        ([MessageParts("user", canonical(["What", "is this?"]))], "What\nis this?"),
        ([MessageParts("user", IMAGE)], None),
        ([MessageParts("user", IMAGE), MessageParts("user", "And this?")], None),
        ([MessageParts("user", canonical({"text": "x"}))], None),
        ([MessageParts("user", canonical([]))], None),
        ([MessageParts("user", b"no JSON")], None),
        ([MessageParts("user", "  ")], None),
        ([MessageParts("user", "hi", name="eve")], None),
        ([MessageParts("user", "hi", extra=b"{}")], None),
        ([MessageParts("prompt", "Context: ... Question: ...")], None),
    ],
    ids=[
        "nothing",
        "system only",
        "text blocks",
        "texts",
        "image",
        "image before",
        "no list",
        "no blocks",
        "no JSON",
        "blank",
        "author",
        "more than text",
        "completion prompt",
    ],
)
def test_a_question_is_what_a_user_says_in_words_alone(messages: list[MessageParts], text):
    made = request(messages=messages)
    assert made.key is not None
    assert (made.question.text if made.question else None) == text


def test_questions_are_values_and_quote_nobody():
    settled = ("0f" * 32, "What is the first secret of Rome?")
    one = Question.later("and the secret?", lambda: settled)
    two = Question("0f" * 32, "and the secret?", "What is the first secret of Rome?")
    assert one == two
    assert hash(one) == hash(two)
    assert one != Question("0f" * 32, "and the secret?")
    assert "secret" not in repr(one)


# Bypasses, each with its reason


class Opaque:
    pass


def broken(*_: Any) -> Any:
    raise LookupError("the user's own words")


BYPASSES: dict[str, tuple[dict[str, Any], str]] = {
    "sampling": ({"temperature": 0.7}, "temperature 0.7 asks for variety"),
    "NaN": ({"model": {"model": "m", "top_p": math.nan}}, "the number nan has no canonical form"),
    "infinity": ({"params": {"x": [1, {"y": math.inf}]}}, "the number inf has no canonical form"),
    "NaN beside None": ({"params": {"x": None, "y": -math.inf}}, "-inf has no canonical form"),
    "NaN in a tenant's version": ({"version": math.nan}, "nan has no canonical form"),
    "object": ({"params": {"x": Opaque()}}, "Type is not JSON serializable: Opaque"),
    "open file": ({"model": {"x": [open]}}, "Type is not JSON serializable"),
    "tenant is no name": ({"tenant": 7}, "a tenant is a name, got a int"),
    "tenant function is no name": ({"tenant": lambda: 7}, "a tenant is a name, got a int"),
    "no tenant": (
        {"policy": CachePolicy(require_tenant=True), "tenant": None},
        "it has no tenant, and the policy says require_tenant=True",
    ),
    "blank tenant": ({"policy": CachePolicy(require_tenant=True), "tenant": "  "}, "no tenant"),
    "no tenant for once": (
        {"policy": CachePolicy(require_tenant=True), "tenant": lambda: None},
        "no tenant",
    ),
    "own key": ({"policy": CachePolicy(key_fn=lambda view: None)}, "key_fn keeps it from"),
    "own key is no value": (
        {"policy": CachePolicy(key_fn=lambda view: Opaque())},
        "Type is not JSON serializable: Opaque",
    ),
    "unknown route": (
        {"policy": CachePolicy(route=lambda view: "fqa", routes={"faq": CachePolicy()})},
        "its route 'fqa' has no policy in routes",
    ),
    "route without cache": (
        {"policy": CachePolicy(route=lambda view: "live", routes={"live": None})},
        "its route 'live' is kept from the cache",
    ),
}


@pytest.mark.parametrize(("changes", "reason"), BYPASSES.values(), ids=BYPASSES)
def test_what_must_not_be_cached_says_why(changes: dict[str, Any], reason: str):
    made = request(**changes)
    assert made.key is None
    assert made.question is None
    assert reason in made.bypass


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": broken},
        {"messages": map(broken, [1])},
        {"policy": CachePolicy(key_fn=broken)},
        {"policy": CachePolicy(route=broken, routes={"a": None})},
    ],
    ids=["tenant", "messages", "key_fn", "route"],
)
def test_code_of_the_user_that_fails_is_a_bypass_and_a_fault(changes: dict[str, Any]):
    """It fails closed: an error in the tenant's function must not be the tenant None."""
    bus, seen = EventBus(), list[Event]()
    bus.subscribe(seen.append)
    made = request(bus=bus, **changes)
    assert (made.key, made.bypass) == (None, "the request has no key: LookupError")
    assert [event.where for event in seen if isinstance(event, Fault)] == ["cache.key"]


@pytest.mark.parametrize(
    ("error", "reason", "faults"),
    [
        (Unkeyable("a list of models"), "the request has no key: a list of models", 0),
        (LookupError("secret"), "the request has no key: LookupError", 1),
    ],
)
def test_an_adapter_that_cannot_read_a_request_gets_a_bypass(error, reason: str, faults: int):
    def make() -> CacheRequest:
        raise error

    bus = EventBus()
    assert request_or_bypass(make, bus=bus) == CacheRequest(None, reason)
    assert sum(bus.faults().values()) == faults


def test_messages_are_read_once_and_inside():
    def reading() -> Iterator[MessageParts]:
        yield ASKED
        raise Unkeyable("a file that is read when the call is made")

    assert "a file that is read" in request(messages=reading()).bypass


def test_nan_never_shares_the_key_of_none():
    """JSON writes both as null: a request with a NaN was given the answer without one."""
    assert request(params={"x": None}).key is not None
    assert request(params={"x": math.nan}).key is None
    with pytest.raises(Unkeyable, match="nan"):
        canonical({"deep": [None, {1.5: (math.nan,)}]})
    with pytest.raises(Unkeyable, match="nan"):
        canonical({math.nan: None})


# Policies of routes, own keys, ignored names


def test_a_request_has_the_policy_of_its_route():
    def route(view: RequestView) -> str | None:
        return "faq" if view.text.startswith("What") else None

    faq = CachePolicy(ttl_s=86_400, sampled=True)
    policy = CachePolicy(route=route, routes={"faq": faq})
    assert request(policy=policy, temperature=1.0).policy is faq
    other = request("Hello", policy=policy)
    assert (other.policy, other.key) == (None, request("Hello").key)
    assert request("Hello", policy=policy, temperature=1.0).key is None


def test_an_own_key_stands_for_the_conversation_alone():
    """Whatever it forgets, tenants, models and prompts stay apart."""
    policy = CachePolicy(key_fn=lambda view: view.text.lower())
    keys = {name: request(policy=policy, **change).key for name, change in CHANGES.items()}
    del keys["late system prompt"]
    assert len(set(keys.values())) == len(keys)
    one = request("Hello", "WHY?", policy=policy)
    two = request("Hi", "why?", policy=policy)
    assert one.key == two.key
    assert one.question is None, "the semantic tier does not know what the key knows"
    assert one.key != request("Hello", "WHY?").key


def test_ignored_names_are_left_out_one_level_deep():
    policy = CachePolicy(ignore=frozenset({"seed", "user"}))
    with_them = request(
        policy=policy,
        model={"model": "m", "seed": 1},
        params={"user": "eve", "settings": {"seed": 2, "stop": ["x"]}},
    )
    without = request(policy=policy, model={"model": "m"}, params={"settings": {"stop": ["x"]}})
    assert with_them.key == without.key
    assert with_them.key != request(policy=policy, model={"model": "m"}, params={}).key


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ({"model": "gpt-5", "class": "x"}, "gpt-5"),
        ({"model_name": "gpt-5", "model": None}, "gpt-5"),
        ({"class": "x"}, None),
        ({"model": ["a", "b"]}, None),
    ],
)
def test_the_model_s_name_goes_along_for_prices(model: dict[str, Any], name: str | None):
    assert request(model=model).model == name


def test_tags_and_expiry_go_along():
    made = request(tags=["order:1"], expires_at=7.0)
    assert (made.tags, made.expires_at) == (("order:1",), 7.0)


# Policies that contradict themselves


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: CachePolicy(ttl_s=None, stale_ttl_s=5), ("stale_ttl_s=5", "ttl_s=None")),
        (lambda: CachePolicy(ttl_s=None, stale_if_error_s=5), ("stale_if_error_s", "ttl_s=None")),
        (lambda: CachePolicy(ttl_s=None, ttl_jitter=0.1), ("ttl_jitter=0.1", "ttl_s=None")),
        (lambda: CachePolicy(route=lambda view: "x"), ("route=", "routes=[]")),
        (lambda: CachePolicy(routes={"x": None}), ("route=None", "routes=['x']")),
        (
            lambda: CachePolicy(
                route=lambda view: "x",
                routes={"x": CachePolicy(route=lambda view: "y", routes={"y": None})},
            ),
            ("route", "'x'"),
        ),
        (
            lambda: CachePolicy(
                route=lambda view: "x", routes={"x": CachePolicy()}, require_tenant=True
            ),
            ("require_tenant=True", "routes['x']"),
        ),
        (lambda: CachePolicy(ignore=frozenset({"model"})), ("ignore", "['model']")),
        (lambda: CachePolicy(ignore="seed"), ("ignore", "'seed'")),  # pyright: ignore[reportArgumentType] - a common slip
        (lambda: CachePolicy(stale_ttl_s=-1), ("stale_ttl_s", "-1")),
        (lambda: CachePolicy(stale_if_error_s=math.nan), ("stale_if_error_s", "nan")),
        (lambda: CachePolicy(ttl_jitter=1.0), ("ttl_jitter", "1.0")),
        (lambda: CachePolicy(max_bytes=0), ("max_bytes", "0")),
        (lambda: CachePolicy(key_fn="q"), ("key_fn", "'q'")),  # pyright: ignore[reportArgumentType] - wrong on purpose
        (lambda: CachePolicy(sampled="no"), ("sampled", "'no'")),  # pyright: ignore[reportArgumentType] - same
        (
            lambda: CachePolicy(route=lambda view: "x", routes={"x": 60}),  # pyright: ignore[reportArgumentType] - same
            ("routes['x']", "60"),
        ),
    ],
    ids=lambda value: None if callable(value) else " and ".join(value),
)
def test_settings_that_contradict_each_other_are_named(
    make: Callable[[], CachePolicy], names: tuple[str, ...]
):
    with pytest.raises(ConfigError) as caught:
        make()
    for name in names:
        assert name in str(caught.value)


def test_ignored_names_may_be_given_as_a_list():
    policy = CachePolicy(ignore=["seed"])  # pyright: ignore[reportArgumentType] - what people write
    assert policy.ignore == frozenset({"seed"})


def test_a_policy_is_a_value_that_nobody_can_change():
    names, routes = {"seed"}, {"live": None}
    policy = CachePolicy(ignore=frozenset(names), route=lambda view: "live", routes=routes)
    routes["faq"] = None
    assert set(policy.routes) == {"live"}
    assert len({policy, policy}) == 1


@pytest.mark.parametrize("normalise", [False, True])
def test_a_cache_that_reads_no_questions_has_the_same_keys_without_them(*, normalise: bool):
    policy = CachePolicy(normalise=normalise)
    with_question = request("Why is it blue?", policy=policy)
    without = request("Why is it blue?", policy=policy, questions=False)
    assert (without.key, without.wording) == (with_question.key, with_question.wording)
    assert (without.question is None) is not normalise, "the normal form needs it"


def test_messages_as_plain_tuples_are_the_same_request():
    plain = [tuple(SYSTEM), tuple(ASKED)]
    assert request(messages=plain) == request()
    seen: list[str] = []

    def key_fn(view: RequestView) -> object:
        seen.extend(parts.role for parts in view.messages)
        return view.text

    assert request(messages=plain, policy=CachePolicy(key_fn=key_fn)).key is not None
    assert seen == ["system", "user"]


def test_a_model_with_its_canonical_form_is_the_same_model():
    fixed = Fixed(BASE["model"])
    assert request(model=fixed) == request()
    ignoring = CachePolicy(ignore=frozenset({"temperature"}))
    assert request(model=fixed, policy=ignoring) == request(policy=ignoring)
    assert request(model=Fixed({"temperature": math.nan})).key is None
