"""Any encoder becomes an `Embedder`: recognised by its methods, told apart by its name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.embeddings import MockEmbedding
from pydantic import PrivateAttr

from agentperf_core.cache.embedding.embedders import as_embedder, is_only_async
from agentperf_core.cache.embedding.sentence import SentenceEncoder
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError

VECTOR = [3.0, 4.0]


def embed_texts(texts: list[str]) -> list[list[float]]:
    return [VECTOR for _ in texts]


async def embed_texts_async(texts: list[str]) -> list[list[float]]:
    return [VECTOR for _ in texts]


class SyncOnly:
    model_name = "sync-model"

    def embed(self, texts: list[str]) -> Iterator[list[float]]:
        """Like fastembed: an iterator, and no name."""
        return iter([VECTOR for _ in texts])


class AsyncOnly:
    async def aembed(self, texts: Sequence[str]) -> list[list[float]]:
        return [VECTOR for _ in texts]


class Called:
    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        return [VECTOR for _ in texts]


class Ours:
    name = "ours"

    def embed(self, texts: Sequence[str]) -> Any:
        return np.array([VECTOR for _ in texts], dtype=np.float32)

    async def aembed(self, texts: Sequence[str]) -> Any:
        return self.embed(texts)


class LangChain(Embeddings):
    model = "text-embedding-x"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return embed_texts(texts)

    def embed_query(self, text: str) -> list[float]:
        raise AssertionError("one text at a time")


class LlamaIndex(BaseEmbedding):
    _batches: list[list[str]] = PrivateAttr(default_factory=list)

    def _get_query_embedding(self, query: str) -> list[float]:
        raise AssertionError("one text at a time")

    async def _aget_query_embedding(self, query: str) -> list[float]:
        raise AssertionError("one text at a time")

    def _get_text_embedding(self, text: str) -> list[float]:
        raise AssertionError("one text at a time")

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        self._batches.append(list(texts))
        return embed_texts(texts)


SOURCES = {
    "own": Ours(),
    "sync callable": embed_texts,
    "async callable": embed_texts_async,
    "lambda": lambda texts: [VECTOR for _ in texts],
    "lambda that gives an awaitable": lambda texts: embed_texts_async(list(texts)),
    "partial": partial(embed_texts_async),
    "object that is called": Called(),
    "sync only": SyncOnly(),
    "async only": AsyncOnly(),
    "LangChain": LangChain(),
    "LlamaIndex": LlamaIndex(model_name="llama"),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_source_is_asked_for_a_list_of_texts(source: object):
    given = as_embedder(source).embed(["a", "b", "c"])
    assert np.asarray(list(given)).tolist() == [VECTOR] * 3


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
async def test_a_source_is_awaited_for_a_list_of_texts(source: object):
    given = await as_embedder(source).aembed(["a", "b", "c"])
    assert np.asarray(list(given)).tolist() == [VECTOR] * 3


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("async callable", True),
        ("partial", True),
        ("object that is called", True),
        ("async only", True),
        ("own", False),
        ("sync callable", False),
        ("LangChain", False),
    ],
)
def test_it_is_known_which_sources_must_be_awaited(source: str, expected: bool):
    assert is_only_async(as_embedder(SOURCES[source])) is expected


@dataclass(frozen=True)
class Bad:
    source: object
    wrong: str


@pytest.mark.parametrize(
    "case",
    [
        Bad(None, "None"),
        Bad(5, "5"),
        Bad(object(), "object"),
        Bad(SyncOnly, "SyncOnly()"),
    ],
    ids=lambda case: str(case.wrong),
)
def test_what_is_no_encoder_is_refused_with_the_way_out(case: Bad):
    with pytest.raises(ConfigError) as caught:
        as_embedder(case.source)
    assert case.wrong in str(caught.value)
    assert "model name" in str(caught.value) or "write" in str(caught.value)


# Names: vectors of encoders with one name are compared with each other


def test_two_models_of_one_class_have_two_names():
    small, large = LangChain(), LangChain()
    large.model = "text-embedding-large"
    names = {as_embedder(small).name, as_embedder(large).name}
    assert len(names) == 2
    assert as_embedder(small).name == as_embedder(LangChain()).name


def test_shortened_vectors_have_another_name():
    short = LangChain()
    short.dimensions = 256  # pyright: ignore[reportAttributeAccessIssue] - as OpenAIEmbeddings has
    assert as_embedder(short).name != as_embedder(LangChain()).name


def test_a_model_that_llama_index_calls_unknown_has_the_name_of_its_class():
    assert as_embedder(MockEmbedding(embed_dim=4)).name == "llama_index.MockEmbedding"
    assert "unknown" not in as_embedder(DeterministicFakeEmbedding(size=4)).name


def test_a_function_has_its_name_and_two_lambdas_have_two():
    assert as_embedder(embed_texts).name == f"{__name__}.embed_texts"
    first, second = (as_embedder(lambda texts: texts) for _ in range(2))
    assert first.name != second.name


def test_a_given_name_is_the_name():
    for source in SOURCES.values():
        assert as_embedder(source, name="mine").name == "mine"


# sentence-transformers, without the library: what its object looks like


class Tokenizer:
    name_or_path = "org/model"

    def encode(self, text: str, *, verbose: bool) -> list[str]:
        return ["[CLS]", *text.split(), "[SEP]"]


class FakeSentenceTransformer:
    max_seq_length = 12
    tokenizer = Tokenizer()

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight
        self.prompts = {"query": ""}
        self.calls: list[dict[str, Any]] = []

    def named_parameters(self) -> Iterator[tuple[str, Any]]:
        yield "weight", np.array([self.weight])

    def encode(self, texts: list[str], **kwargs: Any) -> Any:
        raise AssertionError("questions have a way of their own")

    def encode_query(self, texts: list[str], **kwargs: Any) -> Any:
        self.calls.append(kwargs)
        return np.array([VECTOR for _ in texts], dtype=np.float32)


def test_a_sentence_transformer_is_asked_for_questions_without_a_progress_bar():
    model = FakeSentenceTransformer()
    as_embedder(model).embed(["a"])
    assert model.calls == [{"show_progress_bar": False, "convert_to_numpy": True}]


def test_a_text_that_the_model_would_cut_does_not_fit():
    """The rest would be ignored, and two texts with one beginning be the same question."""
    encoder: Any = as_embedder(FakeSentenceTransformer())
    assert encoder.fits("short")
    assert encoder.fits("ten words that are together longer than twelve characters are")
    assert not encoder.fits("one two three four five six seven eight nine ten eleven twelve")


def test_the_weights_are_part_of_the_name():
    """Fine-tuning does not change what a model was loaded as."""
    names = [as_embedder(FakeSentenceTransformer(weight)).name for weight in (1.0, 1.0, 2.0)]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("org/model#")


def test_a_folder_has_the_name_of_its_files_and_not_of_its_place(tmp_path: Path):
    for place, weights in (("a", b"1" * 70_000), ("b", b"1" * 70_000), ("c", b"2" * 70_000)):
        folder = tmp_path / place / "minilm"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "config.json").write_text("{}")
    names = [as_embedder(str(tmp_path / place / "minilm")).name for place in "abc"]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("minilm#")
    assert str(tmp_path) not in names[0]


class Library(ModuleType):
    """Stands in for sentence_transformers, which takes seconds to import."""

    def __init__(self) -> None:
        super().__init__("sentence_transformers")
        self.__spec__ = ModuleSpec("sentence_transformers", None)
        self.loaded: list[str] = []
        self.broken = False

    def SentenceTransformer(self, path: str) -> FakeSentenceTransformer:  # noqa: N802 - the library's own name
        self.loaded.append(path)
        if self.broken:
            raise OSError("no such model")
        return FakeSentenceTransformer()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library()
    monkeypatch.setitem(sys.modules, "sentence_transformers", library)
    return library


def test_a_model_is_loaded_once_for_all_who_name_it(library: Library):
    first, second = as_embedder("org/some-model"), as_embedder("org/some-model")
    for encoder in (first, second, first):
        encoder.embed(["a"])
    assert library.loaded == ["org/some-model"]
    assert first.name == second.name == "org/some-model"


def test_a_model_that_cannot_be_loaded_is_not_tried_again_with_every_question(library: Library):
    """A hub that does not answer takes minutes."""
    clock = FakeClock()
    library.broken = True
    encoder = SentenceEncoder("org/gone", clock=clock)
    for seconds in (0, 59, 2):
        clock.advance(seconds)
        with pytest.raises(OSError, match="no such model"):
            encoder.embed(["a"])
    assert len(library.loaded) == 2


def test_naming_a_model_loads_nothing():
    """The library takes seconds, and is needed with the first question only."""
    code = (
        "import sys; from agentperf_core.cache.embedding.embedders import as_embedder\n"
        "as_embedder('sentence-transformers/all-MiniLM-L6-v2')\n"
        "print({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
