"""`CachedLLM` around unusual models and callers: nothing wrong is served, nobody waits for ever."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document, SummaryIndex
from llama_index.core.base.llms.types import ChatMessage, CitableBlock, DocumentBlock
from llama_index.llms.openai import OpenAI
from llamaindex_tools import ScriptedLLM, calls, mark, says, user
from pydantic import BaseModel, ConfigDict

from agentperf_core.cache import ExactCache
from agentperf_core.cache.requests.keys import Unkeyable
from agentperf_core.telemetry import Recorder
from llamaindex_agentperf import CachedLLM, instrument
from llamaindex_agentperf._convert import message_parts
from llamaindex_agentperf._identity import model_identity

pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
)


class Song(BaseModel):
    title: str


def _song(messages: Any) -> ChatMessage:
    return calls(("Song", {"title": "Blue"}))


def test_a_structured_model_is_passed_by_because_its_object_cannot_be_kept() -> None:
    """A hit had `raw=None`, where the caller reads the parsed object."""
    llm = CachedLLM(ScriptedLLM(_song).as_structured_llm(Song))
    answers = [llm.chat([user("sing")]) for _ in range(2)]
    assert [answer.raw for answer in answers] == [Song(title="Blue")] * 2
    assert mark(answers[1])["outcome"] == "bypass"


def test_a_structured_model_around_the_cache_has_its_object_and_its_hit() -> None:
    inner = ScriptedLLM(_song)
    llm = CachedLLM(inner).as_structured_llm(Song)
    assert [llm.chat([user("sing")]).raw for _ in range(2)] == [Song(title="Blue")] * 2
    assert inner.calls_made == 1


def test_a_file_inside_another_block_cannot_be_keyed(tmp_path: Path) -> None:
    """Its path was the key, and its content could change behind it."""
    (tmp_path / "a.txt").write_text("one")
    inside = DocumentBlock(path=tmp_path / "a.txt", document_mimetype="text/plain")
    block = CitableBlock(title="t", source="s", content=[inside])
    with pytest.raises(Unkeyable, match="read from a file"):
        message_parts(ChatMessage(role="user", blocks=[block]))


def test_headers_are_identity_without_their_credentials() -> None:
    """Gateways choose the model by a header, and OpenAI the organisation."""

    def made(**headers: str) -> dict[str, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return model_identity(OpenAI(model="gpt-4o", api_key="k", default_headers=named))

    assert made(X_Provider="a") != made(X_Provider="b")
    assert made(X_Provider="a", Authorization="1") == made(X_Provider="a", Authorization="2")


def test_headers_of_one_call_count_too() -> None:
    inner = ScriptedLLM()
    llm = CachedLLM(inner)
    for provider in "abab":
        llm.chat([user("hi")], extra_headers={"X-Provider": provider})
    assert inner.calls_made == 2


def test_fields_that_a_class_never_declared_are_identity() -> None:
    class Open(ScriptedLLM):
        model_config = ConfigDict(extra="allow")

    def made(**fields: Any) -> dict[str, Any]:
        return model_identity(Open(**fields))

    assert made(persona="pirate") != made(persona="butler")
    assert made(persona="pirate", other_key="1") == made(persona="pirate", other_key="2")


def test_nobody_waits_for_ever_for_a_stream_that_is_left_standing() -> None:
    """One slow reader of a stream stopped everyone who asked the same."""
    llm = CachedLLM(ScriptedLLM(), cache=ExactCache(max_wait_s=0.01))
    standing = llm.stream_chat([user("hi")])
    next(standing)
    answers: list[Any] = []
    other = threading.Thread(target=lambda: answers.append(llm.chat([user("hi")])), daemon=True)
    other.start()
    other.join(timeout=30)
    assert [answer.message.content for answer in answers] == ["echo hi"]
    assert list(standing)[-1].message.content == "echo hi"


def test_a_chunk_that_cannot_be_read_does_not_end_the_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("odd chunk")

    llm = CachedLLM(ScriptedLLM())
    monkeypatch.setattr("llamaindex_agentperf.llms._streams.finish_of", fail)
    monkeypatch.setattr("llamaindex_agentperf.llms._streams.marked", fail)
    assert list(llm.stream_chat([user("hi")]))[-1].message.content == "echo hi"


@pytest.mark.parametrize("hook", ["start", "chunk", "annotate", "end"])
def test_a_recorder_that_raises_harms_neither_the_call_nor_the_spans_around_it(hook: str) -> None:
    """The spans around the failed one stayed open for ever, and taking the handlers down raised."""

    class Broken(Recorder):
        def __getattribute__(self, name: str) -> Any:
            if name == hook:
                raise RuntimeError("out of order")
            return super().__getattribute__(name)

    index = SummaryIndex.from_documents([Document(text="a page")])
    with instrument(recorder=Broken()) as seen:
        engine = index.as_query_engine(llm=ScriptedLLM(lambda _: says("yes")), streaming=True)
        reply: Any = engine.query("is it?")
        assert "".join(reply.response_gen) == "yes"
        assert seen.open_spans() == 0
