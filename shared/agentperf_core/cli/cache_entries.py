"""`cache inspect | invalidate | clear`: single entries, those with a tag, or all of them."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from agentperf_core.cache.inspection import (
    contents,
    entries,
    find_entry,
    forget,
    question_of,
)
from agentperf_core.cache.stored import Stored
from agentperf_core.cache.stores import Store
from agentperf_core.cli._figures import byte_size, entries_of
from agentperf_core.cli.cache_progress import Progress
from agentperf_core.errors import ConfigError
from agentperf_core.telemetry.report import _format as fmt
from agentperf_core.telemetry.report.table import table

if TYPE_CHECKING:
    from agentperf_core.cli._types import Commands

__all__ = ["register"]

T = TypeVar("T")

_SHOWN_KEY = 16  # digits, as decisions show them
_TICK_S = 0.2


def register(
    actions: Commands,
    shared: argparse.ArgumentParser,
    on_store: Callable[..., Callable[[argparse.Namespace], int]],
) -> None:
    """Add the commands to the parser of `cache`."""
    parser = actions.add_parser("inspect", parents=[shared], help="list entries, or show one")
    parser.add_argument("key", nargs="?", default="", help="a key or its beginning")
    parser.add_argument("--limit", type=int, default=20, help="entries at most (default: 20)")
    parser.add_argument("--show-text", action="store_true", help="with questions and answers")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=on_store(_inspect))
    parser = actions.add_parser("invalidate", parents=[shared], help="forget by tag or key")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--tag", help="every entry with this tag")
    which.add_argument("--key", help="one entry; the beginning of its key is enough")
    parser.set_defaults(run=on_store(_invalidate))
    parser = actions.add_parser("clear", parents=[shared], help="forget all of the namespace")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(run=on_store(_clear))


def _inspect(store: Store, options: argparse.Namespace) -> int:
    if options.limit < 1:
        msg = f"--limit must be > 0, got {options.limit!r}; leave it out for 20"
        raise ConfigError(msg)
    with Progress("keys seen") as progress:
        found = list(islice(entries(store, options.key, progress=progress), options.limit + 1))
    listed, more = found[: options.limit], len(found) > options.limit
    is_one = len(listed) == 1 and listed[0].key == options.key
    if options.key and not listed:
        print(f"agentperf-pack: no entry's key begins with {options.key!r}", file=sys.stderr)
        return 1
    if options.json:
        shown = [one.as_dict(show_text=options.show_text) for one in listed]
        print(json.dumps(shown[0] if is_one else shown, indent=2))
    elif is_one:
        _show_one(store, listed[0], show_text=options.show_text)
    elif listed:
        print(_listing(listed, show_text=options.show_text))
        if more:
            print(f"(the first {options.limit:,}; --limit shows more)")
    else:
        print("no entries")
    return 0


def _listing(listed: Sequence[Stored], *, show_text: bool) -> str:
    headers = ["key", "kind", "age", "time left", "bytes", "model", "tokens", "tags"]
    rows = [list(_cells(one)) for one in listed]
    if show_text:
        headers.append("question and answer")
        rows = [[*row, _text(one)] for row, one in zip(rows, listed, strict=True)]
    return table(headers, rows)


def _cells(one: Stored) -> Iterator[str | None]:
    entry = one.entry
    yield fmt.clean(one.key, _SHOWN_KEY + 3) if len(one.key) <= _SHOWN_KEY else _short(one.key)
    yield one.kind
    yield None if one.age_s is None else fmt.seconds(one.age_s)
    yield one.problem or _left(one)
    yield byte_size(one.size)
    yield None if entry is None or entry.model is None else fmt.clean(entry.model, 24)
    yield None if entry is None or entry.usage is None else f"{entry.usage.total_tokens:,}"
    yield None if entry is None else fmt.clean(", ".join(entry.tags), 40)


def _short(key: str) -> str:
    """As decisions show it, if it is a digest; a key of the user's own in full."""
    is_digest = len(key) == 64 and all(c in "0123456789abcdef" for c in key)
    return key[:_SHOWN_KEY] if is_digest else fmt.clean(key, 64)


