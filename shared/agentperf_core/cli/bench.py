"""`bench`: the support desk, bare against plug-ins, in interleaved pairs with an interval."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agentperf_core.bench import AgentBenchmark, ScriptedEndpoint
from agentperf_core.bench.endpoint import Provider
from agentperf_core.bench.workloads import (
    SCENARIO,
    DeskAgent,
    SupportDesk,
    desk_agents,
    desk_reply,
    play,
)
from agentperf_core.cli.demo import PROFILE, check_frameworks

if TYPE_CHECKING:
    from agentperf_core.cli._types import Commands

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("bench", help="time the support desk, bare against plug-ins")
    parser.add_argument("--framework", default="langchain", help="langchain or llamaindex")
    parser.add_argument("--runs", type=int, default=10, help="interleaved pairs to measure")
    parser.add_argument("--warmup", type=int, default=1, help="pairs before them")
    parser.add_argument("--seed", type=int, default=7, help="seed of latency and bootstrap")
    parser.add_argument("--time-scale", type=float, default=0.1, help="factor on the waits")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    agents = desk_agents()
    check_frameworks([options.framework], agents)
    kind = agents[options.framework]
    print(
        f"{options.framework}: {len(SCENARIO)} user turns a run against a scripted stand-in on "
        f"loopback, waits scaled by {options.time_scale:g}, a fresh agent and cache every run\n"
    )
    comparison = asyncio.run(
        AgentBenchmark(seed=options.seed).acompare(
            _target(kind, options, plugins=False),
            _target(kind, options, plugins=True),
            pairs=options.runs,
            warmup=options.warmup,
            names=("bare", "with plug-ins"),
        )
    )
    print(comparison)
    if options.json is not None:
        options.json.write_text(comparison.to_json(), encoding="utf-8")
        print(f"wrote {options.json}")
    return 0


def _target(
    kind: type[DeskAgent], options: argparse.Namespace, *, plugins: bool
) -> Callable[[], Awaitable[None]]:
    async def scenario() -> None:
        with (
            SupportDesk() as desk,
            ScriptedEndpoint(
                desk_reply, latency=PROFILE, seed=options.seed, time_scale=options.time_scale
            ) as endpoint,
        ):
            provider = Provider(endpoint.base_url, "stand-in")
            await play(kind, desk, provider=provider, plugins=plugins)

    return scenario
