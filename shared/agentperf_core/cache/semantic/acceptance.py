"""May this stored answer be served? Guards first, then a score that learns, within a budget.

`max_error` is the share of *all* requests that may get a wrong stored answer. Until labels come in,
shipped weights and cautious guards decide; from then on the threshold is the lowest whose expected
number of wrong answers, with its uncertainty, stays within the budget. What it cannot see: answers
that go stale (a TTL's task), and labels that are wrong: a judge that errs costs hits. With one
label in ten flipped they fall to less than half, and the error stays far within the budget.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

from agentperf_core.cache.semantic.contrast import Contrast
from agentperf_core.cache.semantic.features import (
    FARTHEST,
    Candidate,
    neighbourhood,
    pair_features,
    rivals_of,
    soft_refusal,
)
from agentperf_core.cache.semantic.guards import GuardProfile, profile_of, refusal_of
from agentperf_core.cache.semantic.learner import MOST_COUNT, Learner
from agentperf_core.cache.semantic.prior import SHIPPED, Prior
from agentperf_core.cache.semantic.records import Records
from agentperf_core.cache.semantic.verdict import ErrorEstimate, Verdict, estimate_error
from agentperf_core.cache.semantic.wording import Wording
from agentperf_core.errors import ConfigError

__all__ = ["Acceptance", "ErrorEstimate", "Verdict"]

CROWD = 4  # candidates from which on neighbours say more than the pair by itself
BAD_HIT = 10.0  # how often a reported bad hit counts
STATE_VERSION = 1


class Acceptance:
    """Judges stored answers and learns from what turns out.

    Thread-safe. `judge` takes tens of microseconds and never fits anything; call `refit` in the
    background when `refit_due` says so.

    Args:
        max_error: wrong answers served as a share of all requests, above 0 and below 1.
        profile: "strict", "balanced", "faq", or the names of guards that always hold.
        shadow_share: share of accepted answers that are checked by a real call.
        seed: of the draw of shadow checks; None for a random one.
        prior: the weights to start from.

    Raises:
        ConfigError: if an argument is out of its range.

    Example:
        >>> acceptance = Acceptance(max_error=0.01, seed=1)
        >>> near = Candidate(0, "answer-1", "How do I reset my password?", cosine=0.97)
        >>> acceptance.judge(Wording.of("How can I reset my password?"), [near]).accept
        True
        >>> acceptance.judge(Wording.of("How do I not reset my password?"), [near]).reason
        'negation'
    """

    def __init__(
        self,
        *,
        max_error: float = 0.005,
        profile: str | Iterable[str] | GuardProfile = "balanced",
        shadow_share: float = 0.03,
        seed: int | None = None,
        prior: Prior = SHIPPED,
    ) -> None:
        if not 0 < max_error < 1:
            raise ConfigError(f"max_error must be above 0 and below 1, not {max_error!r}")
        if not 0 <= shadow_share < 1:
            raise ConfigError(f"shadow_share must be from 0 to below 1, not {shadow_share!r}")
        self.max_error = max_error
        self.profile = profile_of(profile)
        self.shadow_share = shadow_share
        self._random = Random(seed)  # noqa: S311 - a sample for measuring, nothing secret
        self._pair_weights = prior.pair
        # A budget other than the usual one moves the cold thresholds by half of its log ratio.
        shift = 0.5 * math.log(0.005 / max_error)
        self._pairs = Learner(
            prior.pair, cold_threshold=prior.cold_pair + shift, max_error=max_error
        )
        self._crowds = Learner(
            prior.neighbours, cold_threshold=prior.cold_neighbours + shift, max_error=max_error
        )
        self._cold_pair = prior.cold_pair + shift
        self._records = Records()
        self._counts = {"requests": 0, "served": 0, "checked": 0, "wrong": 0}
        self._lock = threading.Lock()

    def judge(self, question: Wording, candidates: Sequence[Candidate]) -> Verdict:
        """Decide whether one of the nearest entries may answer the question.

        Args:
            question: what is asked.
            candidates: the nearest entries of the same scope, best first; eight are enough.
        """
        with self._lock:
            self._counts["requests"] += 1
        chosen = self._first_allowed(question, candidates)
        if isinstance(chosen, str):
            learner = self._pairs if len(candidates) < CROWD else self._crowds
            learner.saw(None)
            best = candidates[0] if candidates else None
            return Verdict(
                False, False, chosen, 0.0, learner.threshold, best, rivals_of(best, candidates)
            )
        return self._scored(candidates, *chosen)

    def learn(self, verdict: Verdict, same: bool) -> None:  # noqa: FBT001 - a label, as in the text books
        """Learn whether the fresh answer equals that of the verdict's `best`."""
        best = verdict.best
        if best is None:
            return
        self._records.label(best.answer, same=same)
        if verdict.shadow:
            with self._lock:
                self._counts["checked"] += 1
                self._counts["wrong"] += not same
        if verdict.features and best.cosine >= FARTHEST:
            count = min(MOST_COUNT, 1 / max(verdict.propensity, 1e-6))
            self._learner(verdict).learn(verdict.features, same=same, count=count)

    def learn_bad_hit(self, reported: Verdict | str) -> None:
        """Never serve an answer again that somebody found to be wrong; forget it with its entry.

        Args:
            reported: the verdict that served it, or the identity of the answer.
        """
        answer = reported if isinstance(reported, str) else reported.best and reported.best.answer
        if not answer:
            return
        self._records.report(answer)
        if isinstance(reported, Verdict) and reported.features:
            self._learner(reported).learn(reported.features, same=False, count=BAD_HIT)

    @property
    def refit_due(self) -> bool:
        """Whether enough labels have come in to learn from them."""
        return self._pairs.refit_due or self._crowds.refit_due

    def refit(self) -> None:
        """Fit the scores to the labels so far: milliseconds, so not on the path of a request."""
        for learner in (self._pairs, self._crowds):
            if learner.refit_due:
                learner.refit()

    @property
    def labels(self) -> int:
        """How many labels the scores rest on."""
        return self._pairs.labels + self._crowds.labels

    def estimate(self) -> ErrorEstimate:
        """Wrong answers served as a share of all requests, from the shadow checks."""
        with self._lock:
            counts = dict(self._counts)
        return estimate_error(**counts)

    def state(self) -> dict[str, Any]:
        """Everything learned, as plain JSON (a few hundred kilobytes at most)."""
        with self._lock:
            counts = dict(self._counts)
        return {
            "version": STATE_VERSION,
            "counts": counts,
            "records": self._records.state(),
            "pairs": self._pairs.state(),
            "crowds": self._crowds.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], **options: Any) -> Acceptance:
        """An acceptance that goes on where another one stopped; of another version, a fresh one.

        Args:
            state: what `state()` gave.
            **options: as for the constructor; they are not part of the state.

        Example:
            >>> Acceptance.from_state(Acceptance().state(), max_error=0.01).labels
            0
        """
        made = cls(**options)
        made.restore(state)
        return made

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state()` gave; that of another version says nothing."""
        if state.get("version") != STATE_VERSION:
            return
        self._pairs.restore(state["pairs"])
        self._crowds.restore(state["crowds"])
        self._counts.update({name: int(value) for name, value in state["counts"].items()})
        self._records.restore(state["records"])

    def _first_allowed(
        self, question: Wording, candidates: Sequence[Candidate]
    ) -> str | tuple[int, Contrast]:
        """The nearest entry that no guard forbids and its contrast, or why there is none."""
        reason = ""
        for place, candidate in enumerate(candidates):
            if self._records.reported(candidate.answer):
                reason = reason or "reported"
                continue
            contrast = Contrast(Wording.of(candidate.text), question)
            refused = refusal_of(contrast, self.profile.hard)
            if refused is None:
                return place, contrast
            reason = reason or refused
        return reason or "no-candidate"

    def _scored(self, candidates: Sequence[Candidate], place: int, contrast: Contrast) -> Verdict:
        best = candidates[place]
        alone = len(candidates) < CROWD
        soft = soft_refusal(contrast, self.profile)
        features = pair_features(contrast, best.cosine, soft=soft is not None)
        pair = sum(x * y for x, y in zip(features, self._pair_weights, strict=True))
        if not alone:
            record = self._records.standing(best.answer)
            features = neighbourhood(
                place, candidates, pair=pair, record=record, soft=soft is not None
            )
        learner = self._pairs if alone else self._crowds
        learner.saw(features)
        score, threshold = learner.score(features), learner.threshold
        accept, reason = score >= threshold, "score"
        if not learner.trained:
            if soft is not None:
                accept, reason = False, soft
            elif pair < self._cold_pair:
                accept = False
        shadow = accept and self._random.random() < self.shadow_share
        with self._lock:
            self._counts["served"] += accept and not shadow
        rivals, chance = rivals_of(best, candidates), self.shadow_share or 1.0
        propensity = chance if accept else 1.0
        return Verdict(
            accept, shadow, reason, score, threshold, best, rivals, features, propensity, alone
        )

    def _learner(self, verdict: Verdict) -> Learner:
        return self._pairs if verdict.alone else self._crowds
