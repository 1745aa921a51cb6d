"""Run every benchmark and write `RESULTS.md`, each table under the command that made it.

What stands below the line "Run by hand" in RESULTS.md is kept as it is.
"""

from __future__ import annotations

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
    "cache_latency.py",
)
COMMANDS = tuple(
    (
        (
            f"The support desk, bare against plug-ins, in {name}: whole scenario, interleaved "
            "pairs, median ratio with its bootstrap interval."
        ),
        f"-m agentperf_core bench --framework {name.lower()} --runs 10 --time-scale 1",
    )
    for name in ("LangChain", "LlamaIndex")
)


def main() -> None:
    sections = [header()]
    for script in SCRIPTS:
        claim = ast.get_docstring(ast.parse((HERE / script).read_text(encoding="utf-8"))) or ""
        sections.append(section(claim, f"benchmarks/{script}"))
    sections += [section(claim, command, fenced=True) for claim, command in COMMANDS]
    kept = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    _, line, by_hand = kept.partition(BY_HAND)
    sections.append(line + by_hand.rstrip() if line else BY_HAND)
    RESULTS.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    print(f"wrote {RESULTS.relative_to(HERE.parent)}")


def header() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = os.getloadavg()[0]
    return (
        "# Results\n\n"
        "Made by `make bench`. Ratios are medians of alternating pairs in one process, with their "
        "95 % bootstrap interval; absolute times belong to this machine.\n\n"
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"{os.cpu_count()} CPUs ({platform.machine()}), load {load:.1f} at the start; {packages}."
    )


def section(claim: str, command: str, *, fenced: bool = False) -> str:
    print(f"running python {command}", flush=True)
    done = subprocess.run(
        [sys.executable, *command.split()],
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
    return f"## `python {command}`\n\n{claim}\n\n{output}"


if __name__ == "__main__":
    main()
