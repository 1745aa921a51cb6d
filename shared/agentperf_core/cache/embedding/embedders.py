"""Encoders: whatever turns texts into vectors, behind one protocol.

| source | how it is asked |
|---|---|
| `Embedder`, or anything with `embed(texts)` or `aembed(texts)` | as it is |
| a `SentenceTransformer`, or the name or path of one | `encode_query`, without progress bars |
| a LangChain `Embeddings` | `embed_documents` |
| a LlamaIndex `BaseEmbedding` | `get_text_embedding_batch`, with its events |
| a callable, sync or async, that takes a list of texts | called |

Frameworks are recognised by their methods; nothing of them is imported. Questions are compared with
questions, so both sides take the same way through the encoder; frameworks have batches on the
document side only.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast
from uuid import uuid4

from agentperf_core.cache.embedding.sentence import SentenceEncoder, is_sentence_transformer
from agentperf_core.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Embedder", "as_embedder"]

_WAY_OUT = (
    "give a model name or path, a SentenceTransformer, a LangChain or LlamaIndex embedding, "
    "or a callable that takes a list of texts"
)
# Where encoders keep the name of their model, most telling first.
_MODEL_NAMES = ("model_name", "model", "model_id", "deployment", "deployment_name", "repo_id")


class Embedder(Protocol):
    """Turns texts into vectors.

    It may also have `fits(text) -> bool`: whether it reads the whole text. A text that is cut would
    be taken for another one that begins the same.
    """

    @property
    def name(self) -> str:
        """Tells models apart: vectors of encoders with one name are compared with each other."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector per text, in order, of any length."""
        ...

    async def aembed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Like `embed`."""
        ...


@dataclass(frozen=True, slots=True)
class AdaptedEmbedder:
    """An encoder of somebody else as an `Embedder`.

    Attributes:
        name: see `Embedder`.
        call: the sync way, if it has one.
        acall: the async way, if it has one that is not just the sync one in a thread.
    """

    name: str
    call: Callable[[list[str]], Any] | None
    acall: Callable[[list[str]], Awaitable[Any]] | None = None

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Ask the encoder; an async one on an event loop of its own."""
        given: Any = (self.call or cast("Any", self.acall))(list(texts))
        return asyncio.run(_awaited(given)) if inspect.isawaitable(given) else given

    async def aembed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Ask the encoder; a sync one in a thread."""
        if self.acall is not None:
            return await self.acall(list(texts))
        return await asyncio.to_thread(self.embed, texts)

    @property
    def only_async(self) -> bool:
        """Whether it must be awaited, best on the event loop that its connections belong to."""
        return self.call is None


def as_embedder(source: object, *, name: str | None = None) -> Embedder:
    """The encoder behind `source`; nothing is loaded or asked yet.

    Args:
        source: see the table above.
        name: what to tell the model by, where the source does not say it. A lambda has no name
            that means something in another process: without this, what it encodes is not found
            again after a restart.

    Raises:
        ConfigError: if nobody knows how to ask `source` for vectors.
        MissingExtra: if it is the name of a model and sentence-transformers is not installed.

    Example:
        >>> def letters(texts: list[str]) -> list[list[float]]:
        ...     return [[text.count("a"), text.count("b")] for text in texts]
        >>> embedder = as_embedder(letters, name="letters")
        >>> embedder.name, embedder.embed(["abba"])
        ('letters', [[2, 2]])
    """
    if source is None or isinstance(source, bytes | int | float):
        msg = f"a semantic cache needs an encoder, got {source!r}; {_WAY_OUT}"
        raise ConfigError(msg)
    if isinstance(source, str) or hasattr(source, "__fspath__"):
        return SentenceEncoder(str(source), name=name)
    if is_sentence_transformer(source):
        return SentenceEncoder(source, name=name)
    if isinstance(source, type):
        msg = f"an encoder is an object, got the class {source.__name__}; write {source.__name__}()"
        raise ConfigError(msg)
    if _is_complete(source) and name is None:
        return cast("Embedder", source)
    return _adapted(source, name)


def is_only_async(embedder: Embedder) -> bool:
    """Whether an encoder must be awaited, since it has no sync way."""
    return bool(getattr(embedder, "only_async", False))


def _is_complete(source: object) -> bool:
    named = isinstance(getattr(source, "name", None), str)
    return named and all(callable(getattr(source, method, None)) for method in ("embed", "aembed"))


def _adapted(source: object, name: str | None) -> AdaptedEmbedder:
    found: Any = source
    if _has(source, "get_text_embedding_batch"):
        # LlamaIndex. The public method: it keeps to the rate limit and the embedding cache that
        # the user configured.
        return AdaptedEmbedder(
            name or _name(source),
            lambda texts: found.get_text_embedding_batch(texts, show_progress=False),
        )
    if _has(source, "embed_documents"):
        return AdaptedEmbedder(name or _name(source), found.embed_documents)
    if _has(source, "embed") or _has(source, "aembed"):
        return AdaptedEmbedder(
            name or _name(source), getattr(found, "embed", None), getattr(found, "aembed", None)
        )
    if callable(source):
        is_async = inspect.iscoroutinefunction(source) or inspect.iscoroutinefunction(
            getattr(source, "__call__", None)  # noqa: B004 - the method is what is inspected
        )
        call = cast("Callable[[list[str]], Any]", source)
        named = name or _callable_name(source)
        return AdaptedEmbedder(named, None, call) if is_async else AdaptedEmbedder(named, call)
    msg = f"a semantic cache needs an encoder, got a {type(source).__name__}; {_WAY_OUT}"
    raise ConfigError(msg)


def _has(source: object, method: str) -> bool:
    return callable(getattr(source, method, None))


def _name(source: object) -> str:
    """The class and what says which model it asks, as far as the object shows it."""
    kind = type(source)
    parts = [f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"]
    for attribute in _MODEL_NAMES:
        value = getattr(source, attribute, None)
        if isinstance(value, str) and value not in {"", "unknown"}:
            parts.append(value)
            break
    # The same model with shorter vectors, or with an instruction before each text.
    for attribute in ("dimensions", "text_instruction", "query_instruction", "encode_kwargs"):
        value = getattr(source, attribute, None)
        if value:
            parts.append(f"{attribute}={value}")
    return ":".join(parts)


def _callable_name(source: object) -> str:
    name = getattr(source, "__qualname__", None)
    module = getattr(source, "__module__", "")
    if isinstance(name, str) and "<" not in name:
        return f"{module}.{name}"
    # A lambda, an inner function, a partial or an object: others may have the same name, and
    # their vectors must never be compared with these.
    return f"{module}.{name or type(source).__qualname__}#{uuid4().hex[:12]}"


async def _awaited(given: Awaitable[Any]) -> Any:
    return await given
