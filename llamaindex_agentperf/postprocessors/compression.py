"""Retrieved nodes made shorter before they are put into a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import (
    BaseNode,
    MetadataMode,
    Node,
    NodeWithScore,
    QueryBundle,
    TextNode,
)
from pydantic import Field, PrivateAttr

from agentperf_core.context.compress import Compressed, Compressor, making
from agentperf_core.flow import Flow, arun, run
from llamaindex_agentperf._compression import compressor_from
from llamaindex_agentperf._fields import require_fields

__all__ = ["PromptCompressionPostprocessor"]


class PromptCompressionPostprocessor(BaseNodePostprocessor):
    """Makes retrieved nodes shorter for the query, all of them against one another.

    Whole sentences are kept, in order, and nodes of which nothing is left are left out. Nodes are
    copied: those of the index stay as they are, and so do metadata, ids and scores. Nodes without
    text pass.

    Args:
        compressor: a core `Compressor`, which is not part of the JSON form; else one is made of the
            next four.
        embed_model: an embedding model of LlamaIndex; without one, words alone decide.
        ratio: how many times smaller the nodes should become together.
        max_tokens: what they may cost together at most.
        min_tokens: nodes that cost less together are left as they are.

    Raises:
        ConfigError: if `compressor` comes together with its own settings, an argument has another
            name, or see `Compressor`; later, if what is to be shortened is no list of nodes.

    Example:
        >>> nodes = [
        ...     NodeWithScore(node=TextNode(text="We sell shoes. Hats are new.")),
        ...     NodeWithScore(node=TextNode(text="Returns take 30 days.")),
        ... ]
        >>> shorter = PromptCompressionPostprocessor(ratio=2)
        >>> [one.text for one in shorter.postprocess_nodes(nodes, query_str="How are returns?")]
        ['Returns take 30 days.']
    """

    ratio: float = Field(default=3.0, description="How many times smaller the nodes become.")
    max_tokens: int | None = Field(default=None, description="What they may cost together.")
    min_tokens: int = Field(default=0, description="Nodes below are left as they are.")
    _compressor: Compressor = PrivateAttr()

    def __init__(
        self,
        compressor: Compressor | None = None,
        embed_model: BaseEmbedding | None = None,
        **fields: Any,
    ) -> None:
        require_fields(type(self), fields)
        given = {"ratio", "max_tokens", "min_tokens"} & set(fields)
        options = {name: fields[name] for name in sorted(given)}
        made = compressor_from(compressor, embed_model, options)
        super().__init__(**fields)
        self._compressor = made

    @classmethod
    def class_name(cls) -> str:
        """The name in serialised form. From `BaseComponent`."""
        return "PromptCompressionPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return run(self._shortening(nodes, query_bundle))

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return await arun(self._shortening(nodes, query_bundle))

    def _shortening(
        self, nodes: Sequence[NodeWithScore], query: QueryBundle | None
    ) -> Flow[list[NodeWithScore]]:
        making.require_all(NodeWithScore, "put a node in NodeWithScore(node=...)", nodes)
        texts = [_text_of(one.node) for one in nodes]
        asked = query.query_str if query is not None else ""
        found = yield from self._compressor.compressing(texts, query=asked)
        return [
            _shortened(one, text, result)
            for one, text, result in zip(nodes, texts, found, strict=True)
            if result.text or not text
        ]


def _text_of(node: BaseNode) -> str:
    """What the node says; empty for one that is no text."""
    if isinstance(node, TextNode | Node):
        return node.get_content(metadata_mode=MetadataMode.NONE)
    return ""


def _shortened(scored: NodeWithScore, text: str, result: Compressed) -> NodeWithScore:
    if result.text == text:
        return scored
    node = scored.node.model_copy()
    node.set_content(result.text)
    return NodeWithScore(node=node, score=scored.score)


PromptCompressionPostprocessor.__module__ = "llamaindex_agentperf"
