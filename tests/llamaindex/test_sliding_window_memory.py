"""The sliding memory: alone, in agents and engines, and saved with a workflow's context."""

from __future__ import annotations

import json
import pickle  # noqa: TID251 - workflows keep their state so, where users ask for it
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms.mock import MockLLM
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context, JsonSerializer
from llamaindex_tools import ScriptedLLM, calls, says
from windows_tools import (
    WORDS,
    conversations,
    cost,
    faults,
    look,
    talk,
    texts,
    user,
    working,
)

from agentperf_core.context import ContextOverflow, RecallSettings
from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS, DecisionMade
from llamaindex_agentperf import SlidingWindowMemory, recall_tool
from llamaindex_agentperf._messages import to_core

pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
)

HISTORY = [user("My cat is called Miso.", date="2 May"), *talk(10)]
ASKED = user("What is the name of my cat?")


def memory(limit: int = 240, **options: Any) -> SlidingWindowMemory:
    return SlidingWindowMemory(token_limit=limit, counter=WORDS, **options)


@settings(max_examples=80)
@given(conversations(), st.integers(500, 900), st.booleans())
def test_whatever_is_shown_is_valid_fits_and_keeps_what_it_must(
    history: list[ChatMessage], limit: int, prompted: bool
):
    one = memory(limit)
    system = [ChatMessage(role=MessageRole.SYSTEM, content="Be brief.")] if prompted else []
    asked = user("And the last one?")
    whole = [*system, *history, asked]
    for message in whole:
        one.put(message)
        assert cost(one.get()) <= limit
    shown = one.get()
    assert faults(shown) == []
    assert shown[-1] is asked
    assert [m for m in shown if m.role == MessageRole.SYSTEM] == system
    assert one.get_all() == whole
    again = memory(limit)
    again.set(shown)
    assert texts(again.get()) == texts(shown)
    at_once = memory(limit, chat_history=whole)
    assert texts(at_once.get()) == texts(shown)


def test_unchanged_messages_are_the_objects_that_were_put():
    one = memory()
    for message in HISTORY:
        one.put(message)
    given_ = {id(message) for message in HISTORY}
    assert all(id(message) in given_ for message in one.get())


def test_prompts_begin_with_each_other_between_two_cuts():
    one, prompts = memory(400), list[list[str]]()
    for message in talk(60):
        one.put(message)
        prompts.append(texts(one.get()))
    broken = sum(new[: len(old)] != old for old, new in pairwise(prompts))
    assert 0 < broken <= len(prompts) // 8


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agent_over_a_long_tool_conversation_sees_valid_prompts(streaming: bool):
    seen: list[list[ChatMessage]] = []

    def script(messages: Any) -> ChatMessage:
        seen.append([*messages])
        return working(messages)

    one = memory(500)
    agent: Any = FunctionAgent(
        llm=ScriptedLLM(script=script),
        tools=[FunctionTool.from_defaults(look)],
        system_prompt="Be brief.",
        streaming=streaming,
    )
    for number in range(15):
        answer = await agent.run(user_msg=f"Question {number}?", memory=one)
        assert "quiet" in str(answer)
    assert len(seen) == 45
    for prompt in seen:
        assert faults(prompt) == []
        assert prompt[0].content == "Be brief."
    assert any("Question 14?" in text for text in texts(seen[-1]))
    assert len(one.get_all()) == 15 * 8
    assert one.record["left_out"] > 50


def test_what_a_question_needs_comes_back_behind_it_and_is_never_put():
    one = memory(recall="auto", chat_history=[*HISTORY, ASKED])
    shown = one.get()
    assert shown[-2] is ASKED
    assert "[2 May]\nuser: My cat is called Miso." in texts(shown)[-1]
    assert cost(shown) <= 240
    assert one.record["recalled"]["messages"] >= 1
    one.put(says("Miso."))
    one.put(user("Thanks!"))
    assert not any("Miso is" in text or "called Miso" in text for text in texts(one.get()))
    assert len(one.get_all()) == len(HISTORY) + 3


def test_a_question_that_is_not_put_yet_may_be_given():
    one = memory(recall="auto", chat_history=HISTORY)
    assert "called Miso" in texts(one.get(input=ASKED))[-1]
    assert "called Miso" in texts(one.get(ASKED.content))[-1]
    assert "called Miso" not in " ".join(texts(one.get("It rains.")))


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_model_with_the_tool_searches_for_itself(streaming: bool):
    one = memory(recall="tool", chat_history=HISTORY)

    def script(messages: Any) -> ChatMessage:
        if messages[-1].role == MessageRole.TOOL:
            return says(str(messages[-1].content))
        return calls(("recall_history", {"query": "the cat's name"}))

    agent: Any = FunctionAgent(
        llm=ScriptedLLM(script=script), tools=[recall_tool(one)], streaming=streaming
    )
    answer = await agent.run(user_msg=str(ASKED.content), memory=one)
    assert "[2 May]\nuser: My cat is called Miso." in str(answer)


