"""How long an answer may be given: when its time is over, and what may still be done then."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from agentperf_core.cache.codec import Entry
from agentperf_core.cache.policy import CachePolicy
from agentperf_core.cache.stores.base import jittered

__all__ = ["Freshness", "Lifetime", "freshness", "lifetime", "rescues"]

Freshness: TypeAlias = Literal["fresh", "stale", "over"]
"""`"stale"` may be given at once while a new one is made; `"over"` may not."""


class Lifetime(NamedTuple):
    """When the time of a new entry is over.

    Attributes:
        fresh_until: seconds since the Unix epoch; `None` for never.
        until: when even stale use ends; `None` for never.
        keep_s: seconds that a store keeps it; `None` for as long as there is room.
    """

    fresh_until: float | None
    until: float | None
    keep_s: float | None


def lifetime(policy: CachePolicy, key: str, now: float, expires_at: float | None) -> Lifetime:
    """The lifetime of an answer made now.

    What it is built on ends it for good: past `expires_at` it is not given as a stale answer
    either.

    Args:
        policy: says how long.
        key: the entry's; it decides the jitter, so that all processes agree on it.
        now: seconds since the Unix epoch.
        expires_at: when the tool results that it is built on expire; `None` for never.
    """
    fresh_s = policy.ttl_s
    stale_s = max(policy.stale_ttl_s, policy.stale_if_error_s)
    if fresh_s is None:
        left = None if expires_at is None else expires_at - now
        return Lifetime(expires_at, expires_at, left)
    fresh_s = jittered(fresh_s, key, policy.ttl_jitter)
    if expires_at is None:
        return Lifetime(now + fresh_s, now + fresh_s + stale_s, fresh_s + stale_s)
    fresh_until = min(now + fresh_s, expires_at)
    until = min(now + fresh_s + stale_s, expires_at)
    return Lifetime(fresh_until, until, min(fresh_s + stale_s, expires_at - now))


def freshness(policy: CachePolicy, entry: Entry, now: float) -> Freshness:
    """What may be done with an entry now; a policy that was shortened counts at once."""
    over = _over(policy, entry)
    if over is None or now < over:
        return "fresh"
    return "stale" if _within(entry, now, over + policy.stale_ttl_s) else "over"


def rescues(policy: CachePolicy, entry: Entry, now: float) -> bool:
    """Whether an entry may be given now instead of the error of a call."""
    over = _over(policy, entry)
    return over is None or _within(entry, now, over + policy.stale_if_error_s)


def _over(policy: CachePolicy, entry: Entry) -> float | None:
    """When the time of an entry is over, by its own word and by the policy's."""
    if policy.ttl_s is None:
        return entry.fresh_until
    over = entry.made_at + policy.ttl_s
    return over if entry.fresh_until is None else min(over, entry.fresh_until)


def _within(entry: Entry, now: float, end: float) -> bool:
    return now < (end if entry.until is None else min(end, entry.until))
