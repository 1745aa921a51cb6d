"""The semantic tier: has a question been answered whose answer fits this one, too?

Looking up is embed, search, judge; learning comes after the answer went out, see `lessons`.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from functools import partial

from agentperf_core.breaker import Breaker
from agentperf_core.cache.answers import Question
from agentperf_core.cache.embedding.queue import QuestionEmbedder
from agentperf_core.cache.semantic.acceptance import Acceptance
from agentperf_core.cache.semantic.features import Candidate
from agentperf_core.cache.semantic.guards import refusal
from agentperf_core.cache.semantic.lessons import Agreement, Kept, Lessons
from agentperf_core.cache.semantic.looked import UNSEARCHED, Found, Looked, Looking, Unsearched
from agentperf_core.cache.semantic.memory import Asked, Near, SemanticMemory
from agentperf_core.cache.semantic.shared import SharedQuestions
from agentperf_core.cache.semantic.wording import Wording
from agentperf_core.cache.vectors.base import Vector
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow, Step, run

__all__ = ["SemanticTier"]

_NEIGHBOURS = 8
_FOLLOW_UPS = 64  # many conversations ask the same follow-up: the right parent may not be the first


class SemanticTier:
    """Remembers questions by meaning and learns how alike they must be; see `SemanticCache`.

    Args:
        embedder: gives questions their vectors.
        acceptance: decides; it learns under its own lock.
        memory: the questions so far.
        shared: where questions live beside their answers, `None` if only in memory.
        patience_s: seconds that a look-up waits for the encoder.
        clock: where the time comes from.
        agreement: judges whether two answers say the same; default `agree` with the embedder.
        bus: where faults go.
    """

    def __init__(
        self,
        embedder: QuestionEmbedder,
        *,
        acceptance: Acceptance,
        memory: SemanticMemory,
        shared: SharedQuestions | None = None,
        agreement: Agreement | None = None,
        patience_s: float = 1.0,
        clock: Clock = SYSTEM_CLOCK,
        bus: EventBus = BUS,
    ) -> None:
        self.embedder = embedder
        self.acceptance = acceptance
        self.memory = memory
        self.lessons = Lessons(
            acceptance,
            memory,
            shared=shared,
            agreement=agreement,
            vector=lambda text: run(embedder.vector(text)),
            bus=bus,
        )
        self.patience_s = patience_s
        self._shared = shared
        self._engine = shared.engine if shared is not None else None
        self._breaker = Breaker(clock=clock)
        self._bus = bus

    def knows(self, question: Question) -> bool:
        """Whether anything in the question's scope could be found at all."""
        if self._engine is not None and self._engine.able:
            return True  # only the server knows
        follow_up = question.parent is not None
        return self.memory.size(question.scope, follow_up=follow_up) > 0

    def look(self, question: Question) -> Flow[Looked | None]:
        """The nearest questions and the verdict; `None` without any, or if something failed.

        An encoder that takes longer than `patience_s` is not waited for, and one that does so again
        and again is not asked for a while.
        """
        if not self._breaker.lets_through():
            return None
        try:
            asked = yield from self._asked(question, max_wait_s=self.patience_s)
            near = yield from self._near(question, asked)
        except Exception as error:
            return self._failed(error)
        return self._concluded(question, near)

    def begin(self, question: Question) -> Looking:
        """Start a look-up for which nobody stands still; what it finds is what `look` would find.

        Search and verdict come where the question is encoded, so that an event loop is not stopped
        for them; where a server searches, its answer is left to `result`. It never raises;
        cancelled before it has a verdict, it makes none.
        """
        looking = Future[Found]()
        if not self._breaker.lets_through():
            looking.set_result(None)
            return looking

        def judge(encoding: Future[list[Vector]]) -> None:
            if not looking.set_running_or_notify_cancel():
                return
            try:
                asked = Asked(*encoding.result())
                if self._engine is not None and self._engine.able:
                    looking.set_result(UNSEARCHED)
                    return
                near = self._near_here(question, asked)
            except Exception as error:
                looking.set_result(self._failed(error))
            else:
                looking.set_result(self._concluded(question, near))

        self.embedder.submit_all(_texts(question)).add_done_callback(judge)
        return looking

    def result(self, question: Question, looking: Looking) -> Flow[Looked | None]:
        """What `begin` found; waits for it as long as `look` does."""
        try:
            found = yield from Step(self._wait, self._await, looking)
        except TimeoutError as error:
            looking.cancel()
            return self._failed(error)
        return (yield from self.look(question)) if isinstance(found, Unsearched) else found

    def glance(self, question: Question) -> Looked | None:
        """Like `look`, with what is known without waiting."""
        if self._engine is not None and self._engine.answers:
            return None
        known = self.embedder.known(_texts(question))
        if known is None:
            return None
        return self._judged(question, self._near_here(question, Asked(*known)))

    def learn(
        self,
        question: Question,
        kept: Kept,
        said: str | None,
        looked: Looked | Looking | None,
    ) -> None:
        """Compare and remember, later.

        Args:
            question: what was asked.
            kept: where its answer is stored.
            said: the text of the fresh answer; `None` if it has none that could be compared.
            looked: what the look-up found or is about to find; `None` if nobody looked.
        """
        if said is None:
            return

        def job() -> None:
            asked = run(self._asked(question))
            found = looked.result(self.patience_s) if isinstance(looked, Future) else looked
            if not isinstance(found, Looked):
                found = self._judged(question, run(self._near(question, asked)))
            self.lessons.learn(question, asked, found, kept=kept, said=said)

        self.lessons.begin(job)

    def forget(self, question: Question | None, key: str) -> None:
        """The answer of a question is gone from the store: nobody need find it any more."""
        self.memory.forget(key)
        if question is not None and self._shared is not None:
            self.lessons.begin(partial(self._shared.forget_if_gone, question.scope, key))

    def _asked(self, question: Question, *, max_wait_s: float | None = None) -> Flow[Asked]:
        texts = _texts(question)
        return Asked(*(yield from self.embedder.vectors(texts, max_wait_s=max_wait_s)))

    def _wait(self, looking: Looking) -> Found:
        return looking.result(self.patience_s)

    async def _await(self, looking: Looking) -> Found:
        if looking.done():
            return looking.result()
        async with asyncio.timeout(self.patience_s):
            return await asyncio.wrap_future(looking)

    def _near(self, question: Question, asked: Asked) -> Flow[list[Near]]:
        near = None
        if self._engine is not None:
            near = yield from self._engine.nearest(question.scope, asked, _count(asked))
        return self._near_here(question, asked) if near is None else near

    def _near_here(self, question: Question, asked: Asked) -> list[Near]:
        return self.memory.nearest(question.scope, asked, _count(asked))

    def _concluded(self, question: Question, near: list[Near]) -> Looked | None:
        try:
            found = self._judged(question, near)
        except Exception as error:
            return self._failed(error)
        self._breaker.succeeded()
        return found

    def _failed(self, error: Exception) -> None:
        self._breaker.failed()
        self._bus.fault("cache.semantic", error)

    def _judged(self, question: Question, near: list[Near]) -> Looked | None:
        if question.parent is not None:
            near = [one for one in near if _same_matter(question.parent, one.remembered.parent)]
        near = near[:_NEIGHBOURS]
        if not near:
            return None
        candidates = [
            Candidate(one.ident, one.remembered.answer, one.remembered.text, one.cosine)
            for one in near
        ]
        return Looked(self.acceptance.judge(Wording.of(question.text), candidates), near)


def _count(asked: Asked) -> int:
    return _NEIGHBOURS if asked.parent is None else _FOLLOW_UPS


def _texts(question: Question) -> tuple[str, ...]:
    return (question.text,) if question.parent is None else (question.text, question.parent)


def _same_matter(parent: str, other: str | None) -> bool:
    """Turns before a follow-up must not differ in a number, a name or a negation."""
    if other is None:
        return False
    return parent == other or refusal(Wording.of(parent), Wording.of(other), "strict") is None
