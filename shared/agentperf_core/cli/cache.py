"""`cache stats | inspect | invalidate | clear | tune`: a look into a store, and its upkeep."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias

from agentperf_core.cache.stores import Store
from agentperf_core.cache.stores.opening import close_store, open_store, without_secrets
from agentperf_core.cli import cache_entries, cache_stats, cache_tune
from agentperf_core.errors import ConfigError

if TYPE_CHECKING:
    from agentperf_core.cli._types import Commands

__all__ = ["VARIABLE", "register"]

VARIABLE = "AGENTPERF_STORE"
_TIMEOUT_S = 5.0  # nobody waits for an answer of a model here

Run: TypeAlias = Callable[[argparse.Namespace], int]
OnStore: TypeAlias = Callable[[Store, argparse.Namespace], int]


def register(commands: Commands) -> None:
    """Add the command and its own commands to the parser."""
    parser = commands.add_parser("cache", help="look into a cache's store, empty it, tune it")
    actions = parser.add_subparsers(dest="action", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--store",
        metavar="URL",
        default=os.environ.get(VARIABLE),
        help=f"sqlite:PATH or redis://... (default: the environment's {VARIABLE})",
    )
    shared.add_argument(
        "--namespace", default="agentperf", help="whose entries (default: %(default)s)"
    )
    for module in (cache_stats, cache_entries):
        module.register(actions, shared, _on_store)
    cache_tune.register(actions, shared, _on_store, _plain_spoken)


def _on_store(work: OnStore) -> Run:
    """The command with the store open; what a store may raise is one sentence."""

    def run(options: argparse.Namespace) -> int:
        with ExitStack() as stack:
            store = _opened(options)
            stack.callback(close_store, store)
            return work(store, options)

    return _plain_spoken(run)


def _plain_spoken(run: Run) -> Run:
    def said(options: argparse.Namespace) -> int:
        try:
            return run(options)
        except ConfigError as error:
            return _said(error, 2)
        except KeyboardInterrupt:
            return _said("interrupted; what was done so far is done", 130)
        except Exception as error:
            if not _is_of_store(error):
                raise
            reason = str(error).partition("\n")[0] or type(error).__name__
            return _said(f"cannot use {without_secrets(options.store)}: {reason}", 1)

    return said


def _opened(options: argparse.Namespace) -> Store:
    if not options.store:
        msg = f"store must be given, got none; write --store sqlite:PATH or set {VARIABLE}"
        raise ConfigError(msg)
    store = open_store(
        options.store, namespace=options.namespace, timeout_s=_TIMEOUT_S, must_exist=True
    )
    if store.in_process:
        msg = f"store must be one that outlives its process, got {options.store!r}; give another"
        raise ConfigError(msg)
    return store


def _is_of_store(error: Exception) -> bool:
    """Whether a file or a server failed, and not this program."""
    of_redis = type(error).__module__.partition(".")[0] == "redis"
    return of_redis or isinstance(error, sqlite3.Error | OSError)


def _said(message: object, status: int) -> int:
    print(f"agentperf-pack: {message}", file=sys.stderr)
    return status
