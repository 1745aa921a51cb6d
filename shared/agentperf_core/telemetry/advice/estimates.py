"""Figures that rules estimate from the recording: speed, prices, seconds per prompt token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from statistics import median

from agentperf_core.accounting.pricing import PRICES
from agentperf_core.telemetry.advice.context import Context
from agentperf_core.telemetry.spans import Span
from agentperf_core.types import Usage

__all__ = ["input_beyond", "price_difference", "price_of_input", "seconds_per_token", "speed_up"]


def speed_up(context: Context) -> tuple[Callable[[Span], float], str]:
    """What part of a call's time the fastest model seen would take for it, and how that is known.

    Speeds are seconds per output token; a call of the fastest model stays as it is.
    """
    by_model: dict[str, list[float]] = {}
    for span in context.report.llm_calls:
        if span.model is not None and span.usage is not None and span.usage.output_tokens:
            by_model.setdefault(span.model, []).append(span.seconds / span.usage.output_tokens)
    speeds = {model: median(times) for model, times in by_model.items()}
    if len(speeds) > 1:
        fast, slow = min(speeds, key=speeds.__getitem__), max(speeds, key=speeds.__getitem__)
        if 0 < speeds[fast] < speeds[slow]:
            times = speeds[slow] / speeds[fast]
            return (
                lambda span: speeds[fast] / speeds.get(span.model or "", speeds[fast]),
                f"every call at the speed of {fast}, here {times:.1f} times that of {slow}",
            )
    return (
        lambda _: context.faster_than,
        f"assuming a model that takes {context.faster_than:.0%} of today's time per call",
    )


def price_difference(context: Context) -> Decimal | None:
    """USD saved if the cheaper model that the user named had answered every call."""
    if context.cheaper_model is None or context.report.cost_usd is None:
        return None
    total = Decimal(0)
    for span in context.report.llm_calls:
        if span.usage is None or span.cost_usd is None:
            return None
        other = PRICES.price(span.usage, context.cheaper_model)
        if other is None:
            return None
        total += span.cost_usd - other
    return total


def input_beyond(usage: Usage, limit: int) -> Usage:
    """The input tokens over `limit`, taken from cached and uncached ones in proportion."""
    part = max(usage.input_tokens - limit, 0) / max(usage.input_tokens, 1)
    return Usage(
        uncached_input_tokens=round(usage.uncached_input_tokens * part),
        cached_input_tokens=round(usage.cached_input_tokens * part),
        cache_write_tokens=round(usage.cache_write_tokens * part),
    )


def price_of_input(span: Span, usage: Usage) -> Decimal | None:
    """USD that the span's model takes for `usage`; `None` if the call itself has no price."""
    if span.model is None or span.cost_usd is None:
        return None
    return PRICES.price(usage, span.model, provider=span.provider)


def seconds_per_token(calls: Sequence[Span]) -> float | None:
    """Least-squares slope of TTFT over uncached input tokens; `None` without a clear trend."""
    points = [
        (s.usage.uncached_input_tokens, s.ttft_s)
        for s in calls
        if s.usage is not None and s.ttft_s is not None
    ]
    if len(points) < 5:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        return None
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return slope if slope > 0 else None
