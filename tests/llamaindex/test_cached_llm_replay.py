"""Replayed streams: the pieces in which they came, in every kind of call."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
)
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from llamaindex_tools import ScriptedLLM, calls, mark, says, user

from agentperf_core.cache import CacheDecision, CachePolicy, ExactCache, MemoryStore
from agentperf_core.cache.codec import pack, unpack
from agentperf_core.clock import FakeClock
from agentperf_core.errors import CodecError
from llamaindex_agentperf import CachedLLM
from llamaindex_agentperf.llms._codec import CHAT
from llamaindex_agentperf.llms._replay import chat_pieces, completion_pieces
from llamaindex_agentperf.llms._streams import Watch, empty_chat

ASK = [user("Where is order 7?")]
DELTAS = ["echo", " Where", " is", " order", " 7?"]


def get_order(order_id: int) -> str:
    """State of an order."""
    return "shipped"


TOOLS = [FunctionTool.from_defaults(get_order)]


async def test_a_replay_has_the_chunk_borders_of_the_live_stream() -> None:
    llm = CachedLLM(ScriptedLLM())
    live = list(llm.stream_chat(ASK))
    replayed = list(llm.stream_chat(ASK))
    areplayed = [chunk async for chunk in await llm.astream_chat(ASK)]
    for chunks in (live, replayed, areplayed):
        assert [chunk.delta for chunk in chunks] == DELTAS
        assert [chunk.message.content for chunk in chunks] == [
            "".join(DELTAS[: n + 1]) for n in range(len(DELTAS))
        ]
    assert mark(replayed[0])["outcome"] == mark(areplayed[-1])["outcome"] == "hit"
    assert all(chunk.raw is None for chunk in replayed)


async def test_completions_too() -> None:
    llm = CachedLLM(ScriptedLLM())
    assert [c.delta for c in llm.stream_complete("Where is order 7?")] == DELTAS
    replayed = [c async for c in await llm.astream_complete("Where is order 7?")]
    assert [chunk.delta for chunk in replayed] == DELTAS
    assert [chunk.text for chunk in replayed][-1] == "echo Where is order 7?"


async def test_streams_with_tools_share_answers_with_plain_calls_with_tools() -> None:
    inner = ScriptedLLM(lambda _: calls(("get_order", {"order_id": 7})))
    llm = CachedLLM(inner)
    llm.chat_with_tools(TOOLS, chat_history=list(ASK))
    stream = await llm.astream_chat_with_tools(TOOLS, chat_history=list(ASK))
    last = [chunk async for chunk in stream][-1]
    assert mark(last)["outcome"] == "hit"
    (selection,) = llm.get_tool_calls_from_response(last)
    assert (selection.tool_name, selection.tool_kwargs) == ("get_order", {"order_id": 7})
    assert inner.calls_made == 1


def test_an_answer_that_came_whole_is_replayed_by_words() -> None:
    llm = CachedLLM(ScriptedLLM(lambda _: says("one two  three\nfour")))
    llm.chat(ASK)
    assert [c.delta for c in llm.stream_chat(ASK)] == ["one ", "two  ", "three\n", "four"]


TEXTS = st.text(max_size=60)
PIECES = st.lists(st.integers(-2, 9), max_size=12)


@given(TEXTS, PIECES)
def test_pieces_always_make_the_text(text: str, pieces: list[int]) -> None:
    """Also where a stored list of lengths does not fit the text."""
    whole = ChatResponse(message=ChatMessage(role="assistant", content=text))
    chunks = list(chat_pieces(whole, pieces))
    assert "".join(chunk.delta or "" for chunk in chunks) == text
    assert chunks[-1].message.content == whole.message.content
    parts = list(completion_pieces(CompletionResponse(text=text), pieces))
    assert "".join(part.delta or "" for part in parts) == text


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=10))
def test_pieces_that_fit_are_kept(deltas: list[str]) -> None:
    whole = ChatResponse(message=ChatMessage(role="assistant", content="".join(deltas)))
    chunks = chat_pieces(whole, [len(delta) for delta in deltas])
    assert [chunk.delta for chunk in chunks] == deltas


class Forgetful(ScriptedLLM):
    """Each of its chunks holds its own piece alone."""

    def _chunks(self, reply: ChatMessage) -> Any:
        for chunk in super()._chunks(reply):
            own = chunk.message.model_copy(update={"blocks": says(chunk.delta or "").blocks})
            yield chunk.model_copy(update={"message": own})


async def test_a_stream_whose_chunks_are_not_cumulative_is_given_and_not_kept() -> None:
    """Its last chunk was kept as the whole answer, so the next caller got the last word.

    LlamaIndex's own mocks stream like this, and its tests found it.
    """
    llm = CachedLLM(Forgetful())
    chunks = list(llm.stream_chat(ASK))
    assert [chunk.delta for chunk in chunks] == DELTAS
    assert "cumulative" in mark(chunks[-1])["reason"]
    assert llm.chat(ASK).message.content == "echo Where is order 7?"
    completed = [c async for c in await llm.astream_complete("Where is order 7?")]
    assert "cumulative" in mark(completed[-1])["reason"]
    assert llm.complete("Where is order 7?").text == "echo Where is order 7?"


def test_an_answer_of_another_role_is_given_and_not_kept() -> None:
    """It was stored, could never be read, and so cost a look and a write at every call."""
    inner = ScriptedLLM(lambda _: user("who says this?"))
    llm = CachedLLM(inner)
    answers = [llm.chat(ASK) for _ in range(2)]
    assert [answer.message.role.value for answer in answers] == ["user", "user"]
    assert {mark(answer)["outcome"] for answer in answers} == {"bypass"}
    assert "'user'" in mark(answers[0])["reason"]


@pytest.mark.parametrize(
    "message",
    [
        ChatMessage(role="assistant", content="echo Where is order 7?\n"),
        ChatMessage(
            role="assistant",
            blocks=[ThinkingBlock(content="echo Where is"), TextBlock(text="order 7?")],
        ),
        calls(("get_order", {"order_id": 7})),
        ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": [{"id": "1"}]}),
    ],
    ids=["trimmed blanks", "thoughts in the deltas", "tool call", "tool call of older models"],
)
def test_a_last_chunk_that_says_all_is_kept(message: ChatMessage) -> None:
    watch = Watch(empty_chat)
    for delta in DELTAS:
        watch.see(ChatResponse(message=message, delta=delta))
    assert not watch.whole().cut


def test_an_empty_stream_is_given_and_not_kept() -> None:
    class Silent(ScriptedLLM):
        def _chunks(self, reply: ChatMessage) -> Any:
            return iter(())

    llm = CachedLLM(Silent())
    for _ in range(2):
        assert list(llm.stream_chat(ASK)) == []
    assert llm.stats().misses == 0


def test_a_stale_answer_takes_the_place_of_a_stream_that_cannot_be_opened() -> None:
    clock = FakeClock()
    answers = iter([says("the answer"), ConnectionError("down")])
    policy = CachePolicy(ttl_s=60, stale_if_error_s=60)
    cache = ExactCache(MemoryStore(clock=clock), policy=policy, clock=clock)
    llm = CachedLLM(ScriptedLLM(lambda _: next(answers)), cache=cache)
    llm.chat(ASK)
    clock.advance(61)
    last = list(llm.stream_chat(ASK))[-1]
    assert (last.message.content, mark(last)["stale"]) == ("the answer", True)


def test_stats_say_what_was_saved() -> None:
    llm = CachedLLM(ScriptedLLM())
    for _ in range(3):
        llm.chat(ASK)
    stats = llm.stats()
    assert (stats.misses, dict(stats.hits), stats.saved_tokens) == (1, {"exact": 2}, 240)


def test_a_field_that_changes_in_place_changes_the_key() -> None:
    """The identity of a model is kept between calls, and compared with what it is now."""
    inner = OpenAI(model="gpt-4o-mini", api_key="x", additional_kwargs={"seed": [1]})
    desk = CachedLLM(inner)
    keys = [desk._desk.request(desk, ASK, {}).key for _ in range(2)]
    inner.additional_kwargs["seed"].append(2)
    keys.append(desk._desk.request(desk, ASK, {}).key)
    inner.model = "gpt-4o"
    keys.append(desk._desk.request(desk, ASK, {}).key)
    inner.additional_kwargs = {"seed": [1]}
    inner.model = "gpt-4o-mini"
    keys.append(desk._desk.request(desk, ASK, {}).key)
    assert keys[0] == keys[1] == keys[4]
    assert len(set(keys)) == 3


def test_a_served_answer_is_in_every_way_like_one_that_pydantic_made() -> None:
    """The usual answer is built past pydantic's checks, which cost a fifth of a hit."""
    llm = CachedLLM(ScriptedLLM())
    llm.chat(ASK)
    served = llm.chat(ASK)
    made = ChatResponse(
        message=ChatMessage(role="assistant", content="echo Where is order 7?"),
        additional_kwargs=served.additional_kwargs,
    )
    assert served == made
    assert repr(served) == repr(made)
    assert served.model_dump() == made.model_dump()
    assert served.model_copy(deep=True) == ChatResponse.model_validate(made.model_dump())
    served.message.content = "changed"
    served.message.additional_kwargs["x"] = 1
    assert llm.chat(ASK).message == made.message