def test_the_tool_says_when_there_is_nothing():
    tool = recall_tool(memory(recall="tool"), name="search")
    assert tool.metadata.name == "search"
    assert "Nothing that was said earlier matches" in tool.call(query="boat").content


def test_a_memory_that_recalls_nothing_cannot_be_searched():
    with pytest.raises(ConfigError, match="give recall='tool'"):
        memory().find("cat", max_tokens=10)


def test_what_the_rest_of_the_request_takes_is_kept_free():
    """llama_index #9371, #15320: `Initial token count exceeds token limit` in place of fitting."""
    one = memory(chat_history=[*talk(20), ASKED])
    assert cost(one.get(initial_token_count=120)) <= 120
    events: list[Any] = []
    stop = BUS.subscribe(events.append)
    try:
        shown = one.get(initial_token_count=9000)
    finally:
        stop()
    assert shown[-1] is ASKED
    assert cost(shown) <= 240 // 8
    assert one.record["short_by"] > 8000
    assert "short" in {event.outcome for event in events if isinstance(event, DecisionMade)}


def test_tokens_beside_say_nothing_of_a_memory_that_counts_messages():
    one = SlidingWindowMemory.from_defaults(message_limit=4, chat_history=[*talk(20), ASKED])
    assert len(one.get(initial_token_count=9000)) <= 4
    assert "short_by" not in one.record


def test_what_no_step_can_make_fit_is_an_error_that_says_so():
    one = memory(oversize="error")
    one.put(user("word " * 900))
    with pytest.raises(ContextOverflow, match="raise the limit"):
        one.get()
    one.put(user("Short."))
    assert texts(one.get()) == ["Short."]


def test_pinned_messages_stay_and_huge_ones_are_made_smaller_as_asked():
    one = memory(
        pin=lambda message: "rule" in message.additional_kwargs,
        oversize=lambda message, tokens: user("short"),
    )
    rule = user("Never say never.", rule=True)
    for message in [rule, *talk(20), user("word " * 900)]:
        one.put(message)
    assert texts(one.get())[0] == "Never say never."
    assert texts(one.get())[-1] == "short"


def test_setting_a_conversation_that_goes_on_reads_only_what_is_new():
    history = talk(10)
    one = memory()
    one.set(history)
    shown = one.get()
    more = [message.model_copy() for message in history] + talk(1)
    one.set(more)
    assert all(a is b for a, b in zip(shown, one.get(), strict=False))
    assert texts(one.get_all()) == texts(more)
    one.set(talk(1))
    assert texts(one.get()) == texts(talk(1))


async def test_every_method_has_an_awaited_form():
    one = memory(message_limit=None)
    await one.aput(user("a"))
    await one.aput_messages([says("b"), user("c")])
    one.put_messages([says("d")])
    assert texts(await one.aget()) == texts(await one.aget_all()) == ["a", "b", "c", "d"]
    await one.aset([user("e")])
    assert texts(await one.aget(input="x", initial_token_count=3)) == ["e"]
    await one.areset()
    assert await one.aget() == one.get_all() == []
    one.put(user("f"))
    one.reset()
    assert one.get() == []


def test_the_list_that_is_given_out_may_be_changed():
    one = memory(chat_history=talk(2))
    one.get().clear()
    one.get_all().clear()
    assert len(one.get()) == len(one.get_all()) == 4


def same(loaded: Any) -> None:
    one = memory(recall="auto", chat_history=[*HISTORY, ASKED])
    assert isinstance(loaded, SlidingWindowMemory)
    assert texts(loaded.get()) == texts(one.get())
    assert loaded.get_all() == one.get_all()


def test_json_there_and_back():
    """llama_index #18069, #18475, #19228: a memory that fails to serialise is lost in silence."""
    one = memory(recall=RecallSettings(share=0.25), chat_history=[*HISTORY, ASKED])
    same(SlidingWindowMemory.from_dict(json.loads(json.dumps(one.to_dict())), counter=WORDS))
    same(SlidingWindowMemory.from_string(one.to_string(), counter=WORDS))
    serializer = JsonSerializer()
    loaded = serializer.deserialize(serializer.serialize(one))
    assert texts(loaded.get_all()) == texts(one.get_all())
    assert loaded.recall == {"when": "auto", "share": 0.25, "neighbours": 1}


def test_rich_messages_outlive_json():
    rich = [user("Hello."), calls(("look", {"at": 1})), user("x")]
    rich[2].blocks.append(ChatMessage(role="user", content="y").blocks[0])
    one = memory(chat_history=rich)
    loaded = SlidingWindowMemory.from_dict(json.loads(json.dumps(one.to_dict())))
    assert loaded.get_all() == rich


