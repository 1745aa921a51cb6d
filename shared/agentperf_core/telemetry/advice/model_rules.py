"""Rules about model calls: speed, repetition, number, prompt length, streaming."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from statistics import median

from agentperf_core.telemetry.advice import fixes
from agentperf_core.telemetry.advice.context import Context
from agentperf_core.telemetry.advice.estimates import (
    input_beyond,
    price_difference,
    price_of_input,
    seconds_per_token,
    speed_up,
)
from agentperf_core.telemetry.analysis import turns_of
from agentperf_core.telemetry.findings import Finding
from agentperf_core.telemetry.spans import Span, SpanKind

__all__ = ["long_prompts", "many_steps", "no_streaming", "repeated_requests", "slow_model"]


def slow_model(context: Context) -> Iterator[Finding]:
    """Model calls that dominate the run, or single ones over the limit."""
    report, limits = context.report, context.thresholds
    share = next((s for s in report.breakdown if s.kind is SpanKind.LLM), None)
    if share is None:
        return
    slow = [span for span in report.llm_calls if span.seconds > limits.llm_seconds]
    if share.share <= limits.llm_share and not slow:
        return
    evidence = f"Model calls took {share.share:.0%} of the time ({share.critical_s:.2f} s)"
    if slow:
        longest = max(slow, key=lambda span: span.seconds)
        evidence += (
            f", {len(slow)} of them over {limits.llm_seconds:g} s "
            f"(longest {longest.seconds:.2f} s, {longest.model or longest.name})"
        )
    part, basis = speed_up(context)
    saving = context.saving_s(
        lambda span: (
            round((span.end_ns - span.start_ns) * part(span)) if span.kind is SpanKind.LLM else None
        )
    )
    yield Finding(
        rule="slow-model",
        severity=context.severity(share.critical_s),
        evidence=evidence + ".",
        advice="Answer the easy turns with a faster model.",
        fix=fixes.FASTER_MODEL,
        saving_s=saving,
        saving_usd=price_difference(context),
        basis=basis,
    )


def repeated_requests(context: Context) -> Iterator[Finding]:
    """Model calls with the same input as an earlier one: an exact cache answers them."""
    seen: set[object] = set()
    repeated: list[Span] = []
    cost = Decimal(0)
    priced = True
    for trace in context.report.traces:
        for span in trace.of_kind(SpanKind.LLM):
            mark = span.attributes.get("input_hash")
            if mark is None:
                continue
            key = (span.model, mark)
            if key in seen:
                repeated.append(span)
                priced = priced and span.cost_usd is not None
                cost += span.cost_usd or Decimal(0)
            elif span.status == "ok":
                # What failed is not cached: trying it again is no repetition.
                seen.add(key)
    if not repeated:
        return
    saving = context.saving_of_skipping(repeated)
    yield Finding(
        rule="repeated-requests",
        severity=context.severity(saving),
        evidence=(
            f"{len(repeated)} of {len(context.report.llm_calls)} model calls repeat an earlier one."
        ),
        advice="Cache exact answers.",
        fix=fixes.EXACT_CACHE,
        saving_s=saving,
        saving_usd=cost if priced else None,
        basis="the repeated calls replayed at zero length",
    )


def many_steps(context: Context) -> Iterator[Finding]:
    """Runs with more model turns than the limit."""
    limit = context.thresholds.steps
    over = [n for n in context.report.steps if n > limit]
    if not over:
        return
    extra = [turn for trace in context.report.traces for turn in turns_of(trace)[limit:]]
    yield Finding(
        rule="many-steps",
        severity="high",
        evidence=f"{len(over)} runs took more than {limit} model turns (most: {max(over)}).",
        advice="Ask for several tool calls in one turn, or give a tool that does the whole job.",
        fix=fixes.FEWER_STEPS,
        saving_s=context.saving_of_skipping(extra),
        basis=f"{len(extra)} turns beyond the limit replayed at zero length",
    )


def long_prompts(context: Context) -> Iterator[Finding]:
    """Requests with more input tokens than the limit."""
    limit = context.thresholds.request_tokens
    long = [s for s in context.report.llm_calls if s.usage and s.usage.input_tokens > limit]
    if not long:
        return
    slope = seconds_per_token(context.report.llm_calls)
    # By identity: ids are unique within one trace only, and spans are not hashable.
    over = {id(s): input_beyond(s.usage, limit) for s in long if s.usage is not None}
    saving = None
    if slope is not None:
        saving = context.saving_s(
            lambda s: (
                max(round(s.end_ns - s.start_ns - slope * cut.uncached_input_tokens * 1e9), 0)
                if (cut := over.get(id(s))) is not None
                else None
            )
        )
    costs = [price_of_input(span, over[id(span)]) for span in long]
    known = [cost for cost in costs if cost is not None]
    yield Finding(
        rule="long-prompts",
        severity="high" if len(long) * 2 > len(context.report.llm_calls) else "low",
        evidence=(
            f"{len(long)} requests had over {limit:,} input tokens "
            f"(most: {max(s.usage.input_tokens for s in long if s.usage):,})."
        ),
        advice="Trim the history and the tool schemas that are sent.",
        fix=fixes.SHORTER_PROMPT,
        saving_s=saving,
        saving_usd=sum(known, Decimal(0)) if len(known) == len(long) else None,
        basis="tokens over the limit left out"
        + ("" if slope is not None else "; seconds unknown, TTFT does not follow the prompt here"),
    )


def no_streaming(context: Context) -> Iterator[Finding]:
    """Last answers of runs that were not streamed: the user could read earlier."""
    last = [calls[-1] for t in context.report.traces if (calls := list(t.of_kind(SpanKind.LLM)))]
    silent = [span for span in last if not span.streamed and span.status == "ok"]
    if not silent or sum(s.seconds for s in silent) < context.thresholds.llm_seconds:
        return
    first = [s.ttft_s / s.seconds for s in context.report.llm_calls if s.ttft_s and s.seconds]
    saving = sum(s.seconds for s in silent) * (1 - median(first)) if first else None
    yield Finding(
        rule="no-streaming",
        severity="low",
        evidence=f"{len(silent)} final answers ({_mean(silent):.2f} s each) were not streamed.",
        advice="Stream the final answer: the user reads from the first token on.",
        fix=fixes.STREAMING,
        saving_s=saving,
        basis="time to first token of the streamed calls, as a part of their length"
        if first
        else "",
    )


def _mean(spans: Sequence[Span]) -> float:
    return sum(span.seconds for span in spans) / len(spans)
