"""The core's compressor with what LangChain has: embedding models and chat models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig

from agentperf_core.context.compress import Compressor, Rewriting, making
from agentperf_core.errors import require_instance

__all__ = ["compressor_from", "rewriting_strategy"]

# A helper's words are no part of the answer: nobody streams or traces them as such.
_APART = RunnableConfig(callbacks=[], tags=["nostream"], run_name="agentperf_rewriting")


def compressor_from(
    compressor: Compressor | None, embeddings: Embeddings | None, options: dict[str, Any]
) -> Compressor:
    """The compressor that was given, or one of the other arguments; see the core's.

    Raises:
        ConfigError: if both were given, or one is of another kind.
    """
    require_instance(Embeddings, "give an embedding model of LangChain", embeddings=embeddings)
    model = embeddings
    if model is None:
        return making.compressor_from(compressor, None, options, name="embeddings")

    def embed(texts: Sequence[str]) -> list[list[float]]:
        return model.embed_documents([*texts])

    async def aembed(texts: Sequence[str]) -> list[list[float]]:
        return await model.aembed_documents([*texts])

    return making.compressor_from(compressor, (embed, aembed), options, name="embeddings")


def rewriting_strategy(model: BaseChatModel, **options: Any) -> Rewriting:
    """A strategy that lets a chat model say it in fewer words; its calls are not streamed.

    Args:
        model: any chat model.
        **options: `prompt` and `keep` of the core's `Rewriting`.

    Raises:
        ConfigError: if the model is none, or see `Rewriting`.

    Example:
        >>> from langchain_core.language_models import FakeListChatModel
        >>> model = FakeListChatModel(responses=["The shop opens at 9."])
        >>> compressor = Compressor([rewriting_strategy(model)], ratio=2)
        >>> compressor.compress("As for the shop, it is the case that it opens at 9.").text
        'The shop opens at 9.'
    """
    making.require_one(BaseChatModel, "give a chat model of LangChain", model)

    def ask(prompt: str) -> str:
        return model.invoke(prompt, _APART).text

    async def aask(prompt: str) -> str:
        return (await model.ainvoke(prompt, _APART)).text

    return Rewriting(ask, aask=aask, **options)
