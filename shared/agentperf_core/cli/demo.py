"""`demo`: a support desk in both frameworks, first bare, then with the pack's plug-ins."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from agentperf_core.bench.endpoint import (
    Provider,
    ScriptedEndpoint,
)
from agentperf_core.bench.workloads import (
    SCENARIO,
    DeskAgent,
    SupportDesk,
    desk_agents,
    desk_reply,
    play,
)
from agentperf_core.cli._provider import add_options, introduction, provider
from agentperf_core.errors import ConfigError, MissingExtra
from agentperf_core.telemetry import LatencyReport
from agentperf_core.telemetry.report.compare import compare

if TYPE_CHECKING:
    from agentperf_core.cli._types import Commands

__all__ = ["Arm", "check_frameworks", "register", "run_arm"]

_WIDTH = 100

# What a framework's demo agent needs.
_EXTRAS = {"langchain": "langchain,openai", "llamaindex": "llamaindex"}


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
    with SupportDesk() as desk:
        answers, report = asyncio.run(
            play(kind, desk, provider=provider, model=model, plugins=plugins)
        )
        return Arm(report, tuple(answers), desk.tickets())


def check_frameworks(wanted: Sequence[str], agents: Mapping[str, object]) -> None:
    """Refuse frameworks whose demo agent cannot be imported here.

    Raises:
        MissingExtra: naming them and the extras that bring them.
        ConfigError: for a name that no framework has.
    """
    for name in wanted or _EXTRAS:
        if name not in _EXTRAS and name not in agents:
            msg = f"framework must be one of {sorted(_EXTRAS)}, got {name!r}; choose one of these"
            raise ConfigError(msg)
        if wanted and name not in agents:
            extra = _EXTRAS[name]
            msg = f"the {name} agent needs its framework: pip install 'agentperf-pack[{extra}]'"
            raise MissingExtra(msg, module=name, extra=extra)
    if not wanted:
        msg = "the demo needs a framework, and none is installed: pip install " + " or ".join(
            f"'agentperf-pack[{extra}]'" for extra in _EXTRAS.values()
        )
        raise MissingExtra(msg, module="langchain", extra="all")


def register(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("demo", help="a support desk in both frameworks, with and without")
    parser.add_argument("--out", type=Path, default=Path("agentperf-demo"), help="output folder")
    parser.add_argument("--framework", action="append", help="only this one (repeatable)")
    add_options(parser, time_scale=1.0)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    agents = desk_agents()
    wanted: list[str] = options.framework or list(agents)
    check_frameworks(wanted, agents)
    options.out.mkdir(parents=True, exist_ok=True)
    print(introduction(options), flush=True)
    for name in wanted:
        _warm_up(agents[name], options.model)
        arms: list[LatencyReport] = []
        for plugins in (False, True):
            with provider(options) as there:
                arm = run_arm(agents[name], provider=there, model=options.model, plugins=plugins)
            label = "plugins" if plugins else "bare"
            arm.report.save_json(options.out / f"{name}-{label}.json")
            arm.report.save_html(options.out / f"{name}-{label}.html", title=f"{name}: {label}")
            arms.append(arm.report)
        print(f"\n== {name}: {len(SCENARIO)} user turns ==\n")
        print(compare(arms[0], arms[1], names=("bare", "with plug-ins")))
        print("\nWhat the bare run's figures advise:")
        for finding in arms[0].diagnose():
            print(fill(f"- {finding}", _WIDTH, subsequent_indent="  ", break_on_hyphens=False))
        print(f"\nWaterfall: {options.out / f'{name}-plugins.html'} (and -bare.html, .json)")
    return 0


def _warm_up(kind: type[DeskAgent], model: str) -> None:
    """Play once for nothing: else the first arm alone pays for lazy imports and first clients."""
    with ScriptedEndpoint(desk_reply, time_scale=0) as endpoint:
        run_arm(kind, provider=Provider(endpoint.base_url, "stand-in"), model=model, plugins=True)
