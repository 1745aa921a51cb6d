"""Where the demo and the benchmark send their requests: a real provider, or the stand-in."""

from __future__ import annotations

import argparse
from collections.abc import Generator
from contextlib import contextmanager

from agentperf_core.bench.endpoint import (
    LatencyProfile,
    Lognormal,
    Provider,
    ScriptedEndpoint,
    provider_from_env,
)
from agentperf_core.bench.workloads import desk_reply

__all__ = ["add_options", "introduction", "provider"]

# A small hosted model on a good day. What counts is the ratio of the arms, not these.
_PROFILE = LatencyProfile(ttft_s=Lognormal(0.12, 0.3), tokens_per_s=Lognormal(240.0, 0.15))


def add_options(parser: argparse.ArgumentParser, *, time_scale: float) -> None:
    """The options that say which model answers, and how fast the stand-in is."""
    parser.add_argument("--model", default="gpt-4o-mini", help="model name (prices follow it)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the stand-in's latency")
    parser.add_argument(
        "--time-scale", type=float, default=time_scale, help="factor on the stand-in's waits"
    )


def introduction(options: argparse.Namespace) -> str:
    """Who answers, for the first lines of the output."""
    if provider_from_env() is not None:
        return f"Model: {options.model} at OPENAI_BASE_URL."
    return (
        "Model: a scripted stand-in on loopback, no provider and no network\n"
        f"(TTFT median {_PROFILE.ttft_s.median * options.time_scale:g} s, "
        f"{_PROFILE.tokens_per_s.median:.0f} tokens/s, waits scaled by {options.time_scale:g}, "
        f"seed {options.seed}). Prices are those of {options.model}.\n"
        "Set OPENAI_API_KEY and OPENAI_BASE_URL to run against a real one."
    )


@contextmanager
def provider(options: argparse.Namespace) -> Generator[Provider]:
    """The real provider, or a stand-in of its own for every arm, so that draws are equal."""
    real = provider_from_env()
    if real is not None:
        yield real
        return
    with ScriptedEndpoint(
        desk_reply, latency=_PROFILE, seed=options.seed, time_scale=options.time_scale
    ) as endpoint:
        yield Provider(endpoint.base_url, "stand-in")
