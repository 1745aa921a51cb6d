"""Advice from figures: what is slow or dear, what fixes it, and what the fix would save.

Every saving is a what-if on the recorded span tree (see `whatif`), never a rule of thumb; where the
recording does not hold what an estimate needs, the saving is `None` and the basis says why.
"""

from __future__ import annotations

from agentperf_core.errors import ConfigError
from agentperf_core.telemetry.advice import RULES, Context
from agentperf_core.telemetry.figures import RunFigures
from agentperf_core.telemetry.findings import Finding, Thresholds

__all__ = ["diagnose"]


def diagnose(
    report: RunFigures,
    thresholds: Thresholds | None = None,
    *,
    faster_than: float = 0.5,
    cheaper_model: str | None = None,
) -> list[Finding]:
    """What to change, high severity first, then the largest saving; empty if all is well.

    Args:
        report: the runs to look at; failed and zero-length runs are fine.
        thresholds: when a figure counts; default `Thresholds()`.
        faster_than: assumed duration of a faster model's call as a part of today's, used only
            where no other model in the report shows a measured speed.
        cheaper_model: a model name whose price the faster-model finding is computed with.

    Raises:
        ConfigError: if `faster_than` is not between 0 and 1.
    """
    if not 0 < faster_than < 1:
        msg = f"faster_than is a part between 0 and 1, got {faster_than!r}; 0.5 means twice as fast"
        raise ConfigError(msg)
    context = Context(report, thresholds or Thresholds(), faster_than, cheaper_model)
    found = [finding for rule in RULES for finding in rule(context)]
    return sorted(found, key=lambda f: (f.severity != "high", -(f.saving_s or 0.0)))
