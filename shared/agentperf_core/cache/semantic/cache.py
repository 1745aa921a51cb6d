"""The semantic cache: an exact cache that also serves questions asked in other words."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TypeVar

from agentperf_core.cache.answers import AnswerCodec, CacheRequest, Hit
from agentperf_core.cache.decisions import CacheDecision
from agentperf_core.cache.embedding.queue import QuestionEmbedder
from agentperf_core.cache.exact.lease import Lease
from agentperf_core.cache.exact.upkeep import ENTRY_DIGITS
from agentperf_core.cache.policy import CachePolicy
from agentperf_core.cache.semantic.acceptance import Acceptance
from agentperf_core.cache.semantic.aliases import Aliases
from agentperf_core.cache.semantic.guards import GuardProfile
from agentperf_core.cache.semantic.lessons import Agreement, Kept
from agentperf_core.cache.semantic.looked import found_so_far
from agentperf_core.cache.semantic.memory import SemanticMemory
from agentperf_core.cache.semantic.race import Answered, Race, Rival, checked_race, race
from agentperf_core.cache.semantic.serving import Mode, Serving
from agentperf_core.cache.semantic.shared import IndexPlace, SharedQuestions
from agentperf_core.cache.semantic.tier import SemanticTier
from agentperf_core.cache.stores import Store
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import ConfigError, require_positive
from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow, Step

__all__ = ["Mode", "SemanticCache"]

T = TypeVar("T")


class SemanticCache(Serving):
    """Serves equal requests like `ExactCache`, and questions that mean the same where that is safe.

    Only the last user turn is compared by meaning (and what the user said before it, in a
    conversation); tenant, model, system prompt, tools, parameters must be equal. Whether a stored
    answer is served follows from a budget of errors, not from a threshold on a distance: guards
    first (numbers, names, negation, ...), then a score that learns from every fresh answer.

    While a question is looked up, awaited model calls are already under way, so that a miss waits
    for nothing; on a hit the call is cancelled, and the decision says `abandoned`. A provider may
    charge what it had begun: `race="never"` asks first, and every miss waits for the encoder.

    Args:
        embedder: gives questions their vectors: a `QuestionEmbedder`, or whatever `as_embedder`
            takes: a sentence-transformers model or its name, an embedding model of LangChain or
            LlamaIndex, any callable from texts to vectors.
        store: where answers live; questions live beside them where it outlives the process.
        policy: what may be cached; default `CachePolicy(normalise=True)`.
        max_error: wrong answers that may be served, as a share of all requests.
        mode: `"shadow"` serves only equal requests and measures what else would have been served.
        guards: a `GuardProfile` or its name.
        race: when calls are begun before the look-up is over: `"awaited"` calls, `"always"` (calls
            in threads too, which cannot be cancelled and run to their end unread), or `"never"`.
        agreement: judges whether two answers say the same, as `(fresh, stored) -> bool`; runs
            behind the calls, in a thread. Default: equal, or equal in numbers, names and meaning.
        shadow_share: share of the accepted look-ups that are checked by a real call.
        index: where questions are searched: `"auto"` by the query engine of the store where that
            is a Redis that has one (Redis 8, Redis Stack; not a cluster), else in process;
            `"process"` always there. The first look-ups, and those while the engine fails, go to
            what this process has read; the room `"cache.index"` of the bus says why.
        max_questions: how many questions to keep in memory; the engine has no limit of ours.
        follow_s: seconds between two looks at what other processes have learnt.
        patience_s: seconds that a look-up waits for the encoder; it goes on behind.
        max_wait_s: see `ExactCache`.
        clock: where the time comes from.
        bus: receives decisions and faults.

    Raises:
        ConfigError: if an argument is out of its range or not what its name says.
        MissingExtra: if numpy is not installed.
    """

    wants_questions = True

    def __init__(  # noqa: PLR0913 - keyword-only settings, each with a default
        self,
        embedder: object,
        *,
        store: Store | None = None,
        policy: CachePolicy | None = None,
        max_error: float = 0.005,
        mode: Mode = "serve",
        guards: GuardProfile | str = "balanced",
        race: Race = "awaited",
        agreement: Agreement | None = None,
        shadow_share: float = 0.03,
        max_questions: int = 100_000,
        index: IndexPlace = "auto",
        follow_s: float = 5.0,
        patience_s: float = 1.0,
        max_wait_s: float | None = 60.0,
        clock: Clock = SYSTEM_CLOCK,
        bus: EventBus = BUS,
    ) -> None:
        if mode not in {"serve", "shadow"}:
            msg = f"mode must be 'serve' or 'shadow', got {mode!r}; shadow measures, serve answers"
            raise ConfigError(msg)
        if index not in {"auto", "process"}:
            msg = f"index must be 'auto' or 'process', got {index!r}; auto asks the store"
            raise ConfigError(msg)
        if agreement is not None and not callable(agreement):
            msg = f"agreement must be a function of two answers, got {agreement!r}; drop it"
            raise ConfigError(msg)
        require_positive(patience_s=patience_s, follow_s=follow_s, max_questions=max_questions)
        policy = policy if policy is not None else CachePolicy(normalise=True)
        super().__init__(store, policy=policy, max_wait_s=max_wait_s, clock=clock, bus=bus)
        self.mode: Mode = mode
        self._race = checked_race(race)
        if not isinstance(embedder, QuestionEmbedder):
            embedder = QuestionEmbedder(embedder)
        if mode == "shadow":
            shadow_share = 0.0  # every request is a check
        shared = None
        if not self.store.in_process:
            shared = SharedQuestions(
                self.store, embedder.name, follow_s=follow_s, clock=clock, bus=bus, index=index
            )
        self.tier = SemanticTier(
            embedder,
            acceptance=Acceptance(max_error=max_error, profile=guards, shadow_share=shadow_share),
            memory=SemanticMemory(max_entries=max_questions),
            shared=shared,
            agreement=agreement,
            patience_s=patience_s,
            clock=clock,
            bus=bus,
        )
        self.aliases = Aliases()
        self._counter.estimate = self.tier.acceptance.estimate

    def claim(
        self, request: CacheRequest, codec: AnswerCodec[T], *, refresh: Step[T] | None = None
    ) -> Flow[Hit[T] | Lease[T]]:
        """Like `ExactCache.claim`; also has the questions read that others have stored."""
        if request.question is not None:
            self.tier.lessons.follow()
        return (yield from super().claim(request, codec, refresh=refresh))

    def acquire(
        self, request: CacheRequest, codec: AnswerCodec[T], *, refresh: Step[T] | None = None
    ) -> Flow[Hit[T] | Lease[T]]:
        """Like `ExactCache.acquire`, with the look-up by meaning before the lease is given."""
        got = yield from super().acquire(request, codec, refresh=refresh)
        question = request.question
        if isinstance(got, Hit) or question is None or self.mode == "shadow":
            return got
        try:
            hit = yield from self.asked_before(got, codec)
            if hit is None and self.tier.knows(question):
                hit = yield from self.searched(got, question, codec)
        except BaseException as error:  # who waits for this caller must not wait for ever
            got.fail(error)
            raise
        return got if hit is None else hit

    def ask(
        self, lease: Lease[T], call: Step[T], codec: AnswerCodec[T], *, live: bool
    ) -> Flow[T | Hit[T]]:
        """The model's answer or that of a question that means the same, whichever comes first."""
        question = lease.request.question
        if question is None or not self.tier.knows(question):
            return (yield from call)
        hit = yield from self.asked_before(lease, codec)
        if hit is not None:
            return hit
        begin = partial(self.begin, lease, question)
        if self.mode == "shadow":
            looking = begin()
            try:
                return (yield from call)
            finally:
                looking.cancel()
        if live or self._race == "never":
            hit = yield from self.searched(lease, question, codec)
            return (yield from call) if hit is None else hit
        serve = partial(self.found, lease, question, codec)
        rival = Rival(begin, serve, self.tier.patience_s)
        look = partial(self.searched, lease, question, codec)
        won = yield from race(call, rival, look=look, threads=self._race == "always")
        return won.answer if isinstance(won, Answered) else won

    def ended(
        self, lease: Lease[T], codec: AnswerCodec[T], answer: T, decision: CacheDecision
    ) -> CacheDecision:
        """Learn from a fresh answer, and say what the look-up had found."""
        question = lease.request.question
        if question is None or lease.request.key is None:
            return decision
        looked, looking = found_so_far(lease.memo)
        try:
            if looked is None and looking is None and self.tier.knows(question):
                looked = self.tier.glance(question)
            facts = codec.facts(answer)
            said = None if facts.tool_calls else facts.text
        except Exception as error:
            self._bus.fault("cache.semantic", error)
            said = None
        stored = lease.request.key if decision.outcome == "miss" else ""
        kept = Kept(stored, self._policy(lease.request).keep_s, lease.request.tags)
        self.tier.learn(question, kept, said, looked or looking)
        if looked is None or decision.outcome != "miss":
            return decision
        verdict = looked.verdict
        reason = f"{decision.reason}; nearest question: {verdict.reason}"
        if verdict.accept:
            reason = f"{decision.reason}; checked: would have been served ({verdict.reason})"
        return replace(decision, reason=reason, score=verdict.chance)

    def report_bad_hit(self, entry: str) -> Flow[int]:
        """An answer that was served was wrong: forget it, and accept less; how many there were.

        Args:
            entry: the decision's `entry`.
        """
        keys: list[str] = []
        if len(entry) >= ENTRY_DIGITS:
            keys = yield from self.tier.lessons.correct(entry)
        if not keys:
            return (yield from super().report_bad_hit(entry))
        self.aliases.forget(keys)
        for key in keys:
            yield from Step(self.store.delete, self.store.adelete, key)
        return len(keys)

    def clear(self) -> Flow[int]:
        """Forget every answer and every question; what was learnt about thresholds stays."""
        self.tier.lessons.forget_all()
        self.aliases = Aliases()
        return (yield from super().clear())

    def drain(self, timeout_s: float | None = None) -> None:
        """Like `ExactCache.drain`, and until what was answered so far has been learnt."""
        super().drain(timeout_s)
        self.tier.lessons.drain(timeout_s)
