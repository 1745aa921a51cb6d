"""`cache tune`: what each budget and guard profile would do with the user's own questions."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from agentperf_core.cache.embedding.queue import QuestionEmbedder
from agentperf_core.cache.semantic.guards import PROFILES
from agentperf_core.cache.semantic.shared import SharedQuestions
from agentperf_core.cache.stores import Store
from agentperf_core.cache.tuning.advice import Advice, advised, state_to_save
from agentperf_core.cache.tuning.data import read_data, texts_of
from agentperf_core.cache.tuning.rehearsal import Tuning
from agentperf_core.cache.tuning.trials import Share, Trial
from agentperf_core.cli._figures import percent
from agentperf_core.cli.cache_progress import Progress
from agentperf_core.clock import SYSTEM_CLOCK
from agentperf_core.errors import AgentPerfError, ConfigError
from agentperf_core.telemetry.report.table import table

if TYPE_CHECKING:
    from agentperf_core.cli._types import Commands

__all__ = ["register"]

Run: TypeAlias = Callable[[argparse.Namespace], int]

_BUDGETS = (0.002, 0.005, 0.01)


def register(
    actions: Commands,
    shared: argparse.ArgumentParser,
    on_store: Callable[[Callable[[Store, argparse.Namespace], int]], Run],
    plain_spoken: Callable[[Run], Run],
) -> None:
    """Add the command to the parser of `cache`."""
    parser = actions.add_parser(
        "tune", parents=[shared], help="try the semantic tier on your own labelled questions"
    )
    parser.add_argument("--data", type=Path, required=True, help="JSON lines of pairs, or a CSV")
    parser.add_argument(
        "--embedder", required=True, help="name or path of a model, or MODULE:OBJECT of your own"
    )
    parser.add_argument("--max-error", type=float, nargs="+", default=list(_BUDGETS))
    parser.add_argument("--guards", nargs="+", choices=list(PROFILES), default=list(PROFILES))
    parser.add_argument("--split", help="only rows with this value in their field `split`")
    parser.add_argument("--seed", type=int, default=1, help="of the order of a stream")
    parser.add_argument("--in-order", action="store_true", help="keep the stream's order")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--save", action="store_true", help="keep what was learnt in the store")
    parser.add_argument("--yes", action="store_true", help="replace what the store has learnt")
    saving, trying = on_store(_run), plain_spoken(partial(_run, None))

    def run(options: argparse.Namespace) -> int:
        return saving(options) if options.save else trying(options)

    parser.set_defaults(run=run)


def _run(store: Store | None, options: argparse.Namespace) -> int:
    budgets: list[float] = sorted(set(options.max_error))
    if options.save and len(budgets) > 1:
        msg = f"--save needs one budget, got {budgets}; add --max-error with the one to keep"
        raise ConfigError(msg)
    data = read_data(options.data, split=options.split)
    number = len(texts_of(data))
    embedder = QuestionEmbedder(_encoder(options.embedder), cache_size=number + 1, max_batch=64)
    shared = _shared(store, embedder.name, replace=options.yes)
    seed = None if options.in_order else options.seed
    with Progress("questions encoded", number) as progress:
        tuning = Tuning(data, embedder, seed=seed, progress=progress)
    judged = tuning.requests * (1 if tuning.is_stream else 2)
    trials: list[Trial] = []
    for max_error in budgets:
        for guards in options.guards:
            label = f"budget {percent(max_error)}, {guards}"
            with Progress(f"{label}: requests judged", judged) as progress:
                trials += tuning.trials(max_error=max_error, guards=guards, progress=progress)
    advice = advised(trials)
    if options.json:
        print(json.dumps(_as_dict(tuning, trials, advice), indent=2))
    else:
        print("\n".join(_lines(tuning, trials, advice)))
    if shared is not None:
        said = _save(shared, tuning, advice[0])
        if not options.json:
            print(f"\n{said}")
    return 0


def _encoder(name: str) -> object:
    """What gives vectors: an object of the user's own, or the name or path of a model.

    Raises:
        ConfigError: if there is no such object.
    """
    module, separator, attribute = name.partition(":")
    if not separator or Path(name).exists() or not attribute.isidentifier():
        return name
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        msg = f"--embedder must be a model or MODULE:OBJECT, got {name!r} ({error}); check both"
        raise ConfigError(msg) from error


def _shared(store: Store | None, embedder: str, *, replace: bool) -> SharedQuestions | None:
    """Where to save, looked at before anything takes long."""
    if store is None:
        return None
    shared = SharedQuestions(store, embedder, follow_s=5.0, clock=SYSTEM_CLOCK)
    if not replace and shared.load_state() is not None:
        msg = "--save must not replace what caches have learnt, got a store with such; add --yes"
        raise ConfigError(msg)
    return shared


def _save(shared: SharedQuestions, tuning: Tuning, advice: Advice) -> str:
    if advice.take is None:
        msg = "nothing was saved: no setting keeps the budget"
        raise AgentPerfError(msg)
    take = advice.take
    learnt = tuning.learnt(max_error=take.max_error, guards=take.guards)
    shared.save_state(state_to_save(learnt))
    return f"Saved what {learnt.labels:,} labels taught, for caches with this embedder."


# Output -------------------------------------------------------------------------------------------


def _lines(tuning: Tuning, trials: Sequence[Trial], advice: Sequence[Advice]) -> Iterator[str]:
    kind = "requests of a stream" if tuning.is_stream else "pairs, each judged as one request"
    yield f"{tuning.requests:,} {kind}"
    if tuning.equal:
        share = percent(tuning.equal / tuning.requests)
        yield f"{tuning.equal:,} of them ({share}) are equal but for their form: served anyway"
    if tuning.refused:
        yield f"{tuning.refused:,} questions were refused by the encoder: misses"
    yield ""
    yield table(
        [
            "budget",
            "guards",
            "learnt",
            "served by meaning",
            "95 % interval",
            "wrong",
            "to",
            "keeps it",
        ],
        [_row(trial) for trial in trials],
    )
    yield "(shares of all requests)\n"
    for one in advice:
        yield from _advice(one)


def _row(trial: Trial) -> list[str]:
    return [
        percent(trial.max_error),
        trial.guards,
        "yes" if trial.learnt else "as shipped",
        percent(trial.served.rate),
        f"{percent(trial.served.low)} to {percent(trial.served.high)}",
        percent(trial.wrong.rate),
        percent(trial.wrong.high),
        "yes" if trial.keeps_budget else "perhaps" if trial.wrong.rate <= trial.max_error else "no",
    ]


def _advice(one: Advice) -> Iterator[str]:
    budget = f"Budget {percent(one.max_error)}:"
    if one.take is None:
        yield (
            f"{budget} no setting keeps it on these data. Measure with mode='shadow', or try "
            "another encoder."
        )
        return
    take = one.take
    how = "after learning" if take.learnt else "as shipped"
    yield f"{budget} take max_error={take.max_error:g}, guards={take.guards!r}, {how}."
    yield f"  It serves {_with(take.served)} and is wrong on {_with(take.wrong)} of all requests."
    if not one.is_certain:
        more = "more" if one.needed is None else f"some {float(f'{one.needed:.2g}'):,.0f}"
        yield f"  Whether it keeps the budget is open: {more} requests would tell."
    for other in one.over[:1]:
        yield (
            f"  {other.guards!r}{'' if other.learnt else ' as shipped'} would serve "
            f"{percent(other.served.rate)}, and be wrong on up to {percent(other.wrong.high)}."
        )


def _with(share: Share) -> str:
    return f"{percent(share.rate)} ({percent(share.low)} to {percent(share.high)})"


def _as_dict(tuning: Tuning, trials: Sequence[Trial], advice: Sequence[Advice]) -> dict[str, Any]:
    return {
        "requests": tuning.requests,
        "equal": tuning.equal,
        "refused": tuning.refused,
        "trials": [_plain(trial) for trial in trials],
        "advice": [
            {
                "max_error": one.max_error,
                "take": None if one.take is None else _plain(one.take),
                "certain": one.is_certain,
                "requests_needed": one.needed,
            }
            for one in advice
        ],
    }


def _plain(trial: Trial) -> dict[str, Any]:
    shares = {"served": trial.served._asdict(), "wrong": trial.wrong._asdict()}
    return asdict(trial) | shares | {"keeps_budget": trial.keeps_budget}
