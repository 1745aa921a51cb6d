"""Prompt compression outside of agents: of messages in a chain, and of retrieved documents."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, overload

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from langchain_core.messages import BaseMessage, MessageLikeRepresentation
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import ConfigDict, PrivateAttr

from agentperf_core.context.compress import Compressed, Compressor, MessageCompressor, making
from agentperf_core.flow import Flow, both
from agentperf_core.types import Role
from langchain_agentperf._compression import compressor_from
from langchain_agentperf._given import messages_of
from langchain_agentperf._messages import from_core, to_core

__all__ = ["PromptDocumentCompressor", "compress_messages"]

_Given = Sequence[MessageLikeRepresentation] | PromptValue


@overload
def compress_messages(
    messages: None = None,
    *,
    compressor: Compressor | None = None,
    embeddings: Embeddings | None = None,
    roles: Collection[Role] = ("tool",),
    skip_tools: Collection[str] = (),
    **options: Any,
) -> Runnable[_Given, list[BaseMessage]]: ...
@overload
def compress_messages(
    messages: _Given,
    *,
    compressor: Compressor | None = None,
    embeddings: Embeddings | None = None,
    roles: Collection[Role] = ("tool",),
    skip_tools: Collection[str] = (),
    **options: Any,
) -> list[BaseMessage]: ...
def compress_messages(
    messages: _Given | None = None,
    *,
    compressor: Compressor | None = None,
    embeddings: Embeddings | None = None,
    roles: Collection[Role] = ("tool",),
    skip_tools: Collection[str] = (),
    **options: Any,
) -> list[BaseMessage] | Runnable[_Given, list[BaseMessage]]:
    """Make large messages shorter; without messages, a Runnable that does, like `trim_messages`.

    Args:
        messages: messages, or a prompt's value.
        compressor: see `PromptCompressionMiddleware`, and so are the others.
        embeddings: an embedding model of LangChain.
        roles: whose messages.
        skip_tools: tools whose results are never touched.
        **options: settings of `Compressor`; default `ratio=3` and `min_tokens=500`.

    Raises:
        ConfigError: if the messages are none, or see `PromptCompressionMiddleware`.

    Example:
        >>> from langchain_core.messages import ToolMessage
        >>> page = "We sell shoes and hats. " * 20 + "Returns take 30 days."
        >>> chain = compress_messages(ratio=5, min_tokens=40)  # in front of a model: chain | model
        >>> said = ["How long do returns take?", ToolMessage(page, tool_call_id="c1")]
        >>> "30 days" in chain.invoke(said)[1].content
        True
    """
    if compressor is None:
        options = {"ratio": 3, "min_tokens": 500, **options}
    compressor = compressor_from(compressor, embeddings, options)
    shorter = MessageCompressor(compressor, roles=roles, skip_tools=skip_tools)

    def compressing(given: _Given) -> Flow[list[BaseMessage]]:
        found = yield from shorter.shortening([*map(to_core, messages_of(given))])
        return [from_core(one) for one in found.messages]

    sync, async_ = both(compressing)
    if messages is not None:
        return sync(messages)
    return RunnableLambda(sync, async_, name="compress_messages")


class PromptDocumentCompressor(BaseDocumentCompressor):
    """Makes retrieved documents shorter for the query they were retrieved for.

    Sentences are chosen over all documents at once, and documents of which nothing is left are left
    out. Works wherever LangChain takes a document compressor. Documents are never changed in place.

    Args:
        compressor: a core `Compressor`; else one is made of `embeddings` and the options.
        embeddings: an embedding model of LangChain; without one, words alone decide.
        **options: settings of `Compressor`; default `ratio=3`.

    Raises:
        ConfigError: see `PromptCompressionMiddleware`; later, if what is to be shortened is no list
            of documents.

    Example:
        >>> found = [Document("We sell shoes. Hats are new."), Document("Returns take 30 days.")]
        >>> shorter = PromptDocumentCompressor(ratio=2)
        >>> [one.page_content for one in shorter.compress_documents(found, "How long are returns?")]
        ['Returns take 30 days.']
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    _compressor: Compressor = PrivateAttr()

    def __init__(
        self,
        compressor: Compressor | None = None,
        *,
        embeddings: Embeddings | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self._compressor = compressor_from(compressor, embeddings, options)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Shorter copies of the documents, in their order. From `BaseDocumentCompressor`."""
        texts = _texts_of(documents)
        return _shortened(documents, self._compressor.compress_all(texts, query=query))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Like `compress_documents`. From `BaseDocumentCompressor`."""
        texts = _texts_of(documents)
        return _shortened(documents, await self._compressor.acompress_all(texts, query=query))


def _texts_of(documents: Sequence[Document]) -> list[str]:
    making.require_all(Document, "put a text in Document(...)", documents)
    return [document.page_content for document in documents]


def _shortened(documents: Sequence[Document], found: Sequence[Compressed]) -> list[Document]:
    return [
        document
        if one.text == document.page_content
        else document.model_copy(update={"page_content": one.text})
        for document, one in zip(documents, found, strict=True)
        if one.text or not document.page_content
    ]
