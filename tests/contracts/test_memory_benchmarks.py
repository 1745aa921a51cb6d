"""The memory benchmarks, on data small enough to say what must come out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[2]
METHODS = {
    *("ours", "ours, recall by its own words", "ours, no recall"),
    *("LangChain trim_messages", "LlamaIndex ChatMemoryBuffer", "LlamaIndex Memory"),
}
FIGURES = {
    *("evidence_recall", "uncached_tokens_per_call", "tokens_per_call", "over_budget", "invalid"),
    *("cpu_ms_p50", "cpu_ms_p99", "cpu_ms_mean", "cpu_ms_worst"),
}


def bench(script: str, *arguments: object) -> Any:
    command = [sys.executable, "-W", "ignore", f"benchmarks/{script}.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def locomo(tmp_path: Path) -> Path:
    """Two people, forty evenings; each has a pet that is named once."""
    pets = ["otter", "heron", "badger", "lynx"]
    talk: dict[str, Any] = {"speaker_a": "Ana", "speaker_b": "Bo", "qa": []}
    for number in range(1, 41):
        pet = f"Our {pets[number % 4]} of evening {number} is called Pet{number}."
        talk[f"session_{number}_date_time"] = f"{number % 28 + 1} May, 2023"
        talk[f"session_{number}"] = [
            {"speaker": "Ana", "dia_id": f"D{number}:1", "text": pet},
            {"speaker": "Bo", "dia_id": f"D{number}:2", "text": "It rained a lot here. " * 6},
            {"speaker": "Ana", "dia_id": f"D{number}:3", "text": "We cooked and read. " * 6},
        ]
    talk["qa"] = [
        {"question": "What is Pet3?", "answer": "otter", "evidence": ["D3:1"], "category": 1},
        {"question": "And Pet39?", "answer": "lynx", "evidence": ["D39:1; D40:1"], "category": 1},
        {"question": "Nobody knows?", "evidence": [], "category": 5},
    ]
    folder = tmp_path / "locomo"
    folder.mkdir()
    (folder / "1.json").write_text(json.dumps(talk), encoding="utf-8")
    return folder


@pytest.fixture
def tau(tmp_path: Path) -> Path:
    """Eight tasks with a tool call each, whose ids repeat."""
    runs: list[dict[str, Any]] = []
    for task in range(8):
        function = {"name": "find", "arguments": json.dumps({"order": task})}
        call = {"id": "call_1", "type": "function", "function": function}
        trajectory: list[dict[str, Any]] = [
            {"role": "system", "content": "Policy. " * 50},
            {"role": "user", "content": f"Where is order {task}?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "name": "find", "content": "row " * 300},
            {"role": "assistant", "content": "In Ghent."},
        ]
        runs.append({"task_id": task, "trial": 0, "traj": trajectory})
    file = tmp_path / "tau.json"
    file.write_text(json.dumps(runs), encoding="utf-8")
    return file


def test_the_replay_finds_what_left_the_window(locomo: Path, tau: Path, tmp_path: Path) -> None:
    """Every method has every figure; only ours knows in the end what was said first."""
    out = tmp_path / "out.json"
    bench(
        "memory_replay",
        *("--data", locomo, "--budget", 1024, "--json", out),
        *("--tau", tau, "--tau-budget", 1200),
    )
    found = json.loads(out.read_text(encoding="utf-8"))
    rows = found["1024"]
    assert set(rows) == METHODS
    assert all(set(row) >= FIGURES for row in rows.values())
    assert {row["questions"] for row in rows.values()} == {2}
    assert rows["ours"]["evidence_recall"] == 1.0
    assert rows["ours, no recall"]["evidence_recall"] < 1.0
    for name in ("ours", "ours, recall by its own words", "ours, no recall"):
        figures = rows[name]
        assert (figures["over_budget"], figures["invalid"]) == (0, 0)
        assert figures["questions_over_budget"] == 0
    trimmed = rows["LangChain trim_messages"]["uncached_tokens_per_call"]
    assert rows["ours"]["uncached_tokens_per_call"] < trimmed / 2
    agent = found["tau"]["1200"]["ours"]
    assert (agent["over_budget"], agent["invalid"], agent["calls"]) == (0, 0, 16)


def test_token_counts_says_how_many_are_exact(tmp_path: Path) -> None:
    """And how far the worst is off."""
    hello = {"messages": [{"role": "user", "content": "hello"}]}
    cases = [{**hello, "tokens": 8}, {**hello, "tokens": 10}]
    data, out = tmp_path / "cases.json", tmp_path / "out.json"
    data.write_text(json.dumps(cases), encoding="utf-8")
    shown = bench("token_counts", "--data", data, "--json", out).stdout
    assert json.loads(out.read_text(encoding="utf-8")) == {"exact": 1, "cases": 2, "worst": 2}
    assert "case 1: -2 of 10" in shown
