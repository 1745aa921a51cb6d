"""Aim: a tool call through the executor costs at most 40 us above the bare tool; sync tools of an
async run wait together and not in the event loop's six threads; a sync wrapper does not stop the
loop; a hung tool costs its siblings nothing; tools start while the model writes and nothing of the
request is lost for it; equal calls are one call; and equal runs have equal prompts.

Each section is a module with a `figures()` function. Stock LangGraph, LangChain and LlamaIndex, and
`eager-tools-langgraph` where it is installed, run in the same process in turn with ours, in random
order. "half of them" is the middle half of the runs. "reached" compares the median with the goal;
"best run only" says that the machine was too busy, or that ours is too slow. CPU time is that of
the process; a wall time holds whatever else the machine does, so the load stands below.

Whole agents have the framework's own work in their times, "cpu best ms": LlamaIndex's workflows
copy the state of all calls that run at every event, and LangGraph makes a task of each call.

    python benchmarks/tools_latency.py --json out.json                 all of it, in six minutes
    python benchmarks/tools_latency.py --only early hung               some of it
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from _common import table
from _tools_common import BEST_ONLY, Groups, Row

# Section and the module that measures it.
SECTIONS = {
    "overhead": "_tools_overhead",
    "sync_tools": "_tools_sync",
    "sync_wrapper": "_tools_wrapper",
    "hung": "_tools_hung",
    "early": "_tools_early",
    "equal_calls": "_tools_equal",
    "order": "_tools_order",
}

PACKAGES = (
    "langchain",
    "langchain-core",
    "langgraph",
    "llama-index-core",
    "llama-index-workflows",
    "eager-tools-langgraph",
)
# What is said again of the rows that miss their goal.
MISSED = ("what", "best_ms", "median_ms", "above_best_us", "above_median_us", "goal", "reached")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=list(SECTIONS))
    options = parser.parse_args()
    # LlamaIndex calls what pydantic and itself have deprecated, at every step of an agent.
    warnings.simplefilter("ignore", DeprecationWarning)
    found: dict[str, Any] = {}
    loads = [os.getloadavg()[0]]
    for name in options.only:
        groups: Groups = importlib.import_module(SECTIONS[name]).figures()
        for group, rows in groups.items():
            print(f"### {name.replace('_', ' ')}: {group}\n\n{shown(rows)}\n", flush=True)
        found[name] = groups
        loads.append(os.getloadavg()[0])
    summary = {"goals": goals(found), "missed": missed(found)}
    for name, rows in summary.items():
        print(f"### {name}\n\n{shown(rows) if rows else 'none'}\n")
    found |= summary
    found["load"] = {"from": min(loads), "to": max(loads), "processors": os.cpu_count()}
    found["versions"] = versions()
    said = ", ".join(f"{name} {value}" for name, value in found["versions"].items())
    print(f"Load {min(loads):.1f} to {max(loads):.1f} on {os.cpu_count()} processors; {said}.")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Of the packages that are compared."""
    found: dict[str, str] = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def shown(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    headers = [name.replace("_", " ") for name in names]
    return table(headers, [[str(row.get(name, "")) for name in names] for row in rows])


def goals(found: Mapping[str, Groups]) -> list[Row]:
    """How many of the rows with a goal reach it, section by section."""
    return [
        {
            "section": section.replace("_", " "),
            "goals": len(said),
            "reached": said.count("yes"),
            "best_run_only": said.count(BEST_ONLY),
        }
        for section, groups in found.items()
        for said in [[row["reached"] for rows in groups.values() for row in rows if "goal" in row]]
    ]


def missed(found: Mapping[str, Groups]) -> list[Row]:
    """The rows that miss their goal."""
    return [
        {"section": section.replace("_", " "), "group": group}
        | {name: row[name] for name in row if name in MISSED}
        for section, groups in found.items()
        for group, rows in groups.items()
        for row in rows
        if row.get("reached", "yes") != "yes"
    ]


if __name__ == "__main__":
    main()
