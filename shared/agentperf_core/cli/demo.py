"""`demo`: a support desk in both frameworks, bare, with the pack's caches, and started anew."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from agentperf_core.bench.endpoint import (
    Provider,
    ScriptedEndpoint,
)
from agentperf_core.bench.workloads import (
    SCENARIO,
    DeskAgent,
    DeskPlugins,
    Played,
    SupportDesk,
    desk_agents,
    desk_plugins,
    desk_reply,
    packaged_encoder,
    play,
)
from agentperf_core.cache import GuardedStore, SQLiteStore
from agentperf_core.cli._desk_tables import in_other_words, who_answered
from agentperf_core.cli._provider import add_options, introduction, provider
from agentperf_core.errors import ConfigError, MissingExtra
from agentperf_core.telemetry import LatencyReport
from agentperf_core.telemetry.report.compare import compare

if TYPE_CHECKING:
    from agentperf_core.cli._types import Commands

__all__ = ["Arm", "check_frameworks", "encoder_or_reason", "register", "run_arm"]

_WIDTH = 100
_PATIENCE_S = 5.0
_RELOADED = "The stored questions are read behind the first request. "

# What a framework's demo agent needs.
_EXTRAS = {"langchain": "langchain,openai", "llamaindex": "llamaindex"}


@dataclass(frozen=True, slots=True)
class Arm:
    """What one run of the scenario gave.

    Attributes:
        played: answers, decisions of the caches and the recorded runs.
        tickets: tickets written to the database.
        tools_ran: tool calls that reached the desk.
    """

    played: Played
    tickets: int
    tools_ran: int

    @property
    def report(self) -> LatencyReport:
        """The recorded runs, one per turn."""
        return self.played.report

    @property
    def answers(self) -> tuple[str, ...]:
        """The agent's answers in order."""
        return self.played.answers


def run_arm(
    kind: type[DeskAgent], *, provider: Provider, model: str, plugins: DeskPlugins | None
) -> Arm:
    """Play the scenario once with a fresh desk and a fresh agent."""
    with SupportDesk() as desk:
        played = asyncio.run(play(kind, desk, provider=provider, model=model, plugins=plugins))
        return Arm(played, desk.tickets(), desk.tools_ran())


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


def encoder_or_reason() -> tuple[Any, str]:
    """The encoder of the semantic tier, or `None` and what is missing for it."""
    try:
        return packaged_encoder(), ""
    except MissingExtra as error:
        return None, f"No semantic tier, only exact and normalised: {error}."


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
    encoder, missing = encoder_or_reason()
    print(_filled(missing or "Encoder of the semantic tier: all-MiniLM-L6-v2, on this CPU."))
    for name in wanted:
        _warm_up(agents[name], options.model, encoder)
        file = options.out / f"{name}-cache.sqlite3"
        _empty(file)
        desk = _Desk(agents[name], name, options)
        with provider(options) as there:
            bare = desk.played("bare", there)
        # One for both: an answer belongs to the address of its model.
        with provider(options) as there:
            plugged = desk.stored("plugins", there, file, encoder)
            anew = desk.stored("anew", there, file, encoder)
        _show(name, options.out, file, (bare, plugged, anew), is_semantic=encoder is not None)
    return 0


@dataclass(frozen=True, slots=True)
class _Desk:
    """One framework's agent, and where its reports go."""

    kind: type[DeskAgent]
    name: str
    options: argparse.Namespace

    def played(self, label: str, there: Provider, plugins: DeskPlugins | None = None) -> Arm:
        arm = run_arm(self.kind, provider=there, model=self.options.model, plugins=plugins)
        path = self.options.out / f"{self.name}-{label}"
        arm.report.save_json(path.with_suffix(".json"))
        arm.report.save_html(path.with_suffix(".html"), title=f"{self.name}: {label}")
        return arm

    def stored(self, label: str, there: Provider, file: Path, encoder: object) -> Arm:
        """With caches that are new, over a file that may not be."""
        with closing(SQLiteStore(file, timeout_s=_PATIENCE_S)) as store:
            # More patience than the 50 ms of a cache at work: here every hit is counted.
            guarded = GuardedStore(store, budget_s=_PATIENCE_S)
            return self.played(label, there, desk_plugins(guarded, encoder=encoder))


def _show(
    name: str, out: Path, file: Path, arms: tuple[Arm, Arm, Arm], *, is_semantic: bool
) -> None:
    bare, plugged, _ = arms
    print(f"\n== {name}: {len(SCENARIO)} user turns ==\n")
    print(compare(bare.report, plugged.report, names=("bare", "with plug-ins")))
    names = ("bare", "with plug-ins", "started anew")
    rows = ((arm.played, arm.tools_ran) for arm in arms)
    print(f"\n{who_answered(dict(zip(names, rows, strict=True)))}")
    print(
        _filled(
            "Started anew: another agent with new cache objects, which know nothing but the file "
            f"of the run before. {_RELOADED if is_semantic else ''}Tools that write run every time."
        )
    )
    print(f"\n{in_other_words(plugged.played)}")
    print("\nWhat the bare run's figures advise:")
    for finding in bare.report.diagnose():
        print(_filled(f"- {finding}", indent="  "))
    print(f"\nWaterfall: {out / f'{name}-plugins.html'} (and -bare.html, -anew.html, .json)")
    print(f"The store: python -m agentperf_core cache stats --store sqlite:{file}")


def _filled(text: str, *, indent: str = "") -> str:
    return fill(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _empty(file: Path) -> None:
    """Forget what an earlier demo has stored there."""
    with closing(SQLiteStore(file, timeout_s=_PATIENCE_S)) as store:
        store.clear()


def _warm_up(kind: type[DeskAgent], model: str, encoder: object) -> None:
    """Play once for nothing: else the first arm alone pays for lazy imports and first clients."""
    with ScriptedEndpoint(desk_reply, time_scale=0) as endpoint:
        there = Provider(endpoint.base_url, "stand-in")
        run_arm(kind, provider=there, model=model, plugins=desk_plugins(encoder=encoder))
