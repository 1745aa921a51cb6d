"""Claim: a window that stays where it is, with recall, finds more evidence for fewer new tokens.

    python benchmarks/memory_replay.py --data FOLDER --budget 4096 8192 16384 [--tau FILE]
        [--json OUT] [--embeddings] [--conversations N] [--ours-only]

Conversations of LoCoMo are replayed turn by turn: the model is called after each turn of the user,
and each question with evidence is asked at the end, in a prompt of its own. "Evidence recall" is
the share of the turns with the answer that stand in that prompt word for word; "uncached" are the
tokens of a call that the prompt before it did not begin with; CPU is that of all calls, questions
included. In the row "ours" earlier messages come back for the questions, as they do where the model
or the application asks for them; "recall by its own words" looks for questions in what is said
between people, too, and pays for it in tokens. Vectors are made once for all budgets, so that CPU
with `--embeddings` is mostly that of the search. Nothing is tuned on these files beyond
conversations 26, 30 and 41.

With `--tau`, tasks of tau-bench are chained to sessions of an agent with tools: prompts that
providers refuse, and prompts over the budget (`--tau-budget`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import _memory_ours
import _memory_peers
from _common import table
from _memory_data import Talk, read_locomo, read_tau
from _memory_score import Make, replay

COLUMNS = {
    "evidence_recall": "evidence recall",
    "uncached_tokens_per_call": "uncached tokens / call",
    "tokens_per_call": "tokens / call",
    "cached_share": "cached share",
    "over_budget": "over budget",
    "invalid": "invalid",
    "cpu_ms_mean": "CPU ms mean",
    "cpu_ms_p99": "p99",
    "cpu_ms_worst": "worst",
}
Rows = dict[str, dict[str, float | int]]


def scored(methods: Mapping[str, Make], talks: Sequence[Talk], budget: int) -> Rows:
    """The figures of each method, which are printed as a table, too."""
    found = {name: replay(make, talks, budget).row() for name, make in methods.items()}
    used = {
        key: title for key, title in COLUMNS.items() if any(key in row for row in found.values())
    }
    lines = [[name, *(f"{row.get(key, '')}" for key in used)] for name, row in found.items()]
    print(f"\n{budget:,} tokens\n\n{table(['method', *used.values()], lines)}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of LoCoMo files")
    parser.add_argument("--budget", type=int, nargs="+", default=[4096, 8192, 16384])
    parser.add_argument("--tau", type=Path, help="tau-bench trajectories with tool calls")
    parser.add_argument("--tau-budget", type=int, nargs="+", default=[6144, 12288])
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--embeddings", action="store_true", help="search by meaning, too")
    parser.add_argument("--model", help="another encoder than MiniLM, by name or path")
    parser.add_argument("--conversations", type=int, help="the first so many only")
    parser.add_argument("--ours-only", action="store_true", help="leave the peers out")
    given = parser.parse_args()
    peers = {} if given.ours_only else _memory_peers.METHODS
    methods = {**_memory_ours.methods(embeddings=given.embeddings, model=given.model), **peers}
    talks = read_locomo(given.data)[: given.conversations]
    questions = sum(len(talk.questions) for talk in talks)
    print(f"{len(talks)} conversations, {questions} questions with evidence")
    results: dict[str, object] = {f"{b}": scored(methods, talks, b) for b in given.budget}
    if given.tau is not None:
        sessions = read_tau(given.tau)
        print(f"\n{len(sessions)} sessions of an agent with tools")
        peers = {} if given.ours_only else _memory_peers.TAU_METHODS
        chained: dict[str, Make] = {"ours": _memory_ours.Ours, **peers}
        results["tau"] = {f"{b}": scored(chained, sessions, b) for b in given.tau_budget}
    if given.json is not None:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
