"""Claim: without a tokenizer, totals are within 10 % on English, Chinese, code and JSON.

    python benchmarks/bench_tokens.py          print the table: ours beside LangChain's counter
    python benchmarks/bench_tokens.py --fit    fit again, print the module `accounting/_rates.py`

Truth is tiktoken. The texts and their split are those of `token_corpus.py`: weights are fitted on
the train side only, every figure in the table is from the held-out side. "total" is the error of
the sum over all texts of a kind, "p90" the error that 9 of 10 single texts stay under; the Chinese
and the other paragraphs are short (100 characters), so single ones scatter more than the rest.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import token_corpus
from langchain_core.messages import HumanMessage
from langchain_core.messages.utils import count_tokens_approximately

from agentperf_core.accounting import TokenCounter
from agentperf_core.accounting.estimate import CL100K, O200K, Rates, classes, estimate_tokens

Count = Callable[[str], int]

MAIN = ("English", "code", "JSON")  # what the patterns below are fitted on
EDGES = "aA0n._"
PATTERNS = [a + b for a in EDGES for b in EDGES if a != b and a + b != "Aa"] + [
    *("aaaa", "aaaaaaaa", "aaaaaaaaaaaa", "AA", "000", "..", "....", "nn", "__", "n__", "________"),
]
# Other letters, in this order, each on what is left of these texts after the weights before it.
# The share of a text that the letter must have keeps a text of another script out.
LETTERS = {
    "p": (("Chinese",), 0.0),
    "t": (("messages, chinese",), 0.1),
    "k": (("other scripts", "messages, japanese"), 0.25),
    "g": (("other scripts", "messages, korean"), 0.25),
    "c": (("other scripts", "messages, russian"), 0.25),
    "l": (("other scripts",), 0.25),
    "r": (("other scripts",), 0.25),
    "d": (("other scripts",), 0.25),
    "o": (("other scripts",), 0.25),
    "e": (("other scripts", "messages, european"), 0.01),
}


def non_negative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Least squares with weights of at least 0.02: a pattern below that is dropped."""
    kept = list(range(a.shape[1]))
    while True:
        x = a[:, kept]
        weights = np.linalg.solve(x.T @ x + 1e-2 * np.eye(len(kept)), x.T @ b)
        if (weights > 0.02).all():
            full = np.zeros(a.shape[1])
            full[kept] = weights
            return full
        kept = [k for k, weight in zip(kept, weights, strict=True) if weight > 0.02]


def charge(weights: Mapping[str, float], coded: bytes) -> float:
    return sum(weight * coded.count(pattern.encode()) for pattern, weight in weights.items())


def fit(train: Mapping[str, Sequence[str]], truth: Count) -> dict[str, float]:
    """Weights of one encoding: patterns on the main kinds together, then script by script."""
    rows: list[list[float]] = []
    wanted: list[float] = []
    for kind in MAIN:
        chars = sum(map(len, train[kind]))
        for text in train[kind]:
            tokens, coded = truth(text), classes(text)
            # Relative errors count, and every kind as much as the others.
            scale = 30 / tokens * (len(text) / chars) ** 0.5
            rows.append([scale * coded.count(pattern.encode()) for pattern in PATTERNS])
            wanted.append(scale * tokens)
    found = non_negative(np.array(rows), np.array(wanted))
    weights = {p: round(float(w), 3) for p, w in zip(PATTERNS, found, strict=True) if w}
    # Han first and alone: its punctuation comes in fixed proportion, so together they would blur.
    runs = [run for text in train["Chinese"] for run in han_runs(text)]
    weights["h"] = round(sum(map(truth, runs)) / sum(map(len, runs)), 3)
    for letter, (kinds, share) in LETTERS.items():
        left = seen = 0.0
        for text in (text for kind in kinds for text in train[kind]):
            coded = classes(text)
            letters = coded.count(letter.encode())
            if letters > share * len(coded):
                left += truth(text) - charge(weights, coded)
                seen += letters
        weights[letter] = round(max(left / seen, 0.02), 3)
    # Symbols (arrows, emoji, box lines) are too rare in these texts to fit: one token each.
    weights["s"] = 1.0
    return weights