def _left(one: Stored) -> str:
    if one.left_s is None:
        return "no end" if one.kind == "answer" else ""
    return f"{fmt.seconds(one.left_s)}, stale" if one.is_stale else fmt.seconds(one.left_s)


def _text(one: Stored) -> str:
    if one.entry is None:
        return ""
    question = one.entry.question
    asked = "" if question is None else f"{fmt.clean(question.text, 60)} -> "
    return asked + fmt.clean(json.dumps(dict(one.entry.body), ensure_ascii=False), 80)


def _show_one(store: Store, one: Stored, *, show_text: bool) -> None:
    entry = one.entry
    rows = [["key", fmt.clean(one.key, 200)], ["kind", one.kind], ["size", byte_size(one.size)]]
    if entry is None:
        print(table(["entry", "value"], [*rows, ["problem", one.problem]]))
        return
    rows += [
        ["age", fmt.seconds(one.age_s or 0.0)],
        ["time left", _left(one)],
        ["the model took", "" if entry.took_s is None else fmt.seconds(entry.took_s)],
        ["model", fmt.clean(entry.model or "", 100)],
        ["tags", fmt.clean(", ".join(entry.tags), 200)],
        ["scope", entry.question.scope if entry.question is not None else ""],
    ]
    if entry.usage is not None:
        counts = entry.usage.as_dict()
        rows += [[name.replace("_", " "), f"{n:,}"] for name, n in counts.items() if n]
    print(table(["entry", "value"], [row for row in rows if row[1]]))
    if show_text:
        question = question_of(store, one.key) if entry.question is None else entry.question.text
        if question is not None:
            print(f"\nquestion: {fmt.clean(question, 2000)}")
        print(f"\n{json.dumps(dict(entry.body), indent=2)}")
    else:
        print("(--show-text shows what was asked and answered)")


def _invalidate(store: Store, options: argparse.Namespace) -> int:
    if options.key is not None:
        key = find_entry(store, options.key)
        print(f"forgot {fmt.plural(forget(store, key), 'value')} of {_short(key)}")
        return 0
    gone = _watched("forgetting", lambda: store.invalidate(options.tag))
    if not gone:
        print(f"agentperf-pack: no entry has the tag {options.tag!r}", file=sys.stderr)
        return 1
    print(f"forgot {entries_of(gone)} with the tag {options.tag!r}")
    return 0


def _clear(store: Store, options: argparse.Namespace) -> int:
    if not options.yes:
        if not sys.stdin.isatty():
            msg = "clear must be confirmed, got no terminal to ask on; add --yes"
            raise ConfigError(msg)
        with Progress("values read") as progress:
            held = contents(store, progress=progress)
        number = sum(held.entries.values())
        asked = f"Forget {fmt.plural(number, 'value')} ({entries_of(held.answers)})"
        if input(f"{asked} of {store!r}? [y/N] ").strip().lower() not in {"y", "yes"}:
            print("nothing was done")
            return 1
    gone = _watched("clearing", store.clear)
    print(f"forgot {fmt.plural(gone, 'value')} of {store!r}")
    return 0


def _watched(label: str, work: Callable[[], T]) -> T:
    """Do one long step of a store, and show that it goes on."""
    done = threading.Event()

    def tick(progress: Progress) -> None:
        seconds = 0.0
        while not done.wait(_TICK_S):
            seconds += _TICK_S
            progress(int(seconds))

    with Progress(f"{label}, seconds") as progress:
        ticking = threading.Thread(target=tick, args=(progress,), daemon=True)
        ticking.start()
        try:
            return work()
        finally:
            done.set()
            ticking.join()
