"""`EmbeddingCacheStore`: a cache of embeddings that knows whose vectors they are.

`BaseEmbedding.embeddings_cache` asks for a text alone, so two models that share a store get each
other's vectors. This store is made for one model, and many of them can share what is below it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.storage.kvstore.types import DEFAULT_COLLECTION, BaseKVStore

from agentperf_core.cache import MemoryStore, Store, Unkeyable, canonical, text_key
from agentperf_core.cache.stores import checked
from agentperf_core.cache.stores.guarded import guarded
from agentperf_core.errors import CodecError, ConfigError, require_positive
from agentperf_core.events import BUS
from agentperf_core.flow import Flow, Step, arun, run
from llamaindex_agentperf._identity import embedding_identity

__all__ = ["EmbeddingCacheStore"]

_HEAD = struct.Struct("<BBI")  # version, kind of value, bytes of the key
_SIZE = struct.Struct("<I")
_VERSION = 1
_JSON, _FLOAT, _DOUBLE = range(3)


class EmbeddingCacheStore(BaseKVStore):
    """A key-value store for `embeddings_cache`, over any store of this pack.

    Vectors are packed as numbers, in single precision where that loses nothing. A store that fails
    is a miss. Texts are not in the keys of the store, but they are in its values, for `get_all`.

    Models that embed queries and texts differently need a cache each for the two: LlamaIndex asks
    for both by the same key.

    Args:
        model: the model whose vectors these are, or a name of your own for it. What a model says of
            itself is read once: make a new store when you change its settings.
        store: where the vectors live; default a `MemoryStore`.
        ttl_s: seconds to keep them, `None` for as long as there is room.

    Raises:
        ConfigError: if the model has a setting that cannot be told apart, or `ttl_s` is not
            positive.

    Example:
        >>> from llama_index.core import MockEmbedding
        >>> model = MockEmbedding(embed_dim=3)
        >>> model.embeddings_cache = EmbeddingCacheStore(model)
        >>> model.get_text_embedding("hello") == model.get_text_embedding("hello")
        True
    """

    def __init__(
        self, model: BaseEmbedding | str, *, store: Store | None = None, ttl_s: float | None = None
    ) -> None:
        require_positive(ttl_s=ttl_s)
        store = checked(store) if store is not None else MemoryStore()
        self._store: Store = guarded(store)
        self._ttl_s = ttl_s
        self._prefix = f"embedding:{_identity(model)[:32]}:"

    def put(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        """Keep a value under a key of a collection."""
        run(self._put(key, val, collection))

    async def aput(
        self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION
    ) -> None:
        """Like `put`."""
        await arun(self._put(key, val, collection))

    def put_all(
        self,
        kv_pairs: Sequence[tuple[str, dict[str, Any]]],
        collection: str = DEFAULT_COLLECTION,
        batch_size: int = 1,
    ) -> None:
        """Keep several values, one after the other whatever the batch size."""
        for key, val in kv_pairs:
            self.put(key, val, collection)

    async def aput_all(
        self,
        kv_pairs: Sequence[tuple[str, dict[str, Any]]],
        collection: str = DEFAULT_COLLECTION,
        batch_size: int = 1,
    ) -> None:
        """Like `put_all`."""
        for key, val in kv_pairs:
            await self.aput(key, val, collection)

    def get(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """A copy of the value, or `None` if it is absent, expired or cannot be read."""
        return run(self._get(key, collection))

    async def aget(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """Like `get`."""
        return await arun(self._get(key, collection))

    def get_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """All values of this model in a collection, by key."""
        return run(self._get_all(collection))

    async def aget_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """Like `get_all`."""
        return await arun(self._get_all(collection))

    def delete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Forget a value; whether it was there."""
        return self._store.delete(self._name(key, collection))

    async def adelete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Like `delete`."""
        return await self._store.adelete(self._name(key, collection))

    def _name(self, key: str, collection: str) -> str:
        return f"{self._prefix}{text_key(collection)[:16]}:{text_key(key)}"

    def _put(self, key: str, value: Mapping[str, Any], collection: str) -> Flow[None]:
        store, name = self._store, self._name(key, collection)
        try:
            yield from Step(store.set, store.aset, name, _pack(key, value), self._ttl_s)
        except Exception as error:
            BUS.fault("embedding_cache.store", error)

    def _get(self, key: str, collection: str) -> Flow[dict[str, Any] | None]:
        found = yield from self._read(self._name(key, collection))
        return found[1] if found is not None else None

    def _get_all(self, collection: str) -> Flow[dict[str, dict[str, Any]]]:
        prefix = self._name("", collection).rpartition(":")[0] + ":"
        names = yield from Step(self._scan, self._ascan, prefix)
        found: dict[str, dict[str, Any]] = {}
        for name in names:
            pair = yield from self._read(name)
            if pair is not None:
                found[pair[0]] = pair[1]
        return found

    def _read(self, name: str) -> Flow[tuple[str, dict[str, Any]] | None]:
        try:
            raw = yield from Step(self._store.get, self._store.aget, name)
            return _unpack(raw) if raw is not None else None
        except Exception as error:
            BUS.fault("embedding_cache.store", error)
            return None

    def _scan(self, prefix: str) -> list[str]:
        return list(self._store.scan(prefix))

    async def _ascan(self, prefix: str) -> list[str]:
        return [name async for name in self._store.ascan(prefix)]


def _identity(model: BaseEmbedding | str) -> str:
    if isinstance(model, str) and model:
        return text_key("name", model)
    if not isinstance(model, BaseEmbedding):
        msg = f"model must be an embedding model or a name for one, got {model!r}; pass the model"
        raise ConfigError(msg)
    try:
        return text_key("model", canonical(embedding_identity(model)).decode())
    except Unkeyable as reason:
        msg = f"the model must be told apart from others, and {reason}; give a name for it"
        raise ConfigError(msg) from reason


def _pack(key: str, value: Mapping[str, Any]) -> bytes:
    name = key.encode("utf-8", "surrogatepass")
    kind, body = _JSON, b""
    if len(value) == 1:
        ((label, numbers),) = value.items()
        if isinstance(numbers, list):
            kind, body = _pack_vector(label, cast("list[object]", numbers))
    if kind == _JSON:
        body = orjson.dumps(value)
    return _HEAD.pack(_VERSION, kind, len(name)) + name + body


def _pack_vector(label: str, numbers: list[object]) -> tuple[int, bytes]:
    if not numbers or not all(type(number) is float for number in numbers):
        return _JSON, b""
    named = label.encode("utf-8", "surrogatepass")
    head = _SIZE.pack(len(named)) + named
    try:
        single = struct.pack(f"<{len(numbers)}f", *numbers)
        if list(struct.unpack(f"<{len(numbers)}f", single)) == numbers:
            return _FLOAT, head + single
    except OverflowError:
        pass
    return _DOUBLE, head + struct.pack(f"<{len(numbers)}d", *numbers)


def _unpack(raw: bytes) -> tuple[str, dict[str, Any]]:
    version, kind, size = _HEAD.unpack_from(raw)
    start = _HEAD.size + size
    if version != _VERSION or kind not in {_JSON, _FLOAT, _DOUBLE} or start > len(raw):
        msg = f"an embedding must be a value of this pack, got {raw[:6]!r}; clear the cache"
        raise CodecError(msg)
    key, body = raw[_HEAD.size : start].decode("utf-8", "surrogatepass"), raw[start:]
    if kind == _JSON:
        return key, dict(orjson.loads(body))
    (length,) = _SIZE.unpack_from(body)
    label, numbers = body[_SIZE.size : _SIZE.size + length], body[_SIZE.size + length :]
    width, form = (4, "f") if kind == _FLOAT else (8, "d")
    vector = list(struct.unpack(f"<{len(numbers) // width}{form}", numbers))
    return key, {label.decode("utf-8", "surrogatepass"): vector}


EmbeddingCacheStore.__module__ = "llamaindex_agentperf"
