"""The semantic cache: other words, same answer; never another tenant, number or conversation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from semantic_tools import Answer, Codec, Desk, asked, bag_of_words, minilm

from agentperf_core.cache import CachePolicy, MemoryStore
from agentperf_core.cache.answers import CacheRequest, Question
from agentperf_core.cache.embedding.queue import QuestionEmbedder
from agentperf_core.cache.requests.build import build_request
from agentperf_core.cache.requests.keys import MessageParts
from agentperf_core.cache.semantic.cache import SemanticCache
from agentperf_core.cache.stores.sqlite import SQLiteStore
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.events import EventBus, Fault
from agentperf_core.flow import Step, arun, run

CARD = "How do I reset the PIN of my debit card?"
CARD_AGAIN = "How can I reset the PIN of my debit card?"


def made(source: Any = bag_of_words, **options: Any) -> SemanticCache:
    # A busy machine is no reason for a test to fail: the real encoder may take a second and more.
    options = {"shadow_share": 0.0, "bus": EventBus(), "patience_s": 60.0, **options}
    return SemanticCache(QuestionEmbedder(source, name="words"), **options)


def ask(cache: SemanticCache, desk: Desk, request: CacheRequest, text: str) -> Answer:
    answer = run(cache.answer(request, Step(desk.reply, desk.areply, text), Codec()))
    cache.drain()
    return answer


async def aask(cache: SemanticCache, desk: Desk, request: CacheRequest, text: str) -> Answer:
    answer = await arun(cache.answer(request, Step(desk.reply, desk.areply, text), Codec()))
    await asyncio.to_thread(cache.drain)
    return answer


def decided(answer: Answer) -> tuple[str, str]:
    assert answer.decision is not None
    return answer.decision.outcome, answer.decision.tier


def test_a_question_in_other_words_gets_the_stored_answer():
    cache, desk = made(minilm()), Desk(lambda text: "the PIN")
    ask(cache, desk, asked(CARD), CARD)
    again = ask(cache, desk, asked(CARD_AGAIN), CARD_AGAIN)
    assert decided(again) == ("hit", "semantic")
    assert (again.text, len(desk.calls)) == ("About the PIN.", 1)


async def test_the_same_holds_where_calls_are_awaited():
    cache, desk = made(race="never"), Desk()
    await aask(cache, desk, asked(CARD), CARD)
    assert decided(await aask(cache, desk, asked(CARD_AGAIN), CARD_AGAIN)) == ("hit", "semantic")


def test_a_decision_says_what_was_served_how_sure_it_was_and_what_was_saved():
    clock = FakeClock()
    cache, desk = made(clock=clock), Desk()
    first = ask(cache, desk, asked(CARD), CARD)
    clock.advance(60)
    decision = ask(cache, desk, asked(CARD_AGAIN), CARD_AGAIN).decision
    assert decision is not None
    assert first.decision is not None
    assert decision.entry == first.decision.key
    assert decision.score is not None
    assert 0.5 < decision.score <= 1.0
    assert decision.age_s == pytest.approx(60.0)
    assert not decision.abandoned


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("What does a transfer of 100 euros cost?", "What does a transfer of 200 euros cost?"),
        ("Can I use my card in Spain?", "Can I use my card in France?"),
        ("How do I activate my card?", "How do I deactivate my card?"),
        ("Is my card covered abroad?", "Is my card not covered abroad?"),
        ("Where is order A-17 now?", "Where is order B-17 now?"),
        (
            "How do I move money from savings to checking?",
            "How do I move money from checking to savings?",
        ),
    ],
)
def test_one_changed_word_that_changes_the_answer_is_never_served(first: str, second: str):
    cache, desk = made(minilm()), Desk()
    ask(cache, desk, asked(first), first)
    assert decided(ask(cache, desk, asked(second), second))[0] == "miss"


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "b"},
        {"model": {"class": "m", "model": "n"}},
        {"system": "You are a pirate."},
        {"tools": [b'{"name":"transfer"}']},
        {"params": {"temperature": 0.0}},
        {"version": "2"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_everything_but_the_wording_must_be_equal(other: dict[str, Any]):
    """Other tenant, model, system prompt, tools, parameters: another scope, whatever the words."""
    for text in (CARD, CARD_AGAIN):
        cache, desk = made(), Desk()
        ask(cache, desk, asked(CARD, tenant="a"), CARD)
        options: dict[str, Any] = {"tenant": "a", **other}
        again = ask(cache, desk, asked(text, **options), text)
        assert decided(again)[0] == "miss", text


class TestConversations:
    """A follow-up means something only after what was said before."""

    LOUVRE = ("When does the Louvre open on Mondays?", "At nine.")
    PRADO = ("How much is a ticket for the Prado?", "Twelve euros.")

    def test_a_follow_up_is_not_served_in_another_conversation(self):
        cache, desk = made(), Desk()
        request = asked(*self.LOUVRE, "Can you explain that in more detail?")
        ask(cache, desk, request, "the Louvre")
        other = asked(*self.PRADO, "Can you explain that in more detail?")
        assert decided(ask(cache, desk, other, "the Prado"))[0] == "miss"

    def test_a_follow_up_is_served_after_the_same_turn(self):
        cache, desk = made(minilm()), Desk()
        request = asked(*self.LOUVRE, "Can you explain that in more detail?")
        ask(cache, desk, request, "the Louvre")
        again = asked(*self.LOUVRE, "Could you explain that in more detail?")
        assert decided(ask(cache, desk, again, "the Louvre")) == ("hit", "semantic")

    def test_a_follow_up_is_not_served_after_another_answer(self):
        """The second one of another list is another one."""
        cache, desk = made(minilm()), Desk()
        request = asked(self.LOUVRE[0], "At nine.", "Can you explain that in more detail?")
        ask(cache, desk, request, "nine")
        again = asked(self.LOUVRE[0], "At ten.", "Could you explain that in more detail?")
        assert decided(ask(cache, desk, again, "ten"))[0] == "miss"

    def test_a_question_in_a_conversation_does_not_get_the_answer_of_a_first_one(self):
        """Whoever said that the children are allergic to nuts wants another breakfast."""
        cache, desk = made(), Desk()
        question = "Which breakfast recipes are good for children?"
        ask(cache, desk, asked(question), "nuts")
        request = asked("My children are allergic to nuts.", "Noted.", question)
        assert decided(ask(cache, desk, request, "x"))[0] == "miss"

    def test_an_answer_that_may_lean_on_a_conversation_is_not_given_at_the_start_of_one(self):
        """Who said before that he lives in Norway was told how long delivery to Norway takes."""
        cache, desk = made(), Desk()
        question = "How long does the delivery of a parcel take?"
        request = asked("I live in Norway.", "Nice!", question)
        ask(cache, desk, request, "Norway")
        assert decided(ask(cache, desk, asked(question), "x"))[0] == "miss"

    def test_what_tools_found_in_a_conversation_must_be_the_same(self):
        def request(found: str) -> CacheRequest:
            messages = [
                MessageParts("user", "Where is my order?"),
                MessageParts("assistant", "", calls=b'[["track",{}]]', call_ids=("1",)),
                MessageParts("tool", found, answers="1"),
                MessageParts("assistant", "On its way."),
                MessageParts("user", "Which carrier brings the parcel to my door?"),
            ]
            policy = CachePolicy(normalise=True)
            return build_request(policy=policy, model={"model": "m"}, messages=messages)

        cache, desk = made(), Desk()
        ask(cache, desk, request("DHL"), "DHL")
        assert decided(ask(cache, desk, request("GLS"), "GLS"))[0] == "miss"

    def test_many_conversations_with_one_follow_up_are_kept_apart(self):
        cache, desk = made(minilm()), Desk()
        cities = ["Oslo", "Rome", "Lima", "Cairo", "Perth", "Quito", "Delhi", "Seoul", "Dakar"]
        for city in cities:
            turns = (f"Which museums are there in {city}?", "Many.", "Can you explain that more?")
            assert decided(ask(cache, desk, asked(*turns), city))[0] == "miss"
        turns = ("Which museums are there in Rome?", "Many.", "Could you explain that more?")
        assert ask(cache, desk, asked(*turns), "?").text == "About Rome."


def test_shadow_mode_serves_equal_requests_only_and_measures_the_rest():
    cache, desk = made(mode="shadow"), Desk(lambda text: "the PIN")
    ask(cache, desk, asked(CARD), CARD)
    assert decided(ask(cache, desk, asked(CARD_AGAIN), CARD_AGAIN))[0] == "miss"
    assert decided(ask(cache, desk, asked(CARD), CARD)) == ("hit", "exact")
    assert cache.tier.acceptance.labels == 1
    assert len(desk.calls) == 2


def test_a_decision_in_shadow_mode_says_what_would_have_been_served():
    cache, desk = made(mode="shadow"), Desk(lambda text: "the PIN")
    ask(cache, desk, asked(CARD), CARD)
    run(cache.tier.embedder.vector(CARD_AGAIN))
    decision = ask(cache, desk, asked(CARD_AGAIN), CARD_AGAIN).decision
    assert decision is not None
    assert decision.score is not None
    assert "would have been served" in decision.reason


def test_a_reported_answer_is_never_served_again():
    cache, desk = made(), Desk()
    ask(cache, desk, asked(CARD), CARD)
    served = ask(cache, desk, asked(CARD_AGAIN), CARD_AGAIN).decision
    assert served is not None
    assert served.entry is not None
    assert run(cache.report_bad_hit(served.entry)) == 1
    for text in (CARD, CARD_AGAIN):
        assert decided(ask(cache, desk, asked(text), text))[0] == "miss"


def test_answers_that_ask_for_tools_are_not_given_to_other_words():
    """Their arguments were made for the words of one question."""
    cache, desk = made(), Desk()

    class WithTools(Codec):
        def facts(self, answer: Answer) -> Any:
            from dataclasses import replace

            return replace(super().facts(answer), finish_reason="tool_calls", tool_calls=1)

    call = Step(desk.reply, desk.areply, CARD)
    run(cache.answer(asked(CARD), call, WithTools()))
    cache.drain()
    assert decided(ask(cache, desk, asked(CARD_AGAIN), CARD_AGAIN))[0] == "miss"


def test_an_answer_whose_time_is_over_is_not_served_to_other_words():
    clock = FakeClock()
    cache = made(policy=CachePolicy(ttl_s=60, normalise=True), clock=clock)
    desk = Desk()
    ask(cache, desk, asked(CARD), CARD)
    clock.advance(61)
    assert decided(ask(cache, desk, asked(CARD_AGAIN), CARD_AGAIN))[0] == "miss"


@pytest.mark.parametrize(
    "broken",
    [
        lambda texts: 1 / 0,
        lambda texts: np.full((len(texts), 8), np.nan),
        lambda texts: np.zeros((len(texts), 8)),
        lambda texts: np.ones((len(texts) + 1, 8)),
        lambda texts: [["not a number"]] * len(texts),
    ],
    ids=["raises", "nan", "zero", "count", "text"],
)
def test_an_encoder_that_fails_is_a_counted_miss(broken: Any):
    faults: list[Fault] = []
    bus = EventBus()
    bus.subscribe(lambda event: faults.append(event) if isinstance(event, Fault) else None)
    cache, desk = made(broken, bus=bus), Desk()
    for text in (CARD, CARD_AGAIN):
        assert decided(ask(cache, desk, asked(text), text))[0] == "miss"
    assert faults
    assert {fault.where for fault in faults} == {"cache.semantic"}


def test_an_encoder_that_changes_its_size_is_a_counted_miss():
    sizes = iter([8, 8, 16, 16])

    def fickle(texts: Sequence[str]) -> Any:
        return np.ones((len(texts), next(sizes)))

    cache, desk = made(fickle), Desk()
    for text in (CARD, CARD_AGAIN, "Is the moon far away from here?"):
        assert decided(ask(cache, desk, asked(text), text))[0] in {"miss", "hit"}


class Gate:
    """An encoder and a model that wait until the test lets them go on."""

    def __init__(self) -> None:
        self.embedding = threading.Event()
        self.embedding.set()

    def embed(self, texts: Sequence[str]) -> Any:
        self.embedding.wait(30)
        return bag_of_words(texts)


class TestRaces:
    """The model call is under way while the question is looked up."""

    async def test_a_miss_does_not_wait_for_the_encoder(self):
        gate = Gate()
        cache, desk = made(gate.embed), Desk()
        await aask(cache, desk, asked(CARD), CARD)
        gate.embedding.clear()
        answer = await arun(
            cache.answer(asked(CARD_AGAIN), Step(desk.reply, desk.areply, "x"), Codec())
        )
        assert decided(answer)[0] == "miss"
        gate.embedding.set()
        await asyncio.to_thread(cache.drain)

    async def test_a_miss_does_not_even_wake_the_event_loop(self, monkeypatch: pytest.MonkeyPatch):
        """Search and verdict come where the question is encoded; only a hit is worth telling."""
        cache, desk = made(), Desk()
        await aask(cache, desk, asked(CARD), CARD)
        begun: list[Any] = []
        begin = cache.tier.begin

        def kept(question: Question) -> Any:
            begun.append(begin(question))
            return begun[0]

        monkeypatch.setattr(cache.tier, "begin", kept)
        loop = asyncio.get_running_loop()
        wake, woken = loop.call_soon_threadsafe, list[Any]()

        def counted(*args: Any, **options: Any) -> Any:
            woken.append(args)
            return wake(*args, **options)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)

        async def slow(text: str) -> Answer:
            await asyncio.sleep(0)
            begun[0].result(30)  # stops the event loop, which nobody misses
            return desk.reply(text)

        call = Step(desk.reply, slow, "x")
        answer = await arun(cache.answer(asked("Is the moon far from here?"), call, Codec()))
        assert decided(answer)[0] == "miss"
        assert answer.decision is not None
        assert answer.decision.score is not None, "what was found is on record all the same"
        assert not woken

    async def test_a_call_that_answers_first_leaves_the_verdict_to_the_lesson(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        """A question that was judged twice would count twice."""
        gate = Gate()
        cache, desk = made(gate.embed), Desk()
        await aask(cache, desk, asked(CARD), CARD)
        judged: list[str] = []
        judge = cache.tier.acceptance.judge

        def counted(question: Any, candidates: Any) -> Any:
            judged.append(question.text)
            return judge(question, candidates)

        monkeypatch.setattr(cache.tier.acceptance, "judge", counted)
        gate.embedding.clear()
        call = Step(desk.reply, desk.areply, "x")
        await arun(cache.answer(asked(CARD_AGAIN), call, Codec()))
        gate.embedding.set()
        await asyncio.to_thread(cache.drain)
        assert judged == [CARD_AGAIN]

    async def test_a_call_that_answers_amid_the_verdict_leaves_it_to_the_lesson(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        cache, desk = made(), Desk()
        await aask(cache, desk, asked(CARD), CARD)
        judged: list[str] = []
        judging, answered = threading.Event(), threading.Event()
        judge = cache.tier.acceptance.judge

        def slow(question: Any, candidates: Any) -> Any:
            judged.append(question.text)
            judging.set()
            assert answered.wait(30)
            return judge(question, candidates)

        monkeypatch.setattr(cache.tier.acceptance, "judge", slow)

        async def reply(text: str) -> Answer:
            await asyncio.to_thread(judging.wait, 30)
            return desk.reply(text)

        await arun(cache.answer(asked(CARD_AGAIN), Step(desk.reply, reply, "x"), Codec()))
        answered.set()
        await asyncio.to_thread(cache.drain)
        assert judged == [CARD_AGAIN]

    async def test_a_call_that_fails_does_not_wait_for_a_hanging_encoder(self):
        gate = Gate()
        cache, desk = made(gate.embed), Desk()
        await aask(cache, desk, asked(CARD), CARD)
        cache.tier.patience_s = 0.01
        gate.embedding.clear()

        async def refused(_: str) -> Answer:
            raise ConnectionError

        with pytest.raises(ConnectionError):
            await arun(cache.answer(asked(CARD_AGAIN), Step(desk.reply, refused, "x"), Codec()))
        gate.embedding.set()

    async def test_a_hit_cancels_the_call_that_was_begun_and_says_so(self):
        cache, desk = made(), Desk()
        await aask(cache, desk, asked(CARD), CARD)
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def never(_: str) -> Answer:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise
            raise AssertionError

        call = Step(desk.reply, never, "x")
        answer = await arun(cache.answer(asked(CARD_AGAIN), call, Codec()))
        await cancelled.wait()
        assert begun.is_set()
        assert decided(answer) == ("hit", "semantic")
        assert answer.decision is not None
        assert answer.decision.abandoned
        assert cache.stats().abandoned == 1

    async def test_a_reader_of_live_tokens_never_sees_a_call_that_is_given_up(self):
        cache, desk = made(), Desk()
        await aask(cache, desk, asked(CARD), CARD)
        call = Step(desk.reply, desk.areply, "x")
        answer = await arun(cache.answer(asked(CARD_AGAIN), call, Codec(), live=True))
        assert decided(answer) == ("hit", "semantic")
        assert desk.calls == [CARD]

    async def test_the_error_of_the_call_reaches_the_caller(self):
        cache, desk = made(), Desk()
        await aask(cache, desk, asked(CARD), CARD)

        async def fails(_: str) -> Answer:
            raise LookupError

        question = "Is the moon far away from here?"
        with pytest.raises(LookupError):
            await arun(cache.answer(asked(question), Step(desk.reply, fails, ""), Codec()))

    async def test_a_cancelled_caller_leaves_nothing_running(self):
        gate = Gate()
        cache, desk = made(gate.embed), Desk()
        await aask(cache, desk, asked(CARD), CARD)
        gate.embedding.clear()
        begun, ended = asyncio.Event(), asyncio.Event()

        async def slow(_: str) -> Answer:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

        call = Step(desk.reply, slow, "x")
        task = asyncio.create_task(arun(cache.answer(asked(CARD_AGAIN), call, Codec())))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ended.wait()
        gate.embedding.set()

    def test_a_call_in_a_thread_is_given_up_only_where_that_was_asked_for(self):
        cache, desk = made(race="always"), Desk()
        ask(cache, desk, asked(CARD), CARD)
        release = threading.Event()
        done = Future[None]()

        def slow(text: str) -> Answer:
            release.wait(30)
            done.set_result(None)
            return desk.reply(text)

        call = Step(slow, desk.areply, "x")
        answer = run(cache.answer(asked(CARD_AGAIN), call, Codec()))
        assert decided(answer) == ("hit", "semantic")
        release.set()
        done.result(30)

    def test_callers_that_wait_for_the_same_question_share_what_was_found(self):
        cache, desk = made(), Desk()
        ask(cache, desk, asked(CARD), CARD)
        answers: list[Answer] = []
        threads = [
            threading.Thread(
                target=lambda: answers.append(ask(cache, desk, asked(CARD_AGAIN), "x"))
            )
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {answer.text for answer in answers} == {f"About {CARD}."}
        assert desk.calls == [CARD]

    async def test_a_call_that_fails_at_once_does_not_lose_an_answer_that_is_there(self):
        cache, desk = made(), Desk()
        await aask(cache, desk, asked(CARD), CARD)

        async def refused(_: str) -> Answer:
            raise ConnectionError

        call = Step(desk.reply, refused, "x")
        answer = await arun(cache.answer(asked(CARD_AGAIN), call, Codec()))
        assert decided(answer) == ("hit", "semantic")

    async def test_the_same_words_again_begin_no_call(self):
        cache, desk = made(), Desk()
        await aask(cache, desk, asked(CARD), CARD)
        begun: list[str] = []

        async def endless(text: str) -> Answer:
            begun.append(text)
            await asyncio.Event().wait()
            raise AssertionError

        for _ in range(3):
            call = Step(desk.reply, endless, "x")
            answer = await arun(cache.answer(asked(CARD_AGAIN), call, Codec()))
            assert decided(answer) == ("hit", "semantic")
        assert begun == ["x"]

    @pytest.mark.parametrize("awaited", [False, True])
    def test_an_encoder_that_hangs_stops_nobody(self, awaited: bool):
        gate = Gate()
        cache, desk = made(gate.embed, race="never", patience_s=0.01), Desk()
        ask(cache, desk, asked(CARD), CARD)
        gate.embedding.clear()
        call = Step(desk.reply, desk.areply, "x")
        flow = cache.answer(asked(CARD_AGAIN), call, Codec())
        answer = asyncio.run(arun(flow)) if awaited else run(flow)
        assert decided(answer)[0] == "miss"
        gate.embedding.set()

    async def test_a_caller_that_is_cancelled_while_it_looks_holds_up_nobody(self):
        gate = Gate()
        cache, desk = made(gate.embed, max_wait_s=None), Desk()
        await aask(cache, desk, asked(CARD), CARD)
        gate.embedding.clear()
        looking = asyncio.create_task(arun(cache.acquire(asked(CARD_AGAIN), Codec())))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        looking.cancel()
        kept = await asyncio.gather(looking, return_exceptions=True)
        gate.embedding.set()
        answer = await aask(cache, desk, asked(CARD_AGAIN), "x")
        assert answer.text == "About x."
        assert [type(one) for one in kept] == [asyncio.CancelledError]


def test_a_route_with_a_shorter_time_is_not_given_an_older_answer():
    clock = FakeClock()
    short = CachePolicy(ttl_s=10, normalise=True)
    policy = CachePolicy(
        normalise=True, route=lambda view: view.version or None, routes={"short": short}
    )
    cache, desk = made(policy=policy, clock=clock), Desk()
    ask(cache, desk, asked(CARD, policy=policy, version="short"), CARD)
    clock.advance(11)
    late = asked(CARD_AGAIN, policy=policy, version="short")
    assert decided(ask(cache, desk, late, "x"))[0] == "miss"


def test_an_answer_too_old_for_one_route_still_serves_another():
    """A route that wants fresh answers once made the cache forget the question for all."""
    clock = FakeClock()
    short = CachePolicy(ttl_s=10, normalise=True, tool_calls=False)
    policy = CachePolicy(
        normalise=True,
        route=lambda view: "short" if "please" in str(view.messages[-1]) else None,
        routes={"short": short},
    )
    cache, desk = made(policy=policy, clock=clock), Desk()
    ask(cache, desk, asked(CARD, policy=policy), CARD)
    clock.advance(11)
    hurried = "How would I reset the PIN of my debit card, if you please?"
    assert decided(ask(cache, desk, asked(hurried, policy=policy), "x"))[0] == "miss"
    assert CARD in {
        one.text for one in cache.tier.memory.find(asked(CARD, policy=policy).key or "")
    }


def test_who_waits_for_the_same_words_gets_a_decision_of_its_own():
    """A follower's entry is the answer's, so that it can be reported."""
    cache, desk = made(), Desk()
    first = ask(cache, desk, asked(CARD), CARD).decision
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(cache, desk, asked(CARD_AGAIN), "x")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert first is not None
    assert {decided(answer) for answer in answers} == {("hit", "semantic")}
    assert {answer.decision and answer.decision.entry for answer in answers} == {first.key}


def test_a_report_without_an_entry_forgets_nothing():
    cache, desk = made(), Desk()
    ask(cache, desk, asked(CARD), CARD)
    with pytest.raises(ConfigError, match="entry must be the entry of a CacheDecision"):
        run(cache.report_bad_hit(""))
    assert len(cache.tier.memory) == 1


class TestAcrossProcesses:
    """Questions live beside their answers, so that others and later ones find them."""

    def test_a_restart_finds_what_was_learnt(self, tmp_path: Any):
        desk = Desk()
        ask(made(store=SQLiteStore(tmp_path / "c.db")), desk, asked(CARD), CARD)
        later = made(store=SQLiteStore(tmp_path / "c.db"))
        ask(later, desk, asked("Is the moon far away from here?"), "the moon")
        assert decided(ask(later, desk, asked(CARD_AGAIN), "x")) == ("hit", "semantic")

    def test_after_a_restart_an_equal_question_brings_back_the_others(self, tmp_path: Any):
        desk = Desk()
        ask(made(store=SQLiteStore(tmp_path / "c.db")), desk, asked(CARD), CARD)
        later = made(store=SQLiteStore(tmp_path / "c.db"))
        assert decided(ask(later, desk, asked(CARD), "x")) == ("hit", "exact")
        assert decided(ask(later, desk, asked(CARD_AGAIN), "x")) == ("hit", "semantic")

    def test_a_bad_answer_is_forgotten_that_no_question_of_this_process_knows(self, tmp_path: Any):
        desk = Desk()
        first = ask(made(store=SQLiteStore(tmp_path / "c.db")), desk, asked(CARD), CARD).decision
        assert first is not None
        assert first.key is not None
        later = made(store=SQLiteStore(tmp_path / "c.db"))
        assert run(later.report_bad_hit(first.key)) == 1
        assert decided(ask(later, desk, asked(CARD), "x"))[0] == "miss"

    def test_a_question_that_cannot_be_read_hides_no_other(self, tmp_path: Any):
        desk = Desk()
        store = SQLiteStore(tmp_path / "c.db")
        ask(made(store=store), desk, asked(CARD), CARD)
        (name,) = [key for key in store.scan("~q:") if not key.endswith("state")]
        for number, raw in enumerate((b"garbage", b'{"v":1,"key":[]}', b"[]")):
            store.set(f"{name}{number}", raw, None)
        bus = EventBus()
        later = made(store=SQLiteStore(tmp_path / "c.db"), bus=bus)
        ask(later, desk, asked("Is the moon far away from here?"), "the moon")
        assert decided(ask(later, desk, asked(CARD_AGAIN), "x")) == ("hit", "semantic")
        assert bus.faults() == {"cache.semantic": 3}

    def test_a_restart_goes_on_with_the_thresholds_that_were_learnt(self, tmp_path: Any):
        ends = ("fishing", "cooking", "sailing", "singing", "knitting", "riding", "painting")
        places = ("lake", "kitchen", "garden", "valley", "harbour", "attic", "forest", "desert")
        topics = [f"{end} in the {place}" for end in ends for place in places]
        topics += [f"{end} near the {place}" for end in ends for place in places]
        before, desk = made(store=SQLiteStore(tmp_path / "c.db")), Desk()
        for topic in topics:
            ask(before, desk, asked(f"What is {topic} about?"), topic)
        later = made(store=SQLiteStore(tmp_path / "c.db"))
        ask(later, desk, asked("Is the moon far away from here?"), "the moon")
        assert later.tier.acceptance.labels >= 50
        assert before.tier.acceptance.labels >= later.tier.acceptance.labels

    def test_a_neighbour_learns_it_within_its_time(self, tmp_path: Any):
        clock, desk = FakeClock(), Desk()
        one = made(store=SQLiteStore(tmp_path / "c.db"))
        two = made(store=SQLiteStore(tmp_path / "c.db"), clock=clock, follow_s=5.0)
        ask(two, desk, asked("Is the moon far away from here?"), "the moon")
        ask(one, desk, asked(CARD), CARD)
        clock.advance(5.0)
        ask(two, desk, asked("Do you sell stamps for letters?"), "stamps")
        assert decided(ask(two, desk, asked(CARD_AGAIN), "x")) == ("hit", "semantic")

    def test_vectors_of_another_encoder_are_not_read(self, tmp_path: Any):
        desk = Desk()
        ask(made(store=SQLiteStore(tmp_path / "c.db")), desk, asked(CARD), CARD)
        other = SemanticCache(
            QuestionEmbedder(bag_of_words, name="another"),
            store=SQLiteStore(tmp_path / "c.db"),
            shadow_share=0.0,
        )
        ask(other, desk, asked("Is the moon far away from here?"), "the moon")
        assert decided(ask(other, desk, asked(CARD_AGAIN), "x"))[0] == "miss"

    def test_a_tag_takes_the_question_with_its_answer(self, tmp_path: Any):
        store = SQLiteStore(tmp_path / "c.db")
        cache, desk = made(store=store), Desk()
        ask(cache, desk, asked(CARD, tags=("cards",)), CARD)
        run(cache.invalidate("cards"))
        assert [key for key in store.scan() if not key.startswith("~stats")] == []
        assert decided(ask(cache, desk, asked(CARD_AGAIN), "x"))[0] == "miss"

    def test_what_was_cleared_is_gone(self, tmp_path: Any):
        cache, desk = made(store=SQLiteStore(tmp_path / "c.db")), Desk()
        ask(cache, desk, asked(CARD), CARD)
        run(cache.clear())
        assert decided(ask(cache, desk, asked(CARD_AGAIN), "x"))[0] == "miss"


def test_questions_are_bounded():
    cache, desk = made(max_questions=10), Desk()
    for number in range(30):
        ask(cache, desk, asked(f"What is topic number {number} about?"), str(number))
    assert len(cache.tier.memory) == 10


def test_statistics_name_the_tier_and_estimate_the_false_hits():
    cache, desk = made(), Desk()
    for text in (CARD, CARD_AGAIN, CARD):
        ask(cache, desk, asked(text), text)
    stats = cache.stats()
    assert stats.hits == {"semantic": 1, "exact": 1}
    assert stats.misses == 1
    assert stats.false_hits is not None
    assert 0 <= stats.false_hits.low <= stats.false_hits.high


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "guess"}, "mode must be 'serve' or 'shadow', got 'guess'"),
        ({"race": True}, "race must be 'awaited', 'always' or 'never', got True"),
        ({"max_error": 0.0}, "max_error"),
        ({"max_error": 2.0}, "max_error"),
        ({"max_error": "1 %"}, "max_error must be > 0, got '1 %'"),
        ({"shadow_share": "some"}, "shadow_share must be a share below 1, got 'some'"),
        ({"patience_s": 0.0}, "patience_s must be > 0, got 0.0"),
        ({"agreement": 0.9}, "agreement must be a function of two answers, got 0.9"),
        ({"policy": 60.0}, "policy must be a CachePolicy, got 60.0"),
        ({"guards": "none"}, "none"),
        ({"store": 3}, "a store needs the methods of Store"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(options: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        made(**options)


def test_a_memory_store_keeps_no_second_copy_of_the_questions():
    store = MemoryStore()
    cache, desk = made(store=store), Desk()
    ask(cache, desk, asked(CARD), CARD)
    assert len(list(store.scan())) == 1
