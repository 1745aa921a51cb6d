"""Faults on purpose: which request fails, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from agentperf_core.bench.endpoint.latency import seeded_for
from agentperf_core.errors import ConfigError

if TYPE_CHECKING:
    from agentperf_core.bench.endpoint.script import ChatRequest

__all__ = ["Fault", "FaultKind", "FaultPlan", "plan_of"]

FaultKind: TypeAlias = Literal[
    "rate_limit", "server_error", "timeout", "drop", "drop_stream", "truncate_stream"
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail a request.

    Attributes:
        kind: `"rate_limit"` (429 with Retry-After), `"server_error"` (`status`), `"timeout"` (no
            byte until the client leaves or the server stops), `"drop"` (closed before the
            headers), `"drop_stream"` (closed in the middle of the body), `"truncate_stream"`
            (a clean end without finish reason; the clients of both frameworks accept it).
        at: the number of the request that it hits, counted from 0; `None` makes it a candidate
            for the endpoint's `fault_rate`.
        retry_after_s: seconds in the Retry-After header of a rate limit.
        after_chunks: chunks that a broken stream delivers first.
        status: the status of a server error, 500 to 599.

    Raises:
        ConfigError: for an unknown kind or a value out of range.

    Example:
        >>> Fault("rate_limit", at=0, retry_after_s=0.1).kind
        'rate_limit'
    """

    kind: FaultKind
    at: int | None = None
    retry_after_s: float = 1.0
    after_chunks: int = 1
    status: int = 500

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            msg = f"a fault is one of {get_args(FaultKind)!r}, got {self.kind!r}; pick one of them"
            raise ConfigError(msg)
        numbers = (self.at or 0, self.retry_after_s, self.after_chunks)
        if min(numbers) < 0 or not 500 <= self.status <= 599:
            msg = (
                "at, retry_after_s and after_chunks are >= 0 and status is 500 to 599, got "
                f"{(*numbers, self.status)!r}; change the fault"
            )
            raise ConfigError(msg)


FaultPlan: TypeAlias = "Callable[[ChatRequest], Fault | None]"


def plan_of(faults: FaultPlan | Sequence[Fault], *, rate: float, seed: int) -> FaultPlan:
    """Turn a list of faults and a rate into a plan; a callable is a plan already.

    The draw depends on the request and its occurrence, as latency does, so a retry draws anew.

    Raises:
        ConfigError: if the rate is no share, or has no candidate to draw, or draws nothing.
    """
    candidates = [] if callable(faults) else [f for f in faults if f.at is None]
    if not 0 <= rate <= 1 or (rate > 0) != bool(candidates):
        msg = (
            f"fault_rate={rate!r} draws from the {len(candidates)} faults without at=: pass a "
            "rate in 0..1 together with such faults, or neither"
        )
        raise ConfigError(msg)
    if callable(faults):
        return faults
    fixed = {fault.at: fault for fault in faults if fault.at is not None}

    def plan(request: ChatRequest) -> Fault | None:
        if request.number in fixed:
            return fixed[request.number]
        rng = seeded_for(seed, request, "fault")
        return rng.choice(candidates) if rng.random() < rate else None

    return plan