def test_pickle_there_and_back():
    one = SlidingWindowMemory(token_limit=2000, chat_history=HISTORY)
    loaded = pickle.loads(pickle.dumps(one))
    assert texts(loaded.get()) == texts(one.get())
    loaded.put(ASKED)
    assert len(loaded.get_all()) == len(HISTORY) + 1


async def test_it_lives_in_the_context_of_a_workflow():
    agent: Any = FunctionAgent(
        llm=ScriptedLLM(script=working), tools=[FunctionTool.from_defaults(look)]
    )
    context = Context(agent)
    one = SlidingWindowMemory.from_defaults(token_limit=4000)
    await agent.run(user_msg="Question 0?", memory=one, ctx=context)
    saved = json.loads(json.dumps(context.to_dict(serializer=JsonSerializer())))
    restored = Context.from_dict(agent, saved, serializer=JsonSerializer())
    await agent.run(user_msg="Question 1?", ctx=restored)
    kept: Any = await restored.store.get("memory")
    assert isinstance(kept, SlidingWindowMemory)
    asked = [m.content for m in kept.get_all() if m.role == MessageRole.USER]
    assert asked == ["Question 0?", "Question 1?"]


def test_a_chat_engine_takes_it_for_its_buffer():
    one = SlidingWindowMemory.from_defaults(token_limit=200, tokenizer_fn=str.split)
    engine = SimpleChatEngine.from_defaults(llm=MockLLM(), memory=one, system_prompt="Be brief.")
    for number in range(12):
        engine.chat(f"Question {number}? " + "word " * 10)
    assert len(one.get_all()) == 24
    assert one.record["left_out"] > 0
    engine.reset()
    assert one.get_all() == []


def test_made_as_the_buffer_is_made():
    llm = ScriptedLLM(script=working)
    of_model = SlidingWindowMemory.from_defaults(llm=llm, chat_history=talk(1))
    assert of_model.token_limit == int(128_000 * 0.75)
    assert of_model.model == "gpt-4o-mini"
    assert SlidingWindowMemory.from_defaults().token_limit == 30_000
    messages = SlidingWindowMemory.from_defaults(message_limit=4, chat_history=talk(9))
    assert messages.token_limit is None
    assert len(messages.get(initial_token_count=5000)) <= 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "bounded by max_tokens or by max_messages"),
        ({"token_limit": 0}, "max_tokens must be a whole number >= 1, got 0"),
        ({"token_limit": 10, "recall": "never"}, "when is 'auto'"),
        ({"token_limit": 10, "chat_store": None}, "arguments must be fields"),
    ],
)
def test_arguments_that_mean_nothing(options: dict[str, Any], said: str):
    with pytest.raises(ConfigError) as caught:
        SlidingWindowMemory(**options)
    assert said in str(caught.value)


@pytest.mark.parametrize("method", ["put", "put_messages", "set"])
def test_what_is_no_message_is_not_stored(method: str):
    """It was, and every later `get` failed."""
    one = memory(chat_history=[ASKED])
    given: Any = "hello" if method == "put" else [ASKED, "hello"]
    with pytest.raises(ConfigError, match="a memory takes ChatMessages, got a str"):
        getattr(one, method)(given)
    assert one.get() == [ASKED]
    assert one.get_all() == [ASKED]


@pytest.mark.parametrize("wrong", [None, "x", SimpleChatStore()])
def test_the_tool_searches_what_can_be_searched(wrong: Any):
    with pytest.raises(ConfigError, match="the tool searches a SlidingWindowMemory, got a"):
        recall_tool(wrong)
    with pytest.raises(ConfigError, match="only a memory with recall= can be searched"):
        recall_tool(memory())


def test_large_arguments_of_a_call_are_cut_in_either_form():
    """The memory raised until the user said something else, in the middle of the task."""
    text = "line of code\n" * 2000
    block = ToolCallBlock(tool_call_id="c", tool_name="write", tool_kwargs={"text": text})
    function = {"name": "write", "arguments": json.dumps({"text": text})}
    legacy = {"tool_calls": [{"id": "c", "type": "function", "function": function}]}
    for calling in (
        ChatMessage(role="assistant", blocks=[block]),
        ChatMessage(role="assistant", content="", additional_kwargs=legacy),
    ):
        result = ChatMessage(role="tool", content="ok", additional_kwargs={"tool_call_id": "c"})
        one = memory(chat_history=[ASKED, calling, result])
        shown = one.get()
        assert cost(shown) <= 240
        (sent,) = to_core(shown[1]).tool_calls
        assert "characters left out" in sent.arguments["text"]
        assert one.chat_history[1] is calling
        assert to_core(calling).tool_calls[0].arguments["text"] == text
