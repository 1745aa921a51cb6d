"""Run every benchmark and write `RESULTS.md`, each table under the command that made it.

What stands below the line "Run by hand" in RESULTS.md is kept as it is, and so are sections that
are not run: with arguments, only commands that hold one of them are; what needs data is run where
the environment names its folder (`AGENTPERF_DATA`).
"""

from __future__ import annotations

import argparse
import ast
import datetime as dt
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
BY_HAND = "## Run by hand"
PACKAGES = ("langchain", "langchain-core", "llama-index-core", "openai", "pydantic", "orjson")
SCRIPTS = (
    "bench_handler.py",
    "bench_instrument.py",
    "bench_exact_cache.py",
    "bench_single_flight.py",
    "bench_tokens.py",
    "bench_eviction.py",
    "bench_redis_store.py",
    "tools_latency.py",
)
DATA = "$AGENTPERF_DATA"
SEMANTIC = "$AGENTPERF_DATA/semantic_cache"
COMMANDS = (
    ("", "benchmarks/cache_latency.py"),
    (
        "",
        (
            f"benchmarks/semantic_stream.py --data {SEMANTIC}/banking77_train.csv.gz "
            "--seeds 1 2 3 4 5 --max-error 0.005"
        ),
    ),
    (
        "The same under a budget of 1 %, with one label in ten flipped.",
        (
            f"benchmarks/semantic_stream.py --data {SEMANTIC}/banking77_train.csv.gz "
            "--seeds 1 2 3 4 5 --max-error 0.01 --label-noise 0.1"
        ),
    ),
    ("", "benchmarks/plans.py --seed 1"),
    ("", f"benchmarks/semantic_pairs.py --data {SEMANTIC}/qqp_dev.jsonl.gz"),
    (
        (
            "Tools called before they are asked for: rules from the first half of the tasks, with "
            "thresholds cross-validated inside it, scored on the other half."
        ),
        f"benchmarks/prefetch.py --data {DATA}/tools/tau_bench/gpt-4o-airline.json",
    ),
    (
        "",
        (
            f"benchmarks/memory_replay.py --data {DATA}/memory/locomo --budget 4096 8192 16384 "
            f"--tau {DATA}/tools/tau_bench/gpt-4o-airline.json"
        ),
    ),
    (
        (
            "Documents of eight passages made shorter for a question: share that still holds the "
            "answer. Developed on the even lines, reported on the odd ones."
        ),
        (
            f"benchmarks/compression.py --data {DATA}/memory/questions/"
            "nq-open-oracle-part1.jsonl.gz --ratio 2 3 5"
        ),
    ),
    ("", f"benchmarks/semantic_followups.py --data {SEMANTIC}/banking77_train.csv.gz"),
    *(
        (
            (
                f"The support desk, bare against plug-ins, in {name}: whole scenario, interleaved "
                "pairs, median ratio with its bootstrap interval."
            ),
            f"-m agentperf_core bench --framework {name.lower()} --runs 8 --time-scale 1",
        )
        for name in ("LangChain", "LlamaIndex")
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="parts of commands; other sections are kept")
    only: list[str] = parser.parse_args().only
    kept = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    body, line, by_hand = kept.partition(BY_HAND)
    old = {part.partition("`")[0]: part for part in body.split("\n## `python ")[1:]}
    sections = [HEADER]
    for claim, command in (*((None, f"benchmarks/{script}") for script in SCRIPTS), *COMMANDS):
        wanted = not only or any(word in command for word in only)
        if wanted and (DATA not in command or "AGENTPERF_DATA" in os.environ):
            sections.append(section(claim or docstring(command), command, fenced=claim is not None))
        elif command in old:
            sections.append(f"## `python {old[command].strip()}")
    sections.append(line + by_hand.rstrip() if line else BY_HAND)
    RESULTS.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    print(f"wrote {RESULTS.relative_to(HERE.parent)}")


def docstring(command: str) -> str:
    """The claim of a script, which is what its docstring says."""
    script = HERE.parent / command.split(maxsplit=1)[0]
    return ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""


HEADER = (
    "# Results\n\n"
    "Made by `make bench`. Ratios are medians of alternating pairs in one process, with their "
    "95 % bootstrap interval; absolute times belong to this machine. Each section says when and "
    "with what it was made."
)


def made_with() -> str:
    """Day, machine, load and versions: sections are made on different days."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = os.getloadavg()[0]
    return (
        f"Made on {dt.datetime.now(dt.UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"{os.cpu_count()} CPUs ({platform.machine()}), load {load:.1f} at the start; {packages}."
    )


def section(claim: str, command: str, *, fenced: bool = False) -> str:
    print(f"running python {command}", flush=True)
    made = made_with()
    done = subprocess.run(
        [sys.executable, *os.path.expandvars(command).split()],
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"python {command} failed:\n{done.stderr}")
    output = done.stdout.strip()
    if fenced:
        output = f"```text\n{output}\n```"
    return f"## `python {command}`\n\n{claim}\n\n{output}\n\n{made}"


if __name__ == "__main__":
    main()
