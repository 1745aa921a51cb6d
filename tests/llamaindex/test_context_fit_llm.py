"""A model that is never sent more than it can take, in agents, engines and by itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.llms.loading import load_llm
from llama_index.core.llms.mock import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool
from llamaindex_tools import ScriptedLLM, says
from windows_tools import WORDS, conversations, faults, look, talk, texts, user, working

from agentperf_core.accounting import ModelProfile, ModelRegistry
from agentperf_core.context import ContextOverflow
from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS, DecisionMade
from llamaindex_agentperf import ContextFitLLM
from llamaindex_agentperf._messages import to_core

pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
)

SYSTEM = ChatMessage(role=MessageRole.SYSTEM, content="Be brief.")
HISTORY = [SYSTEM, *talk(20), user("The last one?")]
LOOK = FunctionTool.from_defaults(look)


def fit(inner: Any = None, **options: Any) -> ContextFitLLM:
    merged: dict[str, Any] = {
        "context_tokens": 400,
        "reserve_output": 60,
        "counter": WORDS,
        **options,
    }
    return ContextFitLLM(inner or ScriptedLLM(), **merged)


def record(answer: Any) -> dict[str, Any]:
    return answer.additional_kwargs["agentperf"]["context"]


def sent(inner: ScriptedLLM, tools: Any = ()) -> int:
    definitions = [tool.metadata.to_openai_tool() for tool in tools]
    return WORDS.count_messages(map(to_core, inner.seen[-1]), tools=definitions)


async def test_every_way_to_chat_fits_and_says_what_it_did():
    inner = ScriptedLLM()
    llm = fit(inner)
    answers = [llm.chat(HISTORY), await llm.achat(HISTORY)]
    chunks = [*llm.stream_chat(HISTORY)]
    later = [chunk async for chunk in await llm.astream_chat(HISTORY)]
    for answer in [*answers, *chunks, *later]:
        assert record(answer)["left_out"] > 10
        assert record(answer)["tokens"] == sent(inner) <= 340
    assert [texts(prompt) for prompt in inner.seen] == [texts(inner.seen[0])] * 4
    assert inner.seen[0][0] is SYSTEM
    assert inner.seen[0][-1] is HISTORY[-1]
    assert "agentperf" not in inner.chat(HISTORY).additional_kwargs


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agents_scratchpad_and_tools_fit_too(streaming: bool):
    """Stock memory is full by itself, and knows nothing of tools and scratchpad."""
    inner = ScriptedLLM(script=working)
    agent: Any = FunctionAgent(
        llm=fit(inner), tools=[LOOK], system_prompt="Be brief.", streaming=streaming
    )
    memory = ChatMemoryBuffer.from_defaults(token_limit=4000)
    for number in range(12):
        answer = await agent.run(user_msg=f"Question {number}?", memory=memory)
        assert "quiet" in str(answer)
        assert sent(inner, [LOOK]) <= 340
    assert len(inner.seen) == 36
    for prompt in inner.seen:
        assert faults(prompt) == []
        assert prompt[0].content == "Be brief."


@pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning")
async def test_an_agent_that_reasons_in_text_fits_too():
    def script(messages: Any) -> ChatMessage:
        steps = sum((m.content or "").startswith("Observation") for m in messages)
        if steps % 2:
            return says("Thought: I can answer.\nAnswer: quiet")
        return says('Thought: I need a tool.\nAction: look\nAction Input: {"at": 1}')

    inner = ScriptedLLM(script=script)
    agent: Any = ReActAgent(llm=fit(inner, context_tokens=3000), tools=[LOOK])
    answer = await agent.run(user_msg="Is it quiet?")
    assert str(answer) == "quiet"
    assert len(inner.seen) == 2


def test_the_models_own_context_says_what_fits():
    inner = ScriptedLLM(model="gpt-4o-mini")
    llm = fit(inner, context_tokens=None)
    assert record(llm.chat(HISTORY))["context_tokens"] == 128_000
    registry = ModelRegistry()
    registry.override(ModelProfile("gpt-4o-mini", context_tokens=400))
    small = fit(inner, context_tokens=None, registry=registry)
    assert record(small.chat(HISTORY))["context_tokens"] == 400
    assert sent(inner) <= 340


def test_what_nobody_knows_is_left_alone_and_said_so():
    inner = ScriptedLLM(model="nobody-knows-it")
    answer = fit(inner, context_tokens=None).chat(HISTORY)
    assert (record(answer)["context_tokens"], record(answer)["left_out"]) == (None, 0)
    assert inner.seen[0] == HISTORY


@settings(max_examples=60)
@given(conversations(), st.booleans())
def test_whatever_is_sent_is_valid_and_stays_so(history: list[ChatMessage], prompted: bool):
    inner = ScriptedLLM()
    llm = fit(inner, context_tokens=900)
    asked = [*([SYSTEM] if prompted else []), *history, user("And the last one?")]
    llm.chat(asked)
    shown = inner.seen[0]
    assert sent(inner) <= 840
    assert faults(shown) == []
    assert shown[-1] is asked[-1]
    assert (shown[0] is SYSTEM) == prompted
    llm.chat(shown)
    assert texts(inner.seen[1]) == texts(shown)


def test_what_was_removed_is_a_decision():
    events: list[Any] = []
    stop = BUS.subscribe(events.append)
    try:
        fit().chat([user("secret " * 20) for _ in range(30)])
    finally:
        stop()
    (event,) = [one for one in events if isinstance(one, DecisionMade)]
    assert (event.room, event.outcome) == ("context", "cut")
    assert "secret" not in str(event)


def test_tools_that_leave_no_room_are_an_error_that_says_so():
    with pytest.raises(ContextOverflow, match="send fewer tools"):
        fit(context_tokens=70).chat_with_tools([LOOK] * 5, user_msg="hi")


def test_completions_and_models_without_tools_are_passed_on():
    llm = fit(MockLLM(max_tokens=3))
    assert llm.complete("a b c d").text == "text text text"
    assert llm.chat([user("hello there")]).message.content


def test_json_there_and_back():
    llm = fit(MockLLM(max_tokens=3), low=0.5)
    loaded: Any = load_llm(llm.to_dict())
    assert isinstance(loaded, ContextFitLLM)
    assert (loaded.context_tokens, loaded.low) == (400, 0.5)
    assert record(loaded.chat(HISTORY))["left_out"] > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"context_tokens": 0}, "context_tokens must be > 0"),
        ({"reserve_output": 400}, "leaves no room"),
        ({"oversize": "drop"}, "oversize is 'cut', 'error' or a function"),
        ({"max_tokens": 5}, "arguments must be fields of ContextFitLLM"),
    ],
)
def test_arguments_that_mean_nothing(options: dict[str, Any], said: str):
    with pytest.raises(ConfigError) as caught:
        fit(**options)
    assert said in str(caught.value)
