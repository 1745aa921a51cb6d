"""`ResponseCacheMiddleware` among other middleware: no answer reaches a request it was not for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest, dynamic_prompt
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from pydantic import ConfigDict

from agentperf_core.events import BUS
from langchain_agentperf import ResponseCacheMiddleware
from langchain_agentperf._identity import model_identity
from langchain_agentperf._requests import tool_schema
from tests.langchain.scripted_models import ScriptedChat, say


@dataclass
class Who:
    name: str


def first(number: int, messages: list[BaseMessage]) -> AIMessage:
    """An answer that repeats the first message, so that a wrong one shows."""
    return say(messages[0].text)


def ask(agent: Any, who: str = "") -> AIMessage:
    return agent.invoke({"messages": ["hi"]}, context=Who(who))["messages"][-1]


def mark(message: AIMessage) -> dict[str, Any]:
    return message.response_metadata["agentperf"]["cache"]


@dynamic_prompt
def for_the_user(request: ModelRequest[Any]) -> str:
    return f"You serve {request.runtime.context.name}"


class ByAssignment(AgentMiddleware[Any, Any, Any]):
    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        request.messages = [SystemMessage(request.runtime.context.name), *request.messages]
        return handler(request)


@pytest.mark.filterwarnings("ignore:Direct attribute assignment:DeprecationWarning")
@pytest.mark.parametrize("writer", [for_the_user, ByAssignment()], ids=["override", "assignment"])
@pytest.mark.parametrize("caches", [1, 2])
def test_a_prompt_that_is_written_further_in_keeps_the_answer_out(writer: Any, caches: int) -> None:
    """The key was made before the prompt was written, so Bob got the answer made for Alice."""
    stack = [_named(number) for number in range(caches)]
    agent: Any = create_agent(
        ScriptedChat(answer=first), [], middleware=[*stack, writer], context_schema=Who
    )
    alice, bob = ask(agent, "alice"), ask(agent, "bob")
    assert ("alice" in alice.text, "bob" in bob.text) == (True, True)
    assert mark(bob)["outcome"] == "bypass"
    assert "put the cache behind it" in mark(bob)["reason"]


def _named(number: int) -> ResponseCacheMiddleware:
    class Cache(ResponseCacheMiddleware):
        @property
        def name(self) -> str:
            return f"cache-{number}"

    return Cache()


def test_behind_the_writer_each_user_has_hits_of_their_own() -> None:
    model = ScriptedChat(answer=first)
    agent: Any = create_agent(
        model, [], middleware=[for_the_user, ResponseCacheMiddleware()], context_schema=Who
    )
    texts = [ask(agent, who).text for who in ("alice", "bob", "alice", "bob")]
    assert texts[2:] == texts[:2] == ["You serve alice", "You serve bob"]
    assert model.calls == 2


def test_an_override_that_changes_nothing_does_not_count() -> None:
    class Same(AgentMiddleware[Any, Any, Any]):
        def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
            return handler(request.override(messages=list(request.messages)))

    agent = create_agent(ScriptedChat(), [], middleware=[ResponseCacheMiddleware(), Same()])
    assert [mark(ask(agent))["outcome"] for _ in range(2)] == ["miss", "hit"]


def test_an_answer_that_is_edited_further_in_is_edited_once() -> None:
    """A hit went through the same middleware again: `answer [checked] [checked]`."""

    class Checked(AgentMiddleware[Any, Any, Any]):
        def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
            response = handler(request)
            (message,) = response.result
            message.content += " [checked]"
            return response

    agent = create_agent(ScriptedChat(), [], middleware=[ResponseCacheMiddleware(), Checked()])
    assert {ask(agent).text for _ in range(3)} == {"answer 1 [checked]"}


def test_a_replay_that_cannot_be_built_becomes_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model class raises from an attribute ended the user's run."""

    class Odd(ScriptedChat):
        @property
        def model_name(self) -> str:
            raise RuntimeError("not today")

    agent = create_agent(Odd(), [], middleware=[ResponseCacheMiddleware()])
    before = BUS.faults().get("cache.replay", 0)
    assert [ask(agent).text for _ in range(2)] == ["answer 1", "answer 2"]
    assert BUS.faults()["cache.replay"] == before + 1


def test_a_tool_schema_that_changes_in_place_is_another_request() -> None:
    """MCP tools hold their schema as a mapping, and a mapping always equals itself."""
    schema: dict[str, Any] = {
        "type": "object",
        "title": "find",
        "properties": {"place": {"type": "string", "description": "a city"}},
    }
    tool = StructuredTool(
        name="find", description="Finds.", args_schema=schema, func=str, extras={"strict": True}
    )
    keys = [tool_schema(tool)]
    schema["properties"]["place"]["description"] = "a country"
    keys.append(tool_schema(tool))
    (tool.extras or {})["strict"] = False
    keys.append(tool_schema(tool))
    assert len(set(keys)) == 3


def test_fields_that_a_class_never_declared_are_identity() -> None:
    class Open(ScriptedChat):
        model_config = ConfigDict(extra="allow")

    def made(**fields: Any) -> dict[str, Any]:
        return model_identity(Open(**fields))

    assert made(persona="pirate") != made(persona="butler")
    assert made(persona="pirate", api_key="1") == made(persona="pirate", api_key="2")


def test_an_address_from_the_environment_is_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK reads `OPENAI_BASE_URL` itself: a mock's answers were served as the provider's."""
    found: list[dict[str, Any]] = []
    for url in ("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        found.append(model_identity(ChatOpenAI(model="gpt-4o-mini", api_key=lambda: "k")))
    assert found[0] != found[1]


def test_questions_stay_apart_all_the_same() -> None:
    agent = create_agent(ScriptedChat(), [], middleware=[ResponseCacheMiddleware()])
    texts = {
        agent.invoke({"messages": [HumanMessage(text)]})["messages"][-1].text for text in "abcab"
    }
    assert len(texts) == 3
