"""sentence-transformers as an encoder: loaded late, asked by one thread at a time, without bars."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
import weakref
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.optional import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SentenceEncoder", "is_sentence_transformer"]

# Models that were loaded by name, for as long as somebody uses them, and a lock for each model: the
# fast tokenizers raise "Already borrowed" when two threads are in one of them.
_loaded: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
_locks: weakref.WeakKeyDictionary[object, threading.Lock] = weakref.WeakKeyDictionary()
_guard = threading.Lock()
_loading = threading.Lock()
# The marks that a tokenizer puts around a text, and room for a prompt's few.
_MARKS = 4
_MODEL_FILES = {".safetensors", ".bin", ".json", ".onnx"}
_READ = 65536
_TRY_AGAIN_S = 60.0


def is_sentence_transformer(source: object) -> bool:
    """Whether it is a `SentenceTransformer` or looks like one."""
    return callable(getattr(source, "encode", None)) and hasattr(source, "max_seq_length")


class SentenceEncoder:
    """A `SentenceTransformer` as an `Embedder`.

    Args:
        source: the model, or its name or path; a name is loaded with the first text, once per
            process.
        name: what to tell the model by, else its name, for a folder or a model object with a
            digest of the files or weights.
        clock: when to try again after loading failed.

    Raises:
        MissingExtra: if sentence-transformers is not installed.
    """

    def __init__(
        self, source: object, *, name: str | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._clock = clock
        self._model: Any = None
        self._failed: tuple[float, Exception] | None = None
        self._path = ""
        if isinstance(source, str):
            # A missing package is the developer's to see, now and not with the first question. Only
            # looked for: to import it takes seconds.
            if find_spec("sentence_transformers") is None:
                require("sentence_transformers", extra="embeddings", purpose=f"encoder {source!r}")
            self._path = source
            self.name = name or _short(source)
        else:
            self._model = source
            self.name = name or _name_of(source)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode as questions; see `Embedder.embed`."""
        model = self._ready()
        # Questions on both sides: a model with a prompt for questions wants it here. Both methods
        # exist since sentence-transformers 5.
        encode: Any = getattr(model, "encode_query", model.encode)
        with _lock_of(model):
            # Its default shows a progress bar when the log level is INFO.
            vectors: NDArray[np.float32] = encode(
                list(texts), show_progress_bar=False, convert_to_numpy=True
            )
        return vectors

    async def aembed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Like `embed`, in a thread."""
        return await asyncio.to_thread(self.embed, texts)

    def fits(self, text: str) -> bool:
        """Whether the model reads the whole text: it cuts after so many tokens without a word."""
        model = self._ready()
        limit: int | None = model.max_seq_length
        # A token is a character at least, so that a short text needs no count.
        if limit is None or len(text) + _MARKS <= limit:
            return True
        prompt = str(model.prompts.get("query", "")) if hasattr(model, "prompts") else ""
        with _lock_of(model):
            return len(model.tokenizer.encode(prompt + text, verbose=False)) <= limit

    def _ready(self) -> Any:
        if self._model is None:
            self._model = self._load()
        return self._model

    def _load(self) -> Any:
        if self._failed is not None and self._clock.monotonic() < self._failed[0]:
            raise self._failed[1]
        with _loading:
            model = _loaded.get(self._path)
            if model is None:
                package = require("sentence_transformers", extra="embeddings")
                try:
                    with _no_progress_bar():
                        model = _loaded[self._path] = package.SentenceTransformer(self._path)
                except Exception as error:
                    # A hub that does not answer takes minutes: not with every question.
                    self._failed = (self._clock.monotonic() + _TRY_AGAIN_S, error)
                    raise
        return model


def _lock_of(model: object) -> threading.Lock:
    with _guard:
        return _locks.setdefault(model, threading.Lock())


def _name_of(model: Any) -> str:
    """The name that it was loaded by, and its weights: training does not change the name."""
    loaded_as = str(getattr(getattr(model, "tokenizer", None), "name_or_path", ""))
    named = Path(loaded_as).name if Path(loaded_as).is_absolute() else loaded_as
    digest = blake2b(digest_size=6)
    for name, weights in getattr(model, "named_parameters", tuple[()])():
        digest.update(f"{name}{tuple(weights.shape)}{weights.flatten()[:8].tolist()}".encode())
    cut = getattr(model, "truncate_dim", None)
    return f"{named or type(model).__qualname__}#{digest.hexdigest()}{f':{cut}' if cut else ''}"


def _short(model: str) -> str:
    """The name of a model; of a folder its last part and a digest of what is in it.

    The same files have the same name wherever they lie.
    """
    folder = Path(model)
    if not folder.is_dir():
        return model
    digest = blake2b(digest_size=6)
    for file in sorted(folder.rglob("*")):
        if file.suffix in _MODEL_FILES:
            with file.open("rb") as content:
                digest.update(f"{file.relative_to(folder)}{file.stat().st_size}".encode())
                digest.update(content.read(_READ))
                content.seek(-min(_READ, file.stat().st_size), os.SEEK_END)
                digest.update(content.read(_READ))
    return f"{folder.resolve().name}#{digest.hexdigest()}"


@contextmanager
def _no_progress_bar() -> Generator[None]:
    """Loading a model draws a bar on stderr, in the middle of somebody's agent."""
    bars: Any = None
    shown = False
    try:
        bars = importlib.import_module("transformers.utils.logging")
        shown = bool(bars.is_progress_bar_enabled())
        bars.disable_progress_bar()
    except (ImportError, AttributeError):
        pass  # a version that has it elsewhere: the bar is a blemish, not a fault
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()
