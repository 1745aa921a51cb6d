"""Giving the stored answer of one question to another that means the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeAlias, TypeVar

from agentperf_core.cache.answers import AnswerCodec, Hit, Question
from agentperf_core.cache.exact.cache import ExactCache
from agentperf_core.cache.exact.lease import Lease
from agentperf_core.cache.exact.upkeep import ENTRY_DIGITS
from agentperf_core.cache.semantic.aliases import Alias, Aliases
from agentperf_core.cache.semantic.looked import Looked, Looking
from agentperf_core.cache.semantic.tier import SemanticTier
from agentperf_core.flow import Flow

__all__ = ["Mode", "Serving"]

T = TypeVar("T")

Mode: TypeAlias = Literal["serve", "shadow"]
"""Serve what is accepted, or only measure what would have been served."""


class Serving(ExactCache):
    """An exact cache that can give answers by meaning; `SemanticCache` says when.

    Attributes:
        mode: whether it does.
        tier: finds and judges the questions.
        aliases: what the same words were given before.
    """

    mode: Mode
    tier: SemanticTier
    aliases: Aliases

    def asked_before(self, lease: Lease[T], codec: AnswerCodec[T]) -> Flow[Hit[T] | None]:
        """What the same words were given before, without another look-up or a call begun for it."""
        alias = self.aliases.get(lease.request.key)
        if alias is None or self.mode == "shadow":
            return None
        return (yield from self._served(lease, codec, alias, {}))

    def searched(
        self, lease: Lease[T], question: Question, codec: AnswerCodec[T]
    ) -> Flow[Hit[T] | None]:
        """The stored answer of a question that means the same; never raises."""
        lease.memo = looked = yield from self.tier.look(question)
        return (yield from self._accepted(lease, looked, codec, {}))

    def begin(self, lease: Lease[T], question: Question) -> Looking:
        """Look beside a call that is under way; the lease keeps the look-up."""
        lease.memo = looking = self.tier.begin(question)
        return looking

    def found(
        self, lease: Lease[T], question: Question, codec: AnswerCodec[T], looking: Looking
    ) -> Flow[Hit[T] | None]:
        """The stored answer that was found beside a call, which is then given up; never raises."""
        lease.memo = looked = yield from self.tier.result(question, looking)
        return (yield from self._accepted(lease, looked, codec, {"abandoned": True}))

    def _accepted(
        self,
        lease: Lease[T],
        looked: Looked | None,
        codec: AnswerCodec[T],
        details: Mapping[str, Any],
    ) -> Flow[Hit[T] | None]:
        if looked is None or looked.best is None or not looked.servable:
            return None
        verdict, key = looked.verdict, lease.request.key
        alias = Alias(looked.best.key, verdict.reason, verdict.chance)
        hit = yield from self._served(lease, codec, alias, details)
        if hit is not None and key is not None:
            self.aliases.remember(key, alias)
        return hit

    def _served(
        self, lease: Lease[T], codec: AnswerCodec[T], alias: Alias, details: Mapping[str, Any]
    ) -> Flow[Hit[T] | None]:
        """The answer that is meant, by the policy of the request that it is given to."""
        request = replace(lease.request, key=alias.key, wording=None)
        entry = yield from self._entry(request)
        if entry is None:  # gone; one that is only too old for this request may serve another
            self.tier.forget(lease.request.question, alias.key)
            self.aliases.forget([alias.key])
            return None
        if self._freshness(request, entry) != "fresh":
            return None
        said: Mapping[str, Any] = {
            "tier": "semantic",
            "reason": alias.reason,
            "score": alias.score,
            "entry": alias.key[:ENTRY_DIGITS],
            **details,
        }
        hit = self.serve(lease.request, entry, codec, "hit", **said)
        if hit is not None:
            # Who waits for the same words finds them among the aliases, and its own decision.
            lease.pass_on(None)
        return hit
