"""Giving the stored answer of one question to another that means the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeAlias, TypeVar

from agentperf_core.cache.answers import AnswerCodec, Hit
from agentperf_core.cache.exact.cache import ExactCache
from agentperf_core.cache.exact.lease import Lease
from agentperf_core.cache.exact.upkeep import ENTRY_DIGITS
from agentperf_core.cache.semantic.aliases import Alias, Aliases
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

    def searched(
        self, lease: Lease[T], codec: AnswerCodec[T], **details: Any
    ) -> Flow[Hit[T] | None]:
        """The stored answer of a question that means the same; never raises."""
        question, request = lease.request.question, lease.request
        if question is None or self.mode == "shadow" or not self.tier.knows(question):
            return None
        hit = yield from self.asked_before(lease, codec)
        if hit is not None:
            return hit
        looked = yield from self.tier.look(question)
        lease.memo = looked
        if looked is None or looked.best is None:
            return None
        verdict, key = looked.verdict, looked.best.key
        if not verdict.accept or verdict.shadow:
            return None
        hit = yield from self._served(lease, codec, key, verdict.reason, verdict.chance, details)
        if hit is not None and request.key is not None:
            self.aliases.remember(request.key, Alias(key, verdict.reason, verdict.chance))
        return hit

    def asked_before(self, lease: Lease[T], codec: AnswerCodec[T]) -> Flow[Hit[T] | None]:
        """What the same words were given before, without another look-up or a call begun for it."""
        alias = self.aliases.get(lease.request.key)
        if alias is None or self.mode == "shadow":
            return None
        hit = yield from self._served(lease, codec, alias.key, alias.reason, alias.score, {})
        if hit is None:
            self.aliases.forget([alias.key])
        return hit

    def _served(
        self,
        lease: Lease[T],
        codec: AnswerCodec[T],
        key: str,
        reason: str,
        score: float,
        details: Mapping[str, Any],
    ) -> Flow[Hit[T] | None]:
        """The answer under `key`, by the policy of the request that it is given to."""
        entry = yield from self.look(replace(lease.request, key=key, wording=None))
        if entry is None:
            self.tier.memory.forget(key)
            return None
        said: Mapping[str, Any] = {
            "tier": "semantic",
            "reason": reason,
            "score": score,
            "entry": key[:ENTRY_DIGITS],
            **details,
        }
        hit = self.serve(lease.request, entry, codec, "hit", **said)
        if hit is not None:
            # Who waits for the same words finds them among the aliases, and its own decision.
            lease.pass_on(None)
        return hit
