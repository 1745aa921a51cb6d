"""A stream of labelled questions through the semantic tier, as through an empty cache."""

from __future__ import annotations

from agentperf_core.cache.semantic.acceptance import Acceptance
from agentperf_core.cache.semantic.features import Candidate
from agentperf_core.cache.semantic.verdict import Verdict
from agentperf_core.cache.semantic.wording import Wording
from agentperf_core.cache.tuning.data import Request
from agentperf_core.cache.vectors import Vector, new_index

__all__ = ["StreamRun"]

_NEIGHBOURS = 8


class StreamRun:
    """A cache that starts empty; intents are its answers.

    Args:
        acceptance: decides, and learns from every miss.
        dim: how many numbers a vector has.
    """

    def __init__(self, acceptance: Acceptance, dim: int) -> None:
        self._acceptance = acceptance
        self._index = new_index(dim)
        self._texts: list[str] = []
        self._intents: list[str] = []
        self._answers: list[str] = []

    def ask(self, request: Request, vector: Vector) -> bool | None:
        """Whether what was served is wrong; `None` if nothing was, and a model was asked."""
        found = self._index.search(vector, _NEIGHBOURS) if self._texts else []
        near = [Candidate(at, self._answers[at], self._texts[at], cosine) for at, cosine in found]
        verdict = self._acceptance.judge(Wording.of(request.text), near)
        if verdict.accept and not verdict.shadow and verdict.best is not None:
            return self._intents[verdict.best.ident] != request.intent
        answer = self._learnt(verdict, request.intent)
        number = len(self._texts)
        self._index.add(number, vector)
        self._texts.append(request.text)
        self._intents.append(request.intent)
        self._answers.append(answer if answer is not None else f"answer {number}")
        if self._acceptance.refit_due:
            self._acceptance.refit()
        return None

    def _learnt(self, verdict: Verdict, intent: str) -> str | None:
        """The known answer that the fresh one equals, if one does."""
        best = verdict.best
        if best is None:
            return None
        same = self._intents[best.ident] == intent
        self._acceptance.learn(verdict, same)
        others = () if same else verdict.rivals
        return next(
            (one.answer for one in (best, *others) if self._intents[one.ident] == intent), None
        )
