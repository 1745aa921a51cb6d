"""Claim: a cache hit costs microseconds where LangChain's own costs half a millisecond, streams hit
within 5 ms, equal calls at once are one model call, in two processes too, and a semantic look-up
costs the call nothing where it finds nothing.

Each section is a module with a `figures()` function; peers run in the same process, in turn with
ours, and what is not installed is named. CPU time of the process where it says so; wall time
depends on what else the machine does. "Peer takes times" is the ratio of the medians with its 95 %
bootstrap interval. The whole takes about two minutes.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Section and the module that measures it.
SECTIONS = {
    "langchain": "_cache_langchain",
    "llamaindex": "_cache_llamaindex",
    "stores": "_cache_stores",
    "semantic": "_cache_semantic",
    "processes": "_cache_processes",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=list(SECTIONS))
    options = parser.parse_args()
    found = {name: importlib.import_module(SECTIONS[name]).figures() for name in options.only}
    for section, groups in found.items():
        for group, values in groups.items():
            print(f"\n{section}: {group.replace('_', ' ')}")
            show(values)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def show(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            said = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in value.items())
        else:
            said = str(value)
        print(f"  {name:<56} {said}")


if __name__ == "__main__":
    main()
