"""`CachedChatModel`: a model's own answers once, streamed or whole, and nothing changed else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import RunnableBinding
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from agentperf_core.accounting import TokenCounter
from agentperf_core.cache import CachePolicy, MemoryStore
from agentperf_core.cache import ExactCache as CoreCache
from agentperf_core.cache.codec import pack, unpack
from agentperf_core.errors import ConfigError
from agentperf_core.testing import FakeClock
from langchain_agentperf import CachedChatModel, latency_callback
from tests.langchain.scripted_models import ScriptedChat, call, say

pytestmark = [
    pytest.mark.filterwarnings("ignore:The v3 streaming protocol on Pregel is experimental"),
    pytest.mark.filterwarnings("ignore:The method `BaseChatModel._a?chat_model_stream_v3`"),
]

ASKED = "Where is order 7?"


def shipped(number: int, messages: list[BaseMessage]) -> AIMessage:
    return say(f"It has shipped ({number}).")


def mark(message: BaseMessage) -> dict[str, Any]:
    return message.response_metadata["agentperf"]["cache"]


def merged(chunks: list[Any]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


def invoke(model: Any) -> BaseMessage:
    return model.invoke(ASKED)


def ainvoke(model: Any) -> BaseMessage:
    return asyncio.run(model.ainvoke(ASKED))


def stream(model: Any) -> BaseMessage:
    return merged(list(model.stream(ASKED)))


def astream(model: Any) -> BaseMessage:
    async def drain() -> list[Any]:
        return [chunk async for chunk in model.astream(ASKED)]

    return merged(asyncio.run(drain()))


def batch(model: Any) -> BaseMessage:
    return model.batch([ASKED])[0]


def events(model: Any) -> BaseMessage:
    found = model.stream_events(ASKED, version="v3")
    list(found)
    return found.output


def aevents(model: Any) -> BaseMessage:
    async def drain() -> BaseMessage:
        found = await model.astream_events(ASKED, version="v3")
        return await found.output

    return asyncio.run(drain())


WAYS = (invoke, ainvoke, stream, astream, batch, events, aevents)


@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
def test_every_way_to_ask_shares_its_answers(
    first: Callable[[Any], BaseMessage], second: Callable[[Any], BaseMessage]
) -> None:
    inner = ScriptedChat(answer=shipped)
    model = CachedChatModel(inner)
    live, hit = first(model), second(model)
    assert inner.calls == 1
    assert (live.text, hit.text) == ("It has shipped (1).",) * 2
    assert (mark(live)["outcome"], mark(hit)["outcome"]) == ("miss", "hit")
    assert live.id != hit.id
    assert isinstance(live, AIMessage)
    assert isinstance(hit, AIMessage)
    assert live.usage_metadata is not None
    assert hit.usage_metadata is None
    assert mark(hit)["saved_usage"]["output_tokens"] == 5
    assert hit.response_metadata["finish_reason"] == "stop"


class ByLetters(ScriptedChat):
    def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        for chunk in super()._stream(messages, *args, **kwargs):
            letters = list(chunk.message.text)
            if not letters:
                yield chunk
            for letter in letters:
                yield ChatGenerationChunk(message=AIMessageChunk(content=letter))


def test_a_stream_comes_back_with_its_chunk_borders() -> None:
    model = CachedChatModel(ByLetters(answer=lambda n, m: say("Hi you")))
    for _ in range(2):
        assert [chunk.text for chunk in model.stream(ASKED) if chunk.text] == list("Hi you")
    events: list[Any] = list(model.stream_events(ASKED, version="v3"))
    deltas = [e["delta"]["text"] for e in events if e["event"] == "content-block-delta"]
    assert deltas == list("Hi you")


def test_the_last_chunk_of_a_live_stream_says_that_it_was_stored() -> None:
    *rest, last = CachedChatModel(ScriptedChat()).stream(ASKED)
    assert (mark(last)["outcome"], last.chunk_position) == ("miss", "last")
    assert all(chunk.chunk_position is None for chunk in rest)


def test_tokens_are_counted_once() -> None:
    model, usage = CachedChatModel(ScriptedChat()), UsageMetadataCallbackHandler()
    for _ in range(3):
        model.invoke(ASKED, {"callbacks": [usage]})
        list(model.stream(ASKED, {"callbacks": [usage]}))
    assert usage.usage_metadata["scripted-1"]["input_tokens"] == 10


def test_a_stream_that_breaks_off_is_not_stored() -> None:
    inner = ScriptedChat(answer=shipped, break_after=2)
    model = CachedChatModel(inner)
    with pytest.raises(ConnectionError):
        list(model.stream(ASKED))
    inner.break_after = None
    assert model.invoke(ASKED).text == "It has shipped (2)."


def test_a_stream_that_its_reader_leaves_is_not_stored() -> None:
    inner = ScriptedChat(answer=shipped)
    model = CachedChatModel(inner)
    for chunk in model.stream(ASKED):
        if chunk.text:
            break
    assert mark(model.invoke(ASKED))["outcome"] == "miss"
    assert inner.calls == 2


class Gated(ScriptedChat):
    """Says a word per `say_on`."""

    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kw: Any):
        for chunk in self._stream(messages, **kw):
            if chunk.message.text:
                await GATES[id(self)].acquire()
            yield chunk


GATES: dict[int, asyncio.Semaphore] = {}


async def test_equal_streams_at_once_are_one_call() -> None:
    inner, readers, begun = Gated(answer=shipped), 20, 0
    gate = GATES[id(inner)] = asyncio.Semaphore(1)
    model, usage = CachedChatModel(inner), UsageMetadataCallbackHandler()

    async def read() -> AIMessageChunk:
        nonlocal begun
        chunks: list[Any] = []
        async for chunk in model.astream(ASKED, {"callbacks": [usage]}):
            if chunk.text and not any(before.text for before in chunks):
                begun += 1
                if begun == readers:  # the stream goes on when all of them are in it
                    for _ in range(3):
                        gate.release()
            chunks.append(chunk)
        return merged(chunks)

    answers = await asyncio.gather(*(read() for _ in range(readers)))
    assert inner.calls == 1
    assert {answer.text for answer in answers} == {"It has shipped (1)."}
    outcomes = [mark(answer)["outcome"] for answer in answers]
    assert sorted(outcomes) == ["coalesced"] * (readers - 1) + ["miss"]
    assert usage.usage_metadata["scripted-1"]["input_tokens"] == 10
    follower = next(answer for answer in answers if mark(answer)["outcome"] == "coalesced")
    assert mark(follower)["saved_usage"]["output_tokens"] == 5
    assert len({answer.id for answer in answers}) == readers


async def test_an_async_stream_that_its_reader_leaves_is_not_stored() -> None:
    inner = Gated(answer=shipped)
    model = CachedChatModel(inner)
    GATES[id(inner)] = asyncio.Semaphore(1)
    chunks: Any = model.astream(ASKED)
    await anext(chunks)
    await chunks.aclose()
    assert mark(await model.ainvoke(ASKED))["outcome"] == "miss"
    assert inner.calls == 2


async def test_a_follower_sees_the_first_words_before_the_stream_has_ended() -> None:
    inner = Gated(answer=lambda n, m: say("one two three"))
    gate = GATES[id(inner)] = asyncio.Semaphore(0)
    model = CachedChatModel(inner)
    leader, follower = model.astream(ASKED), model.astream(ASKED)

    async def word(chunks: Any) -> str:
        async for chunk in chunks:
            if chunk.text:
                return chunk.text
        return ""

    gate.release()
    assert await asyncio.gather(word(leader), word(follower)) == ["one ", "one "]
    gate.release()
    gate.release()
    for chunks in (leader, follower):
        assert "".join([chunk.text async for chunk in chunks]) == "two three"
    assert inner.calls == 1


async def test_a_cancelled_leader_leaves_the_stream_to_its_follower() -> None:
    inner = Gated(answer=lambda n, m: say("one two"))
    gate = GATES[id(inner)] = asyncio.Semaphore(0)
    model = CachedChatModel(inner)

    async def read() -> str:
        return "".join([chunk.text async for chunk in model.astream(ASKED)])

    leader, follower = asyncio.create_task(read()), asyncio.create_task(read())
    for _ in range(5):
        await asyncio.sleep(0)
    leader.cancel()
    gate.release()
    gate.release()
    assert await follower == "one two"
    assert leader.cancelled() or isinstance(await asyncio.wait([leader]), tuple)
    assert inner.calls == 1


async def test_a_plain_call_joins_a_stream_and_gets_its_answer() -> None:
    inner = ScriptedChat(answer=shipped)
    model = CachedChatModel(inner)

    async def read() -> BaseMessage:
        return merged([chunk async for chunk in model.astream(ASKED)])

    first, second = await asyncio.gather(read(), model.ainvoke(ASKED))
    assert inner.calls == 1
    assert first.text == second.text


@tool
def lookup(order: int) -> str:
    """State of an order."""
    return f"order {order}: shipped"


def desk(number: int, messages: list[BaseMessage]) -> AIMessage:
    if isinstance(messages[-1], HumanMessage):
        return say("Let me see. ", call("lookup", f"call-{number}", order=7))
    return say(f"It has shipped ({number}).")


def test_an_agent_runs_again_without_a_model_call() -> None:
    inner, usage = ScriptedChat(answer=desk), UsageMetadataCallbackHandler()
    agent: Any = create_agent(CachedChatModel(inner), [lookup], name="desk")
    config: Any = {"callbacks": [usage]}
    first, second = (
        agent.invoke({"messages": [HumanMessage(ASKED)]}, config)["messages"] for _ in range(2)
    )
    assert inner.calls == 2
    assert [m.text for m in first] == [m.text for m in second]
    assert [mark(m)["outcome"] for m in second if m.type == "ai"] == ["hit", "hit"]
    assert not {m.id for m in first[1:]} & {m.id for m in second[1:]}
    assert second[-1].name == "desk"
    assert usage.usage_metadata["scripted-1"]["input_tokens"] == 20


@pytest.mark.parametrize("warm", [False, True], ids=["miss", "hit"])
def test_an_agent_streams_every_token_once(warm: bool) -> None:
    agent: Any = create_agent(CachedChatModel(ScriptedChat(answer=desk)), [lookup])
    question = {"messages": [HumanMessage(ASKED)]}
    if warm:
        agent.invoke(question)
    tokens = [m for m, _ in agent.stream(question, stream_mode="messages") if m.type != "tool"]
    text = "".join(m.text for m in tokens)
    assert text == "Let me see. It has shipped (2)."
    assert sum(bool(m.tool_call_chunks) for m in tokens) == 1


@pytest.mark.parametrize("warm", [False, True], ids=["miss", "hit"])
def test_an_agent_runs_each_tool_once_under_the_event_protocol(warm: bool) -> None:
    agent: Any = create_agent(CachedChatModel(ScriptedChat(answer=desk)), [lookup])
    question = {"messages": [HumanMessage(ASKED)]}
    if warm:
        agent.stream_events(question, version="v3").output  # noqa: B018 - the access is the test
    messages = agent.stream_events(question, version="v3").output["messages"]
    assert [m.type for m in messages] == ["human", "ai", "tool", "ai"]
    assert [len(m.tool_calls) for m in messages if m.type == "ai"] == [1, 0]


async def test_a_hit_fires_the_events_of_a_model() -> None:
    model = CachedChatModel(ScriptedChat(answer=shipped))
    await model.ainvoke(ASKED)
    found: list[Any] = [event async for event in model.astream_events(ASKED, version="v2")]
    texts = [e["data"]["chunk"].text for e in found if e["event"] == "on_chat_model_stream"]
    assert "".join(texts) == "It has shipped (1)."
    assert found[-1]["event"] == "on_chat_model_end"


def test_the_report_shows_hits_as_cache_spans() -> None:
    model = CachedChatModel(ScriptedChat())
    model.invoke(ASKED)
    with latency_callback() as handler:
        list(model.stream(ASKED))
    report = handler.report()
    assert report.llm_calls == ()
    assert [span.name for span in report.cache_hits] == ["scripted-1"]


def test_tools_are_bound_by_the_inner_model_once() -> None:
    inner = ScriptedChat(answer=desk)
    model = CachedChatModel(inner)
    first, second = model.bind_tools([lookup]), model.bind_tools([lookup])
    assert isinstance(first, RunnableBinding)
    assert first is second
    assert first.bound is model
    assert model.bind_tools([lookup], tool_choice="any") is not first
    first.invoke(ASKED)
    assert inner.bound[0]["tools"][0]["function"]["name"] == "lookup"
    assert first.invoke(ASKED).tool_calls[0]["args"] == {"order": 7}
    assert inner.calls == 1


class Joke(BaseModel):
    """A joke."""

    setup: str


@pytest.mark.parametrize("raw", [False, True], ids=["parsed", "with the raw message"])
def test_structured_output_is_parsed_from_a_hit(raw: bool) -> None:
    inner = ScriptedChat(answer=lambda n, m: say("", call("Joke", setup=f"cat {n}")))
    model: Any = CachedChatModel(inner).with_structured_output(Joke, include_raw=raw)
    first, second = model.invoke(ASKED), model.invoke(ASKED)
    assert inner.calls == 1
    if raw:
        assert (first["parsed"], second["parsed"]) == (Joke(setup="cat 1"),) * 2
        assert mark(second["raw"])["outcome"] == "hit"
    else:
        assert first == second == Joke(setup="cat 1")


class Counting(BaseRateLimiter):
    def __init__(self) -> None:
        self.asked = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return self.acquire()


@pytest.mark.parametrize("way", WAYS)
def test_only_live_calls_wait_for_the_rate_limiter(way: Callable[[Any], BaseMessage]) -> None:
    limiter = Counting()
    model = CachedChatModel(ScriptedChat(rate_limiter=limiter))
    way(model)
    way(model)
    assert limiter.asked == 1


def test_a_model_that_must_not_stream_does_not() -> None:
    inner = ScriptedChat(answer=shipped, disable_streaming=True)
    model = CachedChatModel(inner)
    for _ in range(2):
        chunks = list(model.stream(ASKED))
        assert [chunk.text for chunk in chunks] == ["It has shipped (1)."]
    assert inner.calls == 1


def test_a_model_that_cannot_stream_is_cached_too() -> None:
    class Whole(ScriptedChat):
        _stream = BaseChatModel._stream
        _astream = BaseChatModel._astream

    inner = Whole(answer=desk)
    model = CachedChatModel(inner)
    for _ in range(2):
        assert merged(list(model.stream(ASKED))).tool_calls[0]["args"] == {"order": 7}
        assert events(model).tool_calls[0]["args"] == {"order": 7}  # pyright: ignore[reportAttributeAccessIssue] - an AIMessage
    assert inner.calls == 1


@pytest.mark.parametrize("way", [invoke, ainvoke, stream, astream])
def test_the_content_has_the_version_that_the_model_is_set_to(
    way: Callable[[Any], BaseMessage],
) -> None:
    model = CachedChatModel(ScriptedChat(answer=shipped, output_version="v1"))
    for _ in range(2):
        content: Any = way(model).content
        (block,) = (b for b in content if b["type"] == "text")
        assert block["text"] == "It has shipped (1)."


class Unasked(InMemoryCache):
    def lookup(self, prompt: str, llm_string: str) -> Any:
        raise AssertionError


def test_langchains_own_caches_are_not_asked() -> None:
    set_llm_cache(Unasked())
    try:
        model = CachedChatModel(ScriptedChat(cache=Unasked()))
        assert [model.invoke(ASKED).text for _ in range(2)] == ["answer 1"] * 2
    finally:
        set_llm_cache(None)


@dataclass(frozen=True)
class Other:
    """A call that must not get the answer of the first one."""

    name: str
    ask: Callable[[Any], BaseMessage]


OTHERS = (
    Other("stop", lambda model: model.invoke(ASKED, stop=["x"])),
    Other("parameter", lambda model: model.invoke(ASKED, max_tokens=5)),
    Other("tools", lambda model: model.bind_tools([lookup]).invoke(ASKED)),
    Other("history", lambda model: model.invoke([HumanMessage("Hi"), HumanMessage(ASKED)])),
    Other("author", lambda model: model.invoke([HumanMessage(ASKED, name="ann")])),
)


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: other.name)
def test_what_changes_the_answer_is_in_the_key(other: Other) -> None:
    inner = ScriptedChat()
    model = CachedChatModel(inner)
    model.invoke(ASKED)
    other.ask(model)
    assert inner.calls == 2
    other.ask(model)
    assert inner.calls == 2


def test_the_temperature_is_read_live() -> None:
    inner = ScriptedChat(temperature=0.0)
    model = CachedChatModel(inner)
    model.invoke(ASKED)
    inner.temperature = 0.9
    answer = model.invoke(ASKED)
    assert inner.calls == 2
    assert (mark(answer)["outcome"], model.temperature) == ("bypass", 0.9)


def test_tenants_do_not_share_answers() -> None:
    inner, who = ScriptedChat(), ["ann"]
    model = CachedChatModel(inner, tenant=lambda: who[0])
    model.invoke(ASKED)
    who[0] = "bob"
    list(model.stream(ASKED))
    assert inner.calls == 2


def test_wrappers_of_one_cache_share_answers() -> None:
    cache, inner = CoreCache(), ScriptedChat()
    CachedChatModel(inner, cache=cache).invoke(ASKED)
    assert mark(CachedChatModel(inner, cache=cache).invoke(ASKED))["outcome"] == "hit"


def test_several_answers_at_once_are_not_cached() -> None:
    class Two(ScriptedChat):
        def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
            return ChatResult(generations=[ChatGeneration(message=say(t)) for t in "ab"])

    result = CachedChatModel(Two()).generate([[HumanMessage(ASKED)]])
    first: Any = result.generations[0][0]
    assert len(result.generations[0]) == 2
    assert mark(first.message)["outcome"] == "bypass"


@pytest.mark.parametrize("way", [invoke, stream, astream])
def test_a_stale_answer_is_given_where_the_model_fails(way: Callable[[Any], BaseMessage]) -> None:
    clock = FakeClock()
    policy = CachePolicy(ttl_s=60, stale_if_error_s=600)
    cache = CoreCache(MemoryStore(clock=clock), policy=policy, clock=clock)

    def fail(number: int) -> None:
        if number > 1:
            raise ConnectionError

    model = CachedChatModel(ScriptedChat(before=fail), cache=cache)
    way(model)
    clock.advance(100)
    answer = way(model)
    assert (answer.text, mark(answer)["stale"]) == ("answer 1", True)


def test_a_wrapper_reads_like_its_model() -> None:
    inner = ScriptedChat(model="m-1", tags=["a"], metadata={"b": 1})
    model = CachedChatModel(inner)
    assert (model.model, model.tags, model._llm_type) == ("m-1", ["a"], "scripted")
    assert model.metadata is not None
    assert model.metadata["b"] == 1
    assert not hasattr(model, "no_such_field")
    copy = model.model_copy()
    copy.invoke(ASKED)
    assert mark(model.invoke(ASKED))["outcome"] == "hit"


def test_a_binding_is_not_a_model() -> None:
    with pytest.raises(ConfigError, match="inner must be a BaseChatModel"):
        CachedChatModel(ScriptedChat().bind(stop=["x"]))  # pyright: ignore[reportArgumentType] - the point


def test_a_copy_around_another_model_binds_tools_to_that_one() -> None:
    one, two = (
        CachedChatModel(ScriptedChat(answer=lambda n, m, who=who: say(who), model=who))
        for who in ("one", "two")
    )
    tools: Any = [{"name": "f", "parameters": {"type": "object", "properties": {}}}]
    assert one.bind_tools(tools).invoke(ASKED).text == "one"
    copy = one.model_copy(update={"inner": two.inner})
    assert copy.bind_tools(tools).invoke(ASKED).text == "two"
    assert one.bind_tools(tools).invoke(ASKED).text == "one"


def test_a_caller_who_stopped_reading_a_stream_may_ask_the_same_again() -> None:
    """Nobody but the caller would read on, so waiting for the stream would be for ever."""
    inner = ScriptedChat(answer=shipped)
    model = CachedChatModel(inner, cache=CoreCache(max_wait_s=None))
    half_read = model.stream(ASKED)
    first = next(half_read)
    whole = model.invoke(ASKED)
    assert (whole.text, mark(whole)["outcome"], inner.calls) == ("It has shipped (1).", "hit", 1)
    assert merged([first, *half_read]).text == whole.text


def test_another_thread_reads_on_where_a_reader_has_stopped() -> None:
    inner = ScriptedChat(answer=shipped)
    model = CachedChatModel(inner, cache=CoreCache(max_wait_s=None))
    half_read = model.stream(ASKED)
    next(half_read)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(model.invoke, ASKED).result(20).text == "It has shipped (1)."
    assert inner.calls == 1


async def test_a_stream_that_breaks_under_a_waiting_caller_costs_it_a_call_of_its_own() -> None:
    inner = ScriptedChat(answer=shipped, break_after=2)
    model = CachedChatModel(inner, cache=CoreCache(max_wait_s=None))
    half_read = model.astream(ASKED)
    await anext(half_read)
    assert (await model.ainvoke(ASKED)).text == "It has shipped (2)."
    with pytest.raises(ConnectionError):
        [chunk async for chunk in half_read]


POISON: tuple[tuple[dict[str, Any], bool], ...] = (
    ({"pieces": ["x"]}, True),
    ({"pieces": 5}, True),
    ({"pieces": [-3, 22]}, True),
    ({"pieces": [True] * 19}, True),
    ({"content": [1, 2]}, False),
    ({"content": [{"x": 1}]}, False),
    ({"content": [{"type": 5}]}, False),
    ({"tool_calls": 5}, False),
    ({"response_metadata": [1]}, False),
)


@pytest.mark.parametrize(("bad", "served"), POISON, ids=lambda bad: str(bad)[:30])
@pytest.mark.parametrize("ask", [invoke, stream, events])
def test_what_a_poisoned_store_says_is_passed_over(
    ask: Callable[[Any], BaseMessage], bad: dict[str, Any], served: bool
) -> None:
    store = MemoryStore()
    model = CachedChatModel(ScriptedChat(answer=shipped), store=store)
    model.invoke(ASKED)
    (key,) = store.scan()
    entry = unpack(store.get(key) or b"")
    store.set(key, pack(entry._replace(body={**entry.body, **bad})), None)
    assert ask(model).text == f"It has shipped ({1 if served else 2})."


def test_tokens_are_counted_with_the_tools() -> None:
    """OpenAI's class warned that it leaves tools out; others looked for a tokenizer on a hub."""

    @tool
    def look(at: int) -> str:
        """Look at a place."""
        return ""

    asked: list[BaseMessage] = [HumanMessage(ASKED)]
    for inner in (ChatOpenAI(model="gpt-4o-mini", api_key=SecretStr("none")), ScriptedChat()):
        model = CachedChatModel(inner, store=MemoryStore())
        alone = model.get_num_tokens_from_messages(asked)
        assert alone == 7 + TokenCounter.for_encoding().count_text(ASKED)
        assert model.get_num_tokens_from_messages(asked, tools=[look]) > alone + 10


def test_a_model_that_counts_in_its_own_way_is_asked() -> None:
    class Counting(ScriptedChat):
        def get_num_tokens_from_messages(self, messages: Any, tools: Any = None) -> int:
            return 42

    assert CachedChatModel(Counting()).get_num_tokens_from_messages([HumanMessage(ASKED)]) == 42
    own = ScriptedChat(custom_get_token_ids=lambda text: [0] * 5)
    assert CachedChatModel(own).get_num_tokens_from_messages([HumanMessage(ASKED)]) == 5
