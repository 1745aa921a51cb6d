"""`ResponseCacheMiddleware` on real agents: hits look like live answers, and are safe."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from agentperf_core.cache import CachePolicy, MemoryStore
from agentperf_core.cache import ExactCache as CoreCache
from agentperf_core.errors import ConfigError
from agentperf_core.telemetry import SpanKind
from langchain_agentperf import ExactCache, ResponseCacheMiddleware, latency_callback
from tests.langchain.scripted_models import ScriptedChat, call, say

QUESTION: Any = {"messages": [HumanMessage("Where is order 7?")]}


@tool
def lookup(order: int) -> str:
    """State of an order."""
    return f"order {order}: shipped"


def desk(number: int, messages: list[BaseMessage]) -> AIMessage:
    if isinstance(messages[-1], HumanMessage):
        return say("Let me see. ", call("lookup", f"call-{number}", order=7))
    return say(f"It has shipped ({number}).")


def cached(model: ScriptedChat, tools: Any = (), **options: Any) -> Any:
    return create_agent(model, tools, middleware=[ResponseCacheMiddleware()], **options)


def mark(message: BaseMessage) -> dict[str, Any]:
    return message.response_metadata["agentperf"]["cache"]


def test_a_whole_agent_run_is_answered_again_with_fresh_ids_and_real_tools() -> None:
    ran: list[int] = []

    @tool
    def lookup(order: int) -> str:
        """State of an order."""
        ran.append(order)
        return "shipped"

    model = ScriptedChat(answer=desk)
    agent = cached(model, [lookup])
    first, second = (agent.invoke(QUESTION)["messages"] for _ in range(2))
    assert model.calls == 2
    assert ran == [7, 7]
    assert [m.text for m in first] == [m.text for m in second]
    assert not {m.id for m in first[1:]} & {m.id for m in second[1:]}
    assert [mark(m)["outcome"] for m in first if m.type == "ai"] == ["miss", "miss"]
    assert [mark(m)["outcome"] for m in second if m.type == "ai"] == ["hit", "hit"]


def test_a_hit_says_what_it_saved_and_bills_nothing() -> None:
    agent = cached(ScriptedChat())
    agent.invoke(QUESTION)
    answer = agent.invoke(QUESTION)["messages"][-1]
    assert answer.usage_metadata is None
    saved = mark(answer)["saved_usage"]
    assert (saved["uncached_input_tokens"], saved["output_tokens"]) == (10, 5)
    assert mark(answer)["age_s"] >= 0
    assert answer.response_metadata["model_name"] == "scripted-1"


def test_the_models_own_message_is_marked_on_a_copy() -> None:
    made: list[AIMessage] = []

    def keep(number: int, messages: list[BaseMessage]) -> AIMessage:
        made.append(say("hello"))
        return made[-1]

    answer = cached(ScriptedChat(answer=keep)).invoke(QUESTION)["messages"][-1]
    assert mark(answer)["outcome"] == "miss"
    assert "agentperf" not in made[0].response_metadata
    assert answer.id == made[0].id


def test_the_report_shows_hits_as_cache_spans_that_cost_nothing() -> None:
    agent = cached(ScriptedChat(answer=desk), [lookup])
    agent.invoke(QUESTION)
    with latency_callback() as handler:
        agent.invoke(QUESTION)
    report = handler.report()
    assert report.llm_calls == ()
    assert [span.name for span in report.cache_hits] == ["scripted-1", "scripted-1"]
    assert report.usage.total_tokens == 0
    assert report.saved_usage.output_tokens == 10
    span = report.cache_hits[0]
    assert span.cache is not None
    assert (span.cache["outcome"], span.cache["of"]) == ("hit", "llm")
    assert len(list(report.traces[0].of_kind(SpanKind.TOOL))) == 1


Drain = Callable[[Any], list[Any]]


def _stream(agent: Any) -> list[Any]:
    return [message for message, _ in agent.stream(QUESTION, stream_mode="messages")]


def _astream(agent: Any) -> list[Any]:
    async def drain() -> list[Any]:
        return [message async for message, _ in agent.astream(QUESTION, stream_mode="messages")]

    return asyncio.run(drain())


@pytest.mark.parametrize("drain", [_stream, _astream])
def test_a_hit_streams_text_then_tool_calls_then_a_last_chunk(drain: Drain) -> None:
    model = ScriptedChat(answer=desk)
    agent = cached(model, [lookup])
    live = drain(agent)
    hit = drain(agent)
    assert model.calls == 2
    assert [m.text for m in hit if m.text] == [m.text for m in live if m.text]
    first = [m for m in hit if m.id == hit[0].id]
    assert [bool(m.tool_call_chunks) for m in first] == [False, False, False, True, False]
    assert first[-1].chunk_position == "last"
    assert mark(first[-1])["outcome"] == "hit"
    assert {m.id for m in live}.isdisjoint(m.id for m in hit)


async def test_a_hit_fires_the_events_of_a_model() -> None:
    agent = cached(ScriptedChat())
    await agent.ainvoke(QUESTION)
    events = [event["event"] async for event in agent.astream_events(QUESTION, version="v2")]
    for name in ("on_chat_model_start", "on_chat_model_stream", "on_chat_model_end"):
        assert name in events


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol on Pregel is experimental")
def test_a_hit_streams_through_the_event_protocol() -> None:
    agent = cached(ScriptedChat(answer=lambda n, m: say("one two")))
    agent.invoke(QUESTION)
    run = agent.stream_events(QUESTION, version="v3")
    texts = [str(message.text) for message in run.messages]
    assert texts == ["one two"]


class Weather(BaseModel):
    """The weather."""

    city: str
    degrees: int


@dataclass(frozen=True)
class Structure:
    name: str
    wanted: Any
    answer: AIMessage
    kinds: tuple[str, ...]


STRUCTURES = [
    Structure(
        "tool",
        ToolStrategy(Weather),
        say("", call("Weather", "w1", city="Oslo", degrees=3)),
        ("human", "ai", "tool"),
    ),
    Structure(
        "provider",
        ProviderStrategy(Weather),
        say('{"city": "Oslo", "degrees": 3}'),
        ("human", "ai"),
    ),
    Structure(
        "schema alone",
        Weather,
        say("", call("Weather", city="Oslo", degrees=3)),
        ("human", "ai", "tool"),
    ),
]


@pytest.mark.parametrize("case", STRUCTURES, ids=lambda c: c.name)
def test_structured_output_is_parsed_from_a_hit_too(case: Structure) -> None:
    model = ScriptedChat(answer=lambda n, m: case.answer.model_copy(deep=True))
    agent = cached(model, response_format=case.wanted)
    runs = [agent.invoke(QUESTION) for _ in range(2)]
    assert model.calls == 1
    for run in runs:
        assert run["structured_response"] == Weather(city="Oslo", degrees=3)
        assert tuple(m.type for m in run["messages"]) == case.kinds
    assert mark(runs[1]["messages"][1])["outcome"] == "hit"


def test_structured_output_that_does_not_parse_is_not_kept() -> None:
    bad = say("", call("Weather", city="Oslo", degrees="cold"))
    good = say("", call("Weather", city="Oslo", degrees=3))
    model = ScriptedChat(answer=lambda n, m: (bad if n == 1 else good).model_copy(deep=True))
    agent = cached(model, response_format=ToolStrategy(Weather))
    assert agent.invoke(QUESTION)["structured_response"].degrees == 3
    assert model.calls == 2
    agent.invoke(QUESTION)
    assert model.calls == 3  # the retry's history differs, and the bad answer was not stored


def test_a_schema_without_title_is_not_cached_because_its_name_is_drawn() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}

    def structured(number: int, messages: list[BaseMessage]) -> AIMessage:
        return say("", call(model.bound[-1]["tools"][0]["function"]["name"], city="Oslo"))

    model = ScriptedChat(answer=structured)
    agent = cached(model, response_format=schema)
    answers = [agent.invoke(QUESTION)["messages"][1] for _ in range(2)]
    assert model.calls == 2
    assert "title" in mark(answers[1])["reason"]


def test_turns_of_a_conversation_stay_apart() -> None:
    model = ScriptedChat(answer=desk)
    agent = cached(model, [lookup], checkpointer=InMemorySaver())
    for thread in ("one", "two"):
        config = {"configurable": {"thread_id": thread}}
        agent.invoke(QUESTION, config)
        state = agent.invoke({"messages": [HumanMessage("And order 8?")]}, config)
        kinds = [message.type for message in state["messages"]]
        assert kinds == ["human", "ai", "tool", "ai"] * 2
    assert model.calls == 4


def test_the_system_prompt_is_part_of_the_request() -> None:
    model = ScriptedChat()
    cache = ResponseCacheMiddleware()
    texts = [
        create_agent(model, system_prompt=prompt, middleware=[cache])
        .invoke(QUESTION)["messages"][-1]
        .text
        for prompt in ("Be kind.", "Be short.", "Be kind.", None)
    ]
    assert texts == ["answer 1", "answer 2", "answer 1", "answer 3"]


def test_the_version_tag_separates_answers() -> None:
    store, model = MemoryStore(), ScriptedChat()
    for version in ("1", "2"):
        cache = ResponseCacheMiddleware(store=store, version=version)
        create_agent(model, middleware=[cache]).invoke(QUESTION)
    assert model.calls == 2


class Extra(AgentMiddleware[Any, Any, Any]):
    """Adds a tool at run time, as dynamic tools are added."""

    def __init__(self, *tools: BaseTool) -> None:
        super().__init__()
        self.extra = list(tools)

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[..., Any]) -> Any:
        return handler(request.override(tools=[*request.tools, *self.extra]))

    def wrap_tool_call(self, request: Any, handler: Callable[..., Any]) -> Any:
        return handler(request.override(tool=lookup))


def test_dynamic_tools_are_part_of_the_request() -> None:
    model = ScriptedChat(answer=desk)
    cache = ResponseCacheMiddleware()
    with_tool = create_agent(model, middleware=[Extra(lookup), cache])
    runs = [with_tool.invoke(QUESTION)["messages"][-1].text for _ in range(2)]
    assert runs == ["It has shipped (2)."] * 2
    assert model.calls == 2
    bare = ScriptedChat(answer=lambda n, m: say("no tools"))
    create_agent(bare, middleware=[cache]).invoke(QUESTION)
    assert bare.calls == 1


def test_a_changed_tool_description_is_another_request() -> None:
    @tool
    def lookup(order: int) -> str:
        """State of an order."""
        return "shipped"

    model = ScriptedChat(answer=lambda n, m: say(f"{n}"))
    agent = cached(model, [lookup])
    agent.invoke(QUESTION)
    lookup.description = "Something else."
    agent.invoke(QUESTION)
    assert model.calls == 2


class Route(AgentMiddleware[Any, Any, Any]):
    """Changes the model further in, as routers do."""

    def __init__(self, model: ScriptedChat) -> None:
        super().__init__()
        self.model = model

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[..., Any]) -> Any:
        return handler(request.override(model=self.model))


def test_a_router_further_in_does_not_turn_a_hit_into_a_paid_call() -> None:
    asked, routed = ScriptedChat(), ScriptedChat(model="routed")
    agent = create_agent(asked, middleware=[ResponseCacheMiddleware(), Route(routed)])
    texts = [agent.invoke(QUESTION)["messages"][-1].text for _ in range(2)]
    assert texts == ["answer 1", "answer 1"]
    assert (asked.calls, routed.calls) == (0, 1)


@dataclass(frozen=True)
class Refused:
    name: str
    answer: AIMessage
    reason: str


REFUSED = [
    Refused("cut off", say("half an ans", finish_reason="length"), "not whole"),
    Refused("filtered", say("x", finish_reason="content_filter"), "not whole"),
    Refused("refusal", AIMessage("", additional_kwargs={"refusal": "I will not."}), "refusal"),
    Refused("empty", say(" "), "empty"),
    Refused(
        "broken stream of openai",
        AIMessage("half", response_metadata={"model_provider": "openai"}),
        "not whole",
    ),
    Refused(
        "broken tool call",
        AIMessage(
            "",
            invalid_tool_calls=[
                {"name": "f", "args": "{", "id": "1", "error": None, "type": "invalid_tool_call"}
            ],
        ),
        "could not be parsed",
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda c: c.name)
def test_bad_answers_are_not_served_again(case: Refused) -> None:
    model = ScriptedChat(answer=lambda n, m: case.answer.model_copy(deep=True))
    agent = cached(model)
    answers = [agent.invoke(QUESTION)["messages"][1] for _ in range(2)]
    assert model.calls == 2
    assert mark(answers[1])["outcome"] == "bypass"
    assert case.reason in mark(answers[1])["reason"]


@dataclass(frozen=True)
class Asked:
    name: str
    fields: dict[str, Any]
    policy: CachePolicy
    calls: int


SAMPLING = [
    Asked("not said", {}, CachePolicy(), 1),
    Asked("zero", {"temperature": 0.0}, CachePolicy(), 1),
    Asked("sampled", {"temperature": 0.7}, CachePolicy(), 2),
    Asked("sampled and allowed", {"temperature": 0.7}, CachePolicy(sampled=True), 1),
]


@pytest.mark.parametrize("case", SAMPLING, ids=lambda c: c.name)
def test_requests_for_variety_are_left_alone(case: Asked) -> None:
    model = ScriptedChat(**case.fields)
    agent = create_agent(model, middleware=[ResponseCacheMiddleware(policy=case.policy)])
    for _ in range(2):
        agent.invoke(QUESTION)
    assert model.calls == case.calls


def test_a_model_that_reads_an_iterator_is_bypassed_with_the_reason() -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("a"), AIMessage("b")]))
    agent = create_agent(model, middleware=[ResponseCacheMiddleware()])
    answers = [agent.invoke(QUESTION)["messages"][-1] for _ in range(2)]
    assert [answer.text for answer in answers] == ["a", "b"]
    assert mark(answers[1])["outcome"] == "bypass"
    assert "differently every time" in mark(answers[1])["reason"]


def test_a_history_with_an_unknown_value_is_bypassed() -> None:
    model = ScriptedChat()
    agent = cached(model)
    odd: Any = {"messages": [HumanMessage("q", additional_kwargs={"handle": object()})]}
    answers = [agent.invoke(odd)["messages"][-1] for _ in range(2)]
    assert model.calls == 2
    assert mark(answers[0])["outcome"] == "bypass"


def test_an_error_of_the_model_reaches_the_caller_and_nothing_is_kept() -> None:
    def fail(number: int) -> None:
        if number == 1:
            raise ValueError("quota")

    agent = cached(ScriptedChat(before=fail))
    with pytest.raises(ValueError, match="quota"):
        agent.invoke(QUESTION)
    assert agent.invoke(QUESTION)["messages"][-1].text == "answer 2"


def test_a_cache_can_be_shared_but_not_configured_twice() -> None:
    core = CoreCache()
    model = ScriptedChat()
    for _ in range(2):
        middleware = ResponseCacheMiddleware(cache=core)
        create_agent(model, middleware=[middleware]).invoke(QUESTION)
    assert model.calls == 1
    with pytest.raises(ConfigError, match="drop one"):
        ResponseCacheMiddleware(cache=core, store=MemoryStore())
    with pytest.raises(ConfigError, match="ttl_s"):
        ResponseCacheMiddleware(ttl_s=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache": ExactCache()}, "cache must be an agentperf_core.cache.ExactCache, got a lang"),
        ({"cache": MemoryStore()}, "give a store as store="),
        ({"cache": CoreCache(), "ttl_s": 5}, "got ttl_s=5; set it in CachePolicy"),
        ({"policy": CachePolicy(), "ttl_s": None}, "got ttl_s=None; set it in CachePolicy"),
        ({"ttl_s": "60"}, "ttl_s must be > 0, got '60'"),
        ({"tenant": 5}, "tenant must be a name or a function of the request, got 5"),
        ({"store": {}}, "got a dict without set, aget, aset, aclear"),
    ],
)
def test_a_wrong_argument_is_refused_when_it_is_given(options: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ResponseCacheMiddleware(**options)
    assert message in str(caught.value)


def test_a_poisoned_store_entry_is_a_miss() -> None:
    store, model = MemoryStore(), ScriptedChat()
    agent = create_agent(model, middleware=[ResponseCacheMiddleware(store=store)])
    agent.invoke(QUESTION)
    (key,) = store.scan()
    for bad in (b"\x80\x04pickle", b'{"v": 1}', b'{"v":1,"at":0,"took":0,"usage":null,"body":{}}'):
        store.set(key, bad, None)
        assert mark(agent.invoke(QUESTION)["messages"][-1])["outcome"] == "miss"
