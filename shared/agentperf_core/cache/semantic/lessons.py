"""What the semantic tier learns after an answer went out: labels, aliases, what others know.

The fresh answer is compared with the one that would have been served, which is a label that costs
nobody anything, and the question is remembered with the answer that it turned out to share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from agentperf_core.cache.answers import Question
from agentperf_core.cache.background import Background
from agentperf_core.cache.exact.upkeep import ENTRY_DIGITS
from agentperf_core.cache.semantic.acceptance import Acceptance, Verdict
from agentperf_core.cache.semantic.agreement import agree, answer_form
from agentperf_core.cache.semantic.looked import Looked
from agentperf_core.cache.semantic.memory import Asked, Remembered, SemanticMemory
from agentperf_core.cache.semantic.scale import PROBES, background_of
from agentperf_core.cache.semantic.shared import SharedQuestions
from agentperf_core.events import BUS, DecisionMade, EventBus
from agentperf_core.flow import Flow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Agreement", "Kept", "Lessons"]

Agreement: TypeAlias = Callable[[str, str], bool]
"""Judges whether two answers, as text, say the same."""


class Kept(NamedTuple):
    """Where an answer is stored.

    Attributes:
        key: the store's key; empty if it is not stored.
        keep_s: seconds that the store keeps it; `None` for as long as there is room.
        tags: names by which it is forgotten, and its question with it.
    """

    key: str
    keep_s: float | None
    tags: tuple[str, ...]


class Lessons:
    """Learns in a thread of its own; what it raises is a fault.

    Args:
        acceptance: learns from labels.
        memory: learns questions.
        shared: where questions live beside their answers, `None` if only in memory.
        agreement: judges whether two answers say the same; default `agree` with `vector`.
        vector: gives unit vectors of texts.
        bus: where faults and checks go.
    """

    def __init__(
        self,
        acceptance: Acceptance,
        memory: SemanticMemory,
        *,
        shared: SharedQuestions | None,
        agreement: Agreement | None,
        vector: Callable[[str], NDArray[np.float32]],
        bus: EventBus = BUS,
    ) -> None:
        self._acceptance = acceptance
        self._memory = memory
        self._shared = shared
        self._engine = shared.engine if shared is not None else None
        self._agreement = agreement
        self._vector = vector
        self._bus = bus
        self._background = Background("agentperf-semantic", where="cache.semantic", bus=bus)
        self._restored = shared is None
        self._scaled = False

    def follow(self) -> None:
        """Learn what other processes, or this one before a restart, have learnt; later.

        And, the first time, how alike the encoder finds what has nothing in common.
        """
        if not self._scaled:
            self._scaled = True
            self._background.submit(self._observe_scale)
        if self._shared is not None and self._shared.due():
            self._background.submit(self._follow)

    def begin(self, job: Callable[[], None]) -> None:
        """Do something after the answer went out."""
        self._background.submit(job)

    def drain(self, timeout_s: float | None = None) -> None:
        """Wait until everything has been learnt that is known by now."""
        self._background.drain(timeout_s)

    def learn(
        self,
        question: Question,
        asked: Asked,
        looked: Looked | None,
        *,
        kept: Kept,
        said: str,
    ) -> None:
        """Compare a fresh answer with those of the nearest questions, and remember the question.

        Args:
            question: what was asked.
            asked: its vectors.
            looked: what the look-up found, `None` if nothing.
            kept: where the answer is stored.
            said: the text of the answer.
        """
        form, key = answer_form(said), kept.key
        answer = (self._compare(looked, form) if looked is not None else None) or key
        # An answer that was not stored can teach, but there is nothing to serve later.
        if key and key not in self._memory:
            entry = Remembered(
                key=key, answer=answer, text=question.text, parent=question.parent, said=form
            )
            if self._engine is None or not self._engine.answers:
                self._memory.add(question.scope, entry, asked)
            if self._shared is not None:
                self._shared.keep(question.scope, entry, asked, kept.keep_s, kept.tags)
        if self._acceptance.refit_due:
            self._acceptance.refit()
            if self._shared is not None:
                self._shared.save_state(self._acceptance.state())

    def correct(self, entry: str) -> Flow[list[str]]:
        """An answer that was served was wrong: forget its question, and be more careful; its keys.

        Raises:
            Exception: whatever the store raises.
        """
        wrong = {remembered.key: remembered.answer for remembered in self._memory.find(entry)}
        if self._shared is not None:
            wrong |= yield from self._shared.take(entry)
        for key, answer in wrong.items():
            self._acceptance.learn_bad_hit(answer)
            self._memory.forget(key)
        return sorted(wrong)

    def forget_all(self) -> None:
        """Forget every question; what was learnt about thresholds stays."""
        self._memory.clear()
        if self._shared is not None:
            self._shared.clear()

    def _searched_there(self) -> bool:
        """Whether the store's engine answers, so that nothing need be read here; may wait."""
        engine = self._engine
        if engine is None:
            return False
        if not engine.checked:
            try:
                engine.check(len(self._vector(PROBES[0])))
            except Exception as error:
                self._bus.fault("cache.index", error)
        return engine.answers

    def _observe_scale(self) -> None:
        cosines = background_of([self._vector(probe) for probe in PROBES])
        self._acceptance.observe_background(cosines)

    def _compare(self, looked: Looked, said: str) -> str | None:
        """The label of the verdict; gives the id of the answer that the fresh one agrees with."""
        agrees: dict[str, bool] = {}
        for one in looked.near:
            answer = one.remembered.answer
            if answer not in agrees:
                agrees[answer] = self._agree(said, one.remembered.said)
        best = looked.best
        if best is not None:
            same = agrees[best.answer]
            self._acceptance.learn(looked.verdict, same)
            if looked.verdict.accept:
                self._tell(looked.verdict, best, same=same)
        return next((answer for answer, same in agrees.items() if same), None)

    def _agree(self, fresh: str, stored: str) -> bool:
        if self._agreement is not None:
            return self._agreement(fresh, stored)
        return agree(fresh, stored, vector=self._vector)

    def _tell(self, verdict: Verdict, best: Remembered, *, same: bool) -> None:
        """Put on record how a served answer would have done, or did: this one was checked."""
        outcome, word = ("right", "equals") if same else ("wrong", "differs from")
        self._bus.emit(
            DecisionMade(
                room="cache.check",
                outcome=outcome,
                reason=f"the fresh answer {word} the one that was accepted",
                details={"entry": best.key[:ENTRY_DIGITS], "score": verdict.chance},
            )
        )

    def _follow(self) -> None:
        if self._shared is None:
            return
        if not self._restored:
            self._restored = True
            state = self._shared.load_state()
            if state is not None:
                self._acceptance.restore(state)
        if self._searched_there():
            return
        memory = self._memory
        for scope, remembered, asked in self._shared.new(memory.max_entries, memory):
            if remembered.key not in memory:
                memory.add(scope, remembered, asked)
