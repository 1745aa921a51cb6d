"""Hits that nobody listens to skip the model run; everybody else sees one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    ExtendedModelResponse,
    ModelRequest,
    ModelResponse,
)
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_debug
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tracers.context import collect_runs
from pydantic import BaseModel

from langchain_agentperf import ResponseCacheMiddleware, latency_callback
from langchain_agentperf.chat_models import _replay
from tests.langchain.scripted_models import ScriptedChat, call, say

QUESTION: Any = {"messages": [HumanMessage("Where is order 7?")]}


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[AIMessage]:
    """The messages that went through a replayed model run."""
    seen: list[AIMessage] = []
    of = _replay.ReplayChatModel.of.__func__

    def noted(cls: Any, answer: AIMessage, model: Any) -> Any:
        seen.append(answer)
        return of(cls, answer, model)

    monkeypatch.setattr(_replay.ReplayChatModel, "of", classmethod(noted))
    return seen


def agent_of(*further_in: AgentMiddleware[Any, Any, Any], **options: Any) -> Any:
    middleware = [ResponseCacheMiddleware(), *further_in]
    return create_agent(ScriptedChat(), middleware=middleware, **options)


def warm(agent: Any) -> None:
    """A miss, and the hit by which the cache learns how the agent names its messages."""
    for _ in range(2):
        agent.invoke(QUESTION)


def mark(message: AIMessage) -> dict[str, Any]:
    return message.response_metadata["agentperf"]["cache"]


def test_a_hit_that_nobody_listens_to_makes_no_run(replays: list[AIMessage]) -> None:
    agent = agent_of(name="desk")
    warm(agent)
    assert len(replays) == 1
    answers: list[AIMessage] = [agent.invoke(QUESTION)["messages"][-1] for _ in range(2)]
    assert len(replays) == 1
    assert [a.text for a in answers] == ["answer 1"] * 2
    assert [a.name for a in answers] == ["desk"] * 2
    assert [mark(a)["outcome"] for a in answers] == ["hit"] * 2
    assert answers[0].id != answers[1].id
    assert answers[0].usage_metadata is None


async def test_async_too(replays: list[AIMessage]) -> None:
    agent = agent_of(name="desk")
    answers = [(await agent.ainvoke(QUESTION))["messages"][-1] for _ in range(4)]
    answer = answers[-1]
    assert (answer.text, answer.name) == ("answer 1", "desk")
    assert len(replays) == 1


def test_agents_of_other_names_share_a_cache(replays: list[AIMessage]) -> None:
    cache = ResponseCacheMiddleware()
    agents = [create_agent(ScriptedChat(), middleware=[cache], name=n) for n in ("ann", "bob")]
    agents.append(create_agent(ScriptedChat(), middleware=[cache]))
    for _ in range(3):
        names = [agent.invoke(QUESTION)["messages"][-1].name for agent in agents]
        assert names == ["ann", "bob", None]
    assert len(replays) == 3


def test_a_nameless_agent_inside_a_named_one_stays_nameless() -> None:
    inner = agent_of()
    warm(inner)

    class Outer(AgentMiddleware[Any, Any, Any]):
        def wrap_model_call(self, request: ModelRequest[Any], handler: Any) -> Any:
            return handler(request.override(messages=inner.invoke(QUESTION)["messages"]))

    seen: list[Any] = []

    def note(number: int, messages: list[Any]) -> AIMessage:
        seen.extend(messages)
        return say("done")

    model = ScriptedChat(answer=note)
    create_agent(model, middleware=[Outer()], name="outer").invoke(QUESTION)
    assert seen[-1].name is None


class Handler(BaseCallbackHandler):
    def __init__(self) -> None:
        self.ends = 0

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.ends += 1


def test_a_callback_sees_every_hit(replays: list[AIMessage]) -> None:
    agent, handler = agent_of(), Handler()
    warm(agent)
    agent.invoke(QUESTION, {"callbacks": [handler]})
    assert (handler.ends, len(replays)) == (1, 2)


def test_the_models_own_callbacks_see_every_hit() -> None:
    handler = Handler()
    model = ScriptedChat(callbacks=[handler])
    agent: Any = create_agent(model, middleware=[ResponseCacheMiddleware()])
    for _ in range(4):
        agent.invoke(QUESTION)
    assert (handler.ends, model.calls) == (4, 1)


def test_handlers_of_a_context_see_every_hit() -> None:
    agent = agent_of()
    warm(agent)
    with latency_callback() as latency:
        agent.invoke(QUESTION)
    assert len(latency.report().cache_hits) == 1
    with collect_runs() as runs:
        agent.invoke(QUESTION)
    assert runs.traced_runs


def test_debugging_shows_every_hit(replays: list[AIMessage]) -> None:
    agent = agent_of()
    warm(agent)
    set_debug(True)
    try:
        agent.invoke(QUESTION)
    finally:
        set_debug(False)
    assert len(replays) == 2


@pytest.mark.parametrize("mode", ["messages", "updates"])
def test_a_reader_of_the_stream_gets_tokens(mode: str, replays: list[AIMessage]) -> None:
    agent = agent_of()
    warm(agent)
    chunks = list(agent.stream(QUESTION, stream_mode=mode))
    assert len(replays) == (2 if mode == "messages" else 1)
    assert len(chunks) == (3 if mode == "messages" else 1)


async def test_a_reader_of_events_gets_a_model_run() -> None:
    agent = agent_of()
    warm(agent)
    events = [event["event"] async for event in agent.astream_events(QUESTION, version="v2")]
    assert "on_chat_model_stream" in events


class Counting(AgentMiddleware[Any, Any, Any]):
    """Middleware further in, which expects to see every answer."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[Any], ModelResponse[Any]]
    ) -> ExtendedModelResponse[Any]:
        self.seen += 1
        return ExtendedModelResponse(model_response=handler(request), command=None)


def test_middleware_further_in_sees_every_hit_whoever_listens() -> None:
    counting = Counting()
    agent = agent_of(counting)
    for _ in range(4):
        agent.invoke(QUESTION)
    assert counting.seen == 4


class Reply(BaseModel):
    """A reply."""

    text: str


def test_structured_output_is_parsed_from_every_hit() -> None:
    model = ScriptedChat(answer=lambda n, m: say("", call("Reply", text=f"hi {n}")))
    agent: Any = create_agent(model, middleware=[ResponseCacheMiddleware()], response_format=Reply)
    states = [agent.invoke(QUESTION) for _ in range(4)]
    assert [state["structured_response"] for state in states] == [Reply(text="hi 1")] * 4
    assert model.calls == 1
