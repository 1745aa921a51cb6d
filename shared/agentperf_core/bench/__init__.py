"""Benchmarks of agents, and the scripted OpenAI-compatible server that they can run against."""

from agentperf_core.bench.endpoint import (
    ChatRequest,
    Fault,
    LatencyProfile,
    Lognormal,
    Reply,
    Script,
    ScriptedEndpoint,
    ScriptedReplies,
    provider_from_env,
)
from agentperf_core.bench.harness import AgentBenchmark
from agentperf_core.bench.results import BenchResult, Comparison
from agentperf_core.bench.stats import Estimate, Summary, bootstrap_median, median_ratio, summarize

__all__ = [
    "AgentBenchmark",
    "BenchResult",
    "ChatRequest",
    "Comparison",
    "Estimate",
    "Fault",
    "LatencyProfile",
    "Lognormal",
    "Reply",
    "Script",
    "ScriptedEndpoint",
    "ScriptedReplies",
    "Summary",
    "bootstrap_median",
    "median_ratio",
    "provider_from_env",
    "summarize",
]
