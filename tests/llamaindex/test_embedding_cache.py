"""`EmbeddingCacheStore`: LlamaIndex's key-value contract, and whose vectors they are."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core import MockEmbedding
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.storage.kvstore.types import BaseKVStore

from agentperf_core.cache import MemoryStore
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS
from llamaindex_agentperf import EmbeddingCacheStore

# LlamaIndex's own key-value contract, once for its store and once for ours.


@pytest.fixture(params=["simple", "ours"])
def kv(request: pytest.FixtureRequest) -> BaseKVStore:
    return SimpleKVStore() if request.param == "simple" else EmbeddingCacheStore("m")


def test_put_get_and_delete(kv: BaseKVStore) -> None:
    assert kv.get("key") is None
    kv.put("key", {"a": "b", "n": [1, 2.5, None]})
    assert kv.get("key") == {"a": "b", "n": [1, 2.5, None]}
    kv.put("key", {"a": "c"})
    assert kv.get("key") == {"a": "c"}
    assert kv.delete("key") is True
    assert kv.delete("key") is False
    assert kv.get("key") is None


async def test_put_get_and_delete_async(kv: BaseKVStore) -> None:
    assert await kv.aget("key") is None
    await kv.aput("key", {"a": "b"})
    assert await kv.aget("key") == kv.get("key") == {"a": "b"}
    assert await kv.aget_all() == {"key": {"a": "b"}}
    assert await kv.adelete("key") is True
    assert await kv.adelete("key") is False
    assert await kv.aget_all() == {}


def test_collections_are_apart(kv: BaseKVStore) -> None:
    kv.put("key", {"a": 1}, collection="one")
    kv.put("key", {"a": 2}, collection="two")
    assert kv.get("key") is None
    assert [kv.get("key", collection=name) for name in ("one", "two")] == [{"a": 1}, {"a": 2}]
    assert kv.delete("key", collection="one")
    assert kv.get_all("one") == {}
    assert kv.get_all("two") == {"key": {"a": 2}}


async def test_several_at_once(kv: BaseKVStore) -> None:
    pairs: list[Any] = [(f"key {n}", {"n": n}) for n in range(5)]
    kv.put_all(pairs[:3])
    await kv.aput_all(pairs[3:])
    assert kv.get_all() == dict(pairs)


def test_values_are_copies(kv: BaseKVStore) -> None:
    value = {"a": 1}
    kv.put("key", value)
    value["a"] = 2
    found = kv.get("key")
    assert found is not None
    assert found == {"a": 1}
    found["a"] = 3
    assert kv.get("key") == {"a": 1}


def test_any_batch_size_will_do() -> None:
    store = EmbeddingCacheStore("m")
    store.put_all([("a", {"x": 1}), ("b", {"x": 2})], batch_size=10)
    assert len(store.get_all()) == 2


# Models


def embedding(dim: int, **fields: Any) -> MockEmbedding:
    return MockEmbedding(embed_dim=dim, **fields)


class CountingEmbedding(MockEmbedding):
    calls: int = 0

    def _get_text_embedding(self, text: str) -> list[float]:
        self.calls += 1
        return [float(len(text)), *[0.1] * (self.embed_dim - 1)]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embedding(text)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def test_the_stock_cache_gives_one_model_the_vectors_of_another_and_ours_does_not() -> None:
    shared = SimpleKVStore()
    small, large = embedding(4, embeddings_cache=shared), embedding(8, embeddings_cache=shared)
    assert [len(model.get_text_embedding("hello")) for model in (small, large)] == [4, 4]
    store = MemoryStore()
    for model in (small, large):
        model.embeddings_cache = EmbeddingCacheStore(model, store=store)
    assert [len(model.get_text_embedding("hello")) for model in (small, large)] == [4, 8]


async def test_every_endpoint_of_a_model_uses_it() -> None:
    model = CountingEmbedding(embed_dim=3)
    model.embeddings_cache = EmbeddingCacheStore(model)
    expected = model.get_text_embedding("hello")
    assert model.get_text_embedding_batch(["hello", "hello"]) == [expected] * 2
    assert await model.aget_text_embedding("hello") == expected
    assert await model.aget_text_embedding_batch(["hello"]) == [expected]
    assert model.get_query_embedding("hello") == expected
    assert await model.aget_query_embedding("hello") == expected
    assert model.calls == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (embedding(3), embedding(3), True),
        (embedding(3), embedding(4), False),
        (embedding(3, model_name="a"), embedding(3, model_name="b"), False),
        (embedding(3), CountingEmbedding(embed_dim=3), False),
        (embedding(3, embed_batch_size=5), embedding(3, embed_batch_size=9), True),
        (embedding(3), "mine", False),
        ("mine", "mine", True),
        ("mine", "yours", False),
    ],
    ids=["equal", "size", "name", "class", "batch", "by name", "same name", "other name"],
)
def test_models_are_told_apart_by_what_shapes_their_vectors(
    one: BaseEmbedding | str, other: BaseEmbedding | str, same: bool
) -> None:
    store = MemoryStore()
    EmbeddingCacheStore(one, store=store).put("hello", {"x": [1.0]})
    found = EmbeddingCacheStore(other, store=store).get("hello")
    assert found == ({"x": [1.0]} if same else None)


def test_what_cannot_be_told_apart_is_refused() -> None:
    class Odd(MockEmbedding):
        how: Any = None

    with pytest.raises(ConfigError, match="give a name"):
        EmbeddingCacheStore(Odd(embed_dim=3, how=lambda text: text))
    for wrong in (None, "", 7):
        with pytest.raises(ConfigError, match="embedding model"):
            EmbeddingCacheStore(wrong)  # pyright: ignore[reportArgumentType] - the subject
    with pytest.raises(ConfigError, match="ttl_s"):
        EmbeddingCacheStore("m", ttl_s=0)


# Values

VECTORS = st.lists(st.floats(allow_nan=False), min_size=1, max_size=20)


@given(st.text(), VECTORS, st.text(max_size=40))
def test_vectors_come_back_as_they_were(text: str, vector: list[float], label: str) -> None:
    store = EmbeddingCacheStore("m")
    store.put(text, {label: vector})
    assert store.get(text) == {label: vector}


def test_not_a_number_comes_back() -> None:
    store = EmbeddingCacheStore("m")
    store.put("x", {"v": [math.nan, math.inf]})
    found = store.get("x")
    assert found is not None
    assert math.isnan(found["v"][0])
    assert found["v"][1] == math.inf


def test_vectors_take_four_bytes_a_number_where_that_loses_nothing() -> None:
    backend = MemoryStore()
    store = EmbeddingCacheStore("m", store=backend)
    exact = list(struct.unpack("<100f", struct.pack("<100f", *(0.1 * n for n in range(100)))))
    sizes: list[int] = []
    for vector in (exact, [0.1 * n for n in range(100)]):
        store.put("text", {"id": vector})
        assert store.get("text") == {"id": vector}
        (key,) = backend.scan()
        sizes.append(len(backend.get(key) or b""))
    assert sizes[0] < 430
    assert sizes[1] < 830


def test_texts_are_forgotten_after_their_time() -> None:
    clock = FakeClock()
    store = EmbeddingCacheStore("m", store=MemoryStore(clock=clock), ttl_s=60)
    store.put("x", {"v": [1.0]})
    clock.advance(61)
    assert store.get("x") is None


class Broken(MemoryStore):
    def get(self, key: str) -> bytes | None:
        raise OSError

    def set(self, key: str, value: bytes, ttl_s: float | None, tags: Any = ()) -> None:
        raise OSError


async def test_a_store_that_fails_costs_only_the_cache() -> None:
    model = CountingEmbedding(embed_dim=3)
    model.embeddings_cache = EmbeddingCacheStore(model, store=Broken())
    before = BUS.faults().get("embedding_cache.store", 0)
    assert model.get_text_embedding("hello") == await model.aget_text_embedding("hello")
    assert model.calls == 2
    assert BUS.faults()["embedding_cache.store"] > before


@pytest.mark.parametrize(
    "raw", [b"", b"x", b"\x02" + b"\0" * 20, b"\x01\x09" + b"\0" * 20, b"\x01\x01\xff\xff\xff\xff"]
)
def test_foreign_bytes_are_a_miss(raw: bytes) -> None:
    backend = MemoryStore()
    store = EmbeddingCacheStore("m", store=backend)
    store.put("x", {"v": [1.0]})
    (key,) = backend.scan()
    backend.set(key, raw, None)
    assert store.get("x") is None
    assert store.get_all() == {}


def test_a_value_that_is_not_plain_data_is_not_kept() -> None:
    store = EmbeddingCacheStore("m")
    store.put("x", {"v": object()})
    assert store.get("x") is None
