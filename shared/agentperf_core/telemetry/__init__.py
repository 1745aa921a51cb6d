"""Measure runs: record them, see where time and money went, and what to change."""

from agentperf_core.telemetry.analysis import (
    KindShare,
    Segment,
    breakdown,
    critical_path,
)
from agentperf_core.telemetry.diagnosis import diagnose
from agentperf_core.telemetry.digest import input_digest
from agentperf_core.telemetry.findings import Finding, Thresholds
from agentperf_core.telemetry.latency import LatencyReport
from agentperf_core.telemetry.quantiles import Quantile, quantile, quantiles
from agentperf_core.telemetry.recorder import Recorder
from agentperf_core.telemetry.spans import Sink, Span, SpanKind, Trace
from agentperf_core.telemetry.told import Closing, Opening
from agentperf_core.telemetry.whatif import replay_s

__all__ = [
    "Closing",
    "Finding",
    "KindShare",
    "LatencyReport",
    "Opening",
    "Quantile",
    "Recorder",
    "Segment",
    "Sink",
    "Span",
    "SpanKind",
    "Thresholds",
    "Trace",
    "breakdown",
    "critical_path",
    "diagnose",
    "input_digest",
    "quantile",
    "quantiles",
    "replay_s",
]
