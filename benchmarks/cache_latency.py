"""Claim: a cache hit costs microseconds where LangChain's own costs half a millisecond, streams hit
within 5 ms, and equal calls at once are one model call.

Each section is a module with a `figures()` function; peers run in the same process, side by side.
CPU time of the process where it says so; wall time depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Section and the module that measures it.
SECTIONS = {"langchain": "_cache_langchain"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=list(SECTIONS))
    options = parser.parse_args()
    found = {name: importlib.import_module(SECTIONS[name]).figures() for name in options.only}
    for section, groups in found.items():
        for group, values in groups.items():
            print(f"\n{section}: {group}")
            show(values)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def show(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            print(f"  {name:<55} {', '.join(f'{k} {v}' for k, v in value.items())}")
        else:
            print(f"  {name:<55} {value:10.2f}")


if __name__ == "__main__":
    main()