IMAGE = {"block_type": "image", "path": "secret.png"}
CITED = {"source": "s", "title": "t", "additional_location_info": {}, "cited_content": IMAGE}
POISON: tuple[tuple[dict[str, Any], bool], ...] = (
    ({"pieces": ["x"]}, True),
    ({"pieces": 5}, True),
    ({"pieces": [-3, 26]}, True),
    ({"role": "system"}, False),
    ({"role": "user"}, False),
    ({"blocks": [5]}, False),
    ({"blocks": {"block_type": "text", "text": "x"}}, False),
    ({"blocks": [{"block_type": "text", "text": 5}]}, False),
    ({"blocks": [IMAGE]}, False),
    ({"blocks": [{"block_type": "image", "url": "http://localhost/"}]}, False),
    ({"blocks": [{"block_type": "citation", **CITED}]}, False),
    ({"blocks": [{"block_type": "document", "path": "secret.txt"}]}, False),
    ({"answer_extra": 5}, False),
)


@pytest.mark.parametrize(("bad", "served"), POISON, ids=lambda bad: str(bad)[:50])
def test_what_a_poisoned_store_says_is_passed_over(bad: dict[str, Any], served: bool) -> None:
    """Nothing stored can speak for the user or the system, or name a file that is then read."""
    for how in ("chat", "stream_chat"):
        inner, store = ScriptedLLM(), MemoryStore()
        llm = CachedLLM(inner, store=store)
        llm.chat(ASK)
        (key,) = store.scan()
        entry = unpack(store.get(key) or b"")
        store.set(key, pack(entry._replace(body={**entry.body, **bad})), None)
        answer: Any = getattr(llm, how)(ASK)
        last = answer if how == "chat" else list(answer)[-1]
        assert last.message.content == "echo Where is order 7?"
        assert inner.calls_made == (1 if served else 2)


def test_an_entry_that_cannot_be_read_is_announced_to_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    announced: list[Any] = []
    monkeypatch.setattr("llamaindex_agentperf.llms._codec.announce_hit", announced.append)
    body = {"role": "user", "blocks": [], "extra": {}, "answer_extra": {}, "logprobs": None}
    decision = CacheDecision(outcome="hit", reason="")
    with pytest.raises(CodecError, match="role"):
        CHAT.decode({**body, "pieces": []}, decision)
    assert announced == []
    CHAT.decode({**body, "pieces": [], "role": "assistant"}, decision)
    assert len(announced) == 1


def test_an_answer_that_is_somewhere_else_is_not_kept() -> None:
    inner = ScriptedLLM(
        lambda _: ChatMessage(role="assistant", blocks=[ImageBlock(url="http://localhost/a.png")])
    )
    llm = CachedLLM(inner)
    assert [mark(llm.chat(ASK))["outcome"] for _ in range(2)] == ["bypass", "bypass"]