def han_runs(text: str) -> list[str]:
    marked = "".join(
        char if kind in b"ht" else " " for char, kind in zip(text, classes(text)[1:], strict=True)
    )
    return marked.split()


def errors(texts: Sequence[str], truth: Count, count: Count) -> tuple[float, float]:
    """Relative error of the sum, and the error that 9 of 10 texts stay under."""
    true = np.array([truth(text) for text in texts], dtype=float)
    ours = np.array([count(text) for text in texts], dtype=float)
    spread = np.abs(ours / true - 1)
    return float(ours.sum() / true.sum() - 1), float(np.quantile(spread, 0.9))


def approximately(text: str) -> int:
    """LangChain's counter without what it adds for the message and its role."""
    empty = count_tokens_approximately([HumanMessage("")])
    return count_tokens_approximately([HumanMessage(text)]) - empty


def held_out() -> dict[str, list[str]]:
    return {**token_corpus.build()["heldout"], **token_corpus.real_runs()}


def table(kinds: Mapping[str, Sequence[str]]) -> None:
    print("| encoding | held-out texts | texts | characters | ours: total | ours: p90 "
          "| LangChain: total | LangChain: p90 |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for rates in (O200K, CL100K):
        truth = TokenCounter.for_encoding(rates.encoding).count_text
        for kind, texts in kinds.items():
            ours = errors(texts, truth, lambda text, r=rates: estimate_tokens(text, r))
            theirs = errors(texts, truth, approximately)
            size = sum(map(len, texts))
            print(f"| {rates.encoding} | {kind} | {len(texts)} | {size:,} | {ours[0]:+.1%} "
                  f"| {ours[1]:.1%} | {theirs[0]:+.1%} | {theirs[1]:.1%} |")  # fmt: skip


def speed(kinds: Mapping[str, Sequence[str]]) -> None:
    counters: dict[str, Count] = {
        "tiktoken o200k_base": TokenCounter.for_encoding("o200k_base").count_text,
        "our estimate": estimate_tokens,
        "LangChain approximate": approximately,
    }
    print("\n| counter | text | microseconds per 1,000 characters (best of 5) |\n|---|---|---|")
    for name, count in counters.items():
        for kind in ("English", "Chinese"):
            best = float("inf")
            for _ in range(5):
                start = time.perf_counter()
                for text in kinds[kind]:
                    count(text)
                best = min(best, time.perf_counter() - start)
            print(f"| {name} | {kind} | {best / sum(map(len, kinds[kind])) * 1e9:.0f} |")


def print_module() -> None:
    split = token_corpus.build()
    print('"""Weights of the token estimate; made by `python benchmarks/bench_tokens.py --fit`."""')
    for name, encoding in (("O200K", "o200k_base"), ("CL100K", "cl100k_base")):
        truth = TokenCounter.for_encoding(encoding).count_text
        weights = fit(split["train"], truth)
        fitted = Rates(encoding, {p.encode(): w for p, w in weights.items()}, 0.0)
        texts = [text for kind in (*MAIN, "Chinese") for text in split["heldout"][kind]]
        _, worst = errors(texts, truth, lambda text, r=fitted: estimate_tokens(text, r))
        print(f"\n{name}_WEIGHTS = {{")
        for pattern, weight in weights.items():
            print(f'    b"{pattern}": {weight},')
        print(f"}}\n{name}_ERROR = {worst:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fit", action="store_true", help="print a new _rates.py instead")
    if parser.parse_args().fit:
        print_module()
    else:
        texts_by_kind = held_out()
        table(texts_by_kind)
        speed(texts_by_kind)
