"""May this stored answer be served? Guards first, then a score that learns, within a budget.

`max_error` is the share of *all* requests that may get a wrong stored answer. Until labels come in,
shipped weights and cautious guards decide; from then on the threshold is the lowest whose expected
number of wrong answers, with its uncertainty, stays within the budget. What it cannot see: answers
that go stale (a TTL's task), and labels that are wrong: a judge that errs costs hits. With one
label in ten flipped they fall to less than half, and the error stays far within the budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, cast

from agentperf_core.cache.semantic.cold import ColdStart
from agentperf_core.cache.semantic.contrast import Contrast
from agentperf_core.cache.semantic.features import (
    FARTHEST,
    Candidate,
    first_allowed,
    neighbourhood,
    pair_features,
    rivals_of,
    soft_refusal,
)
from agentperf_core.cache.semantic.guards import GuardProfile, profile_of
from agentperf_core.cache.semantic.learner import MOST_COUNT, Learner
from agentperf_core.cache.semantic.prior import SHIPPED, Prior
from agentperf_core.cache.semantic.records import Counts, Records
from agentperf_core.cache.semantic.scale import Scale
from agentperf_core.cache.semantic.verdict import ErrorEstimate, Verdict
from agentperf_core.cache.semantic.wording import Wording
from agentperf_core.errors import ConfigError, require_positive

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
        require_positive(max_error=max_error)
        for name, share in (("max_error", max_error), ("shadow_share", shadow_share)):
            if not isinstance(cast("object", share), int | float) or not 0 <= share < 1:
                raise ConfigError(f"{name} must be a share below 1, got {share!r}; leave it out")
        self.max_error = max_error
        self.profile = profile_of(profile)
        self.shadow_share = shadow_share
        self._random = Random(seed)  # noqa: S311 - a sample for measuring, nothing secret
        self._pair_weights = prior.pair
        self._cold = ColdStart(prior, max_error=max_error)
        self._pairs = Learner(prior.pair, cold_threshold=self._cold.pair, max_error=max_error)
        self._crowds = Learner(
            prior.neighbours, cold_threshold=self._cold.neighbours, max_error=max_error
        )
        self._records = Records()
        self._counts = Counts()
        self._scale = Scale()

    def judge(self, question: Wording, candidates: Sequence[Candidate]) -> Verdict:
        """Decide whether one of the nearest entries may answer the question.

        Args:
            question: what is asked.
            candidates: the nearest entries of the same scope, best first; eight are enough.
        """
        if self._scale.high:
            candidates = [replace(c, cosine=self._scale.of(c.cosine)) for c in candidates]
        chosen = first_allowed(
            question, candidates, hard=self.profile.hard, reported=self._records.reported
        )
        if isinstance(chosen, str):
            learner = self._pairs if len(candidates) < CROWD else self._crowds
            learner.saw(None)
            self._counts.judged(accepted=False, shadow=False)
            best = candidates[0] if candidates else None
            return Verdict(
                False, False, chosen, 0.0, learner.threshold, best, rivals_of(best, candidates)
            )
        return self._scored(candidates, *chosen)

    def learn(self, verdict: Verdict, same: bool) -> None:  # noqa: FBT001 - a label, as in the text books
        """Learn whether the fresh answer equals that of the verdict's `best`.

        What was accepted counts as checked, also if it was not drawn for a check: there is a fresh
        answer, so the stored one was not served (an entry that is gone, a cache that only watches).
        """
        best = verdict.best
        if best is None:
            return
        self._records.label(best.answer, same=same)
        if verdict.accept:
            self._counts.checked(shadow=verdict.shadow, same=same)
        if verdict.features and best.cosine >= FARTHEST:
            # Only what was drawn stands for others; a cache that only watches labels everything.
            count = min(MOST_COUNT, 1 / max(verdict.propensity, 1e-6)) if verdict.shadow else 1.0
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

    def observe_background(self, cosines: Iterable[float]) -> None:
        """Learn what the encoder makes of questions that have nothing to do with each other.

        Until then high cosines are not trusted. Not part of the state: an encoder may change.
        Give it `background_of` the vectors of `PROBES`, see `scale`.

        Example:
            >>> a, b = "How do I track my parcel?", "How do I cancel my subscription?"
            >>> acceptance, near = Acceptance(seed=1), Candidate(0, "answer-1", a, cosine=0.9)
            >>> acceptance.judge(Wording.of(b), [near]).reason
            'unknown-scale'
            >>> acceptance.observe_background([0.8] * 28)
            >>> round(acceptance.judge(Wording.of(b), [near]).best.cosine, 2)
            0.59
        """
        self._scale.observe(cosines)

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
        """Wrong answers as a share of all requests, from the checks of accepted answers.

        Where nothing is served and everything checked, it says what serving would have done.
        """
        return self._counts.estimate(shadow_share=self.shadow_share)

    def state(self) -> dict[str, Any]:
        """Everything learned, as plain JSON (a few hundred kilobytes at most)."""
        return {
            "version": STATE_VERSION,
            "counts": self._counts.state(),
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
        self._counts.restore(state["counts"])
        self._records.restore(state["records"])

    def _scored(self, candidates: Sequence[Candidate], place: int, contrast: Contrast) -> Verdict:
        best = candidates[place]
        alone = len(candidates) < CROWD
        soft = soft_refusal(contrast, self.profile)
        features = pair_features(contrast, best.cosine, soft=bool(soft))
        pair = sum(x * y for x, y in zip(features, self._pair_weights, strict=True))
        if not alone:
            record = self._records.standing(best.answer)
            features = neighbourhood(place, candidates, pair=pair, record=record, soft=bool(soft))
        learner = self._pairs if alone else self._crowds
        learner.saw(features)
        score, threshold = learner.score(features), learner.threshold
        accept, reason = score >= threshold, "score"
        if not learner.trained:
            refused = self._cold.refusal(contrast, pair, soft=soft, scale_known=self._scale.known)
            if refused is not None:
                accept, reason = False, refused
        shadow = accept and self._random.random() < self.shadow_share
        self._counts.judged(accepted=accept, shadow=shadow)
        rivals = rivals_of(best, candidates)
        propensity = (self.shadow_share or 1.0) if accept else 1.0
        return Verdict(
            accept, shadow, reason, score, threshold, best, rivals, features, propensity, alone
        )

    def _learner(self, verdict: Verdict) -> Learner:
        return self._pairs if verdict.alone else self._crowds
