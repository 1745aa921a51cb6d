"""`bench`: the support desk, bare against plug-ins, in interleaved pairs with an interval."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agentperf_core.bench import AgentBenchmark
from agentperf_core.bench.workloads import (
    SCENARIO,
    DeskAgent,
    DeskPlugins,
    SupportDesk,
    desk_agents,
    desk_plugins,
    play,
)
from agentperf_core.cli._provider import add_options, introduction, provider
from agentperf_core.cli.demo import check_frameworks, encoder_or_reason

if TYPE_CHECKING:
    from agentperf_core.cli._types import Commands

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("bench", help="time the support desk, bare against plug-ins")
    parser.add_argument("--framework", default="langchain", help="langchain or llamaindex")
    parser.add_argument("--runs", type=int, default=10, help="interleaved pairs to measure")
    parser.add_argument("--warmup", type=int, default=1, help="pairs before them")
    add_options(parser, time_scale=0.1)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    agents = desk_agents()
    check_frameworks([options.framework], agents)
    kind = agents[options.framework]
    print(introduction(options))
    turns = f"{len(SCENARIO)} user turns a run, a fresh agent and cache every run"
    print(f"{options.framework}: {turns}\n", flush=True)
    encoder, missing = encoder_or_reason()
    if missing:
        print(missing)
    comparison = asyncio.run(
        AgentBenchmark(seed=options.seed).acompare(
            _target(kind, options, lambda: None),
            _target(kind, options, lambda: desk_plugins(encoder=encoder)),
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
    kind: type[DeskAgent],
    options: argparse.Namespace,
    plugins: Callable[[], DeskPlugins | None],
) -> Callable[[], Awaitable[None]]:
    async def scenario() -> None:
        with SupportDesk() as desk, provider(options) as there:
            await play(kind, desk, provider=there, model=options.model, plugins=plugins())

    return scenario
