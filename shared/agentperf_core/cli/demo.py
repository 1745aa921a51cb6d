"""`demo`: a support desk in both frameworks, first bare, then with the pack's plug-ins."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agentperf_core.bench.endpoint import (
    LatencyProfile,
    Lognormal,
    Provider,
    ScriptedEndpoint,
    provider_from_env,
)
from agentperf_core.bench.workloads import (
    SCENARIO,
    SYSTEM_PROMPT,
    DeskAgent,
    SupportDesk,
    desk_agents,
    desk_reply,
    play,
)
from agentperf_core.telemetry import LatencyReport
from agentperf_core.telemetry.report.compare import compare

if TYPE_CHECKING:
    from agentperf_core.cli._types import Commands

__all__ = ["Arm", "register", "run_arm"]

# A small hosted model on a good day. The demo is about the ratio of the arms, not about these.
PROFILE = LatencyProfile(ttft_s=Lognormal(0.12, 0.3), tokens_per_s=Lognormal(240.0, 0.15))


@dataclass(frozen=True, slots=True)
class Arm:
    """What one run of the scenario gave.

    Attributes:
        report: the recorded runs, one per turn.
        answers: the agent's answers in order.
        tickets: tickets written to the database.
    """

    report: LatencyReport
    answers: tuple[str, ...]
    tickets: int


def run_arm(kind: type[DeskAgent], *, provider: Provider, model: str, plugins: bool) -> Arm:
    """Play the scenario once with a fresh desk and a fresh agent."""

    async def run(desk: SupportDesk) -> Arm:
        agent = kind(
            tools=desk.tools,
            system_prompt=SYSTEM_PROMPT,
            model=model,
            base_url=provider.base_url,
            api_key=provider.api_key,
            plugins=plugins,
        )
        try:
            answers = await play(agent)
            return Arm(agent.report(), tuple(answers), desk.tickets())
        finally:
            await agent.close()

    with SupportDesk() as desk:
        return asyncio.run(run(desk))


def register(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("demo", help="a support desk in both frameworks, with and without")
    parser.add_argument("--out", type=Path, default=Path("agentperf-demo"), help="output folder")
    parser.add_argument("--framework", action="append", help="only this one (repeatable)")
    parser.add_argument("--model", default="gpt-4o-mini", help="model name (prices follow it)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the stand-in's latency")
    parser.add_argument(
        "--time-scale", type=float, default=1.0, help="factor on the stand-in's waits"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    agents = desk_agents()
    wanted: list[str] = options.framework or list(agents)
    unknown = [name for name in wanted if name not in agents]
    if unknown or not wanted:
        have = ", ".join(agents) or "none: pip install 'agentperf-pack[all]'"
        print(f"agentperf-pack: no such framework installed: {unknown}; have {have}")
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    _introduce(options)
    for name in wanted:
        arms: list[LatencyReport] = []
        for plugins in (False, True):
            with _provider(options) as provider:
                arm = run_arm(agents[name], provider=provider, model=options.model, plugins=plugins)
            label = "plugins" if plugins else "bare"
            arm.report.save_json(options.out / f"{name}-{label}.json")
            arm.report.save_html(options.out / f"{name}-{label}.html", title=f"{name}: {label}")
            arms.append(arm.report)
        print(f"\n== {name}: {len(SCENARIO)} user turns ==\n")
        print(compare(arms[0], arms[1], names=("bare", "with plug-ins")))
        print("\nWhat the bare run's figures advise:")
        for finding in arms[0].diagnose():
            print(f"- {finding}")
        print(f"\nWaterfall: {options.out / f'{name}-plugins.html'} (and -bare.html, .json)")
    return 0


def _introduce(options: argparse.Namespace) -> None:
    if provider_from_env() is not None:
        print(f"Model: {options.model} at OPENAI_BASE_URL.")
        return
    print(
        "Model: a scripted stand-in on loopback, no provider and no network "
        f"(TTFT median {PROFILE.ttft_s.median * options.time_scale:.2f} s, "
        f"{PROFILE.tokens_per_s.median:.0f} tokens/s, seed {options.seed}). "
        f"Prices are those of {options.model}.\n"
        "Set OPENAI_API_KEY and OPENAI_BASE_URL to run against a real one."
    )
    sys.stdout.flush()


@contextmanager
def _provider(options: argparse.Namespace) -> Generator[Provider]:
    """The real provider, or a stand-in of its own for every arm, so that draws are equal."""
    real = provider_from_env()
    if real is not None:
        yield real
        return
    with ScriptedEndpoint(
        desk_reply, latency=PROFILE, seed=options.seed, time_scale=options.time_scale
    ) as endpoint:
        yield Provider(endpoint.base_url, "stand-in")
