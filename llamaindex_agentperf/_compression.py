"""The core's compressor with what LlamaIndex has: embedding models, LLMs and tool callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.base import BaseLLM

from agentperf_core.context.compress import Compressor, Rewriting, making
from agentperf_core.errors import require_instance

__all__ = ["compressed_output", "compressor_from", "rewriting_strategy"]


def compressor_from(
    compressor: Compressor | None, embed_model: BaseEmbedding | None, options: dict[str, Any]
) -> Compressor:
    """The compressor that was given, or one of the other arguments; see the core's.

    Raises:
        ConfigError: if both were given, or one is of another kind.
    """
    require_instance(BaseEmbedding, "give a model of LlamaIndex", embed_model=embed_model)
    model = embed_model
    if model is None:
        return making.compressor_from(compressor, None, options, name="embed_model")

    def embed(texts: Sequence[str]) -> list[list[float]]:
        return model.get_text_embedding_batch([*texts])

    async def aembed(texts: Sequence[str]) -> list[list[float]]:
        return await model.aget_text_embedding_batch([*texts])

    return making.compressor_from(compressor, (embed, aembed), options, name="embed_model")


def rewriting_strategy(llm: BaseLLM, **options: Any) -> Rewriting:
    """A strategy that lets an LLM say it in fewer words.

    Args:
        llm: any LLM.
        **options: `prompt` and `keep` of the core's `Rewriting`.

    Raises:
        ConfigError: if the model is none, or see `Rewriting`.

    Example:
        >>> from llama_index.core.llms import MockLLM
        >>> compressor = Compressor([rewriting_strategy(MockLLM(max_tokens=1))], ratio=2)
        >>> compressor.compress("The shop, as a matter of fact, opens at 9.").faults
        ('rewriting: the wording of the model lost 1 number',)
    """
    making.require_one(BaseLLM, "give an LLM of LlamaIndex", llm)

    def ask(prompt: str) -> str:
        return llm.complete(prompt).text

    async def aask(prompt: str) -> str:
        return (await llm.acomplete(prompt)).text

    return Rewriting(ask, aask=aask, **options)


def compressed_output(
    compressor: Compressor | None = None, **options: Any
) -> Callable[[Any], str | None]:
    """A `callback` for `FunctionTool` that makes large outputs shorter, once, as they are made.

    Text is cleaned up and its central sentences are kept; dicts and lists become compact JSON, in
    column form. `raw_output` stays whole.

    Args:
        compressor: a core `Compressor`; else one is made of the rest.
        **options: settings of `Compressor`; default `ratio=3` and `min_tokens=500`.

    Raises:
        ConfigError: if `compressor` comes together with its own settings.

    Example:
        >>> from llama_index.core.tools import FunctionTool
        >>> def orders() -> list:
        ...     return [{"order": number, "state": "sent"} for number in range(12)]
        >>> shorter = compressed_output(ratio=2.5, min_tokens=10)
        >>> tool = FunctionTool.from_defaults(orders, callback=shorter)
        >>> tool.call().content[:55], len(tool.call().raw_output)
        ('{"columns":["order","state"],"rows":[[0,"sent"],[1,"sen', 12)
    """
    if compressor is None:
        options = {"ratio": 3, "min_tokens": 500, **options}
    shorter = compressor_from(compressor, None, options)

    def callback(output: Any) -> str | None:
        text = _text_of(output)
        if not text:
            return None
        found = shorter.compress(text)
        return None if found.text == text else found.text

    return callback


def _text_of(output: Any) -> str:
    """The output as text; empty for what only the tool itself can turn into some."""
    if isinstance(output, str):
        return output
    if not isinstance(output, dict | list):
        return ""
    try:
        return orjson.dumps(output).decode()
    except orjson.JSONEncodeError:
        return ""
