"""`SummaryTrimMemory` and `SummaryMemoryBlock` under real agents and LlamaIndex's own `Memory`."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from conversations import WORDS, objections
from llama_index.core import Settings
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
)
from llama_index.core.llms.loading import RECOGNIZED_LLMS
from llama_index.core.memory import Memory
from llama_index.core.workflow import Context
from llamaindex_tools import ScriptedLLM, calls, says, user
from parallel_tools import STOCK_WARNINGS
from sqlalchemy.ext.asyncio import create_async_engine
from workflows.context.serializers import JsonSerializer

from agentperf_core.context import ContextOverflow
from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS
from llamaindex_agentperf import SummaryMemoryBlock, SummaryTrimMemory
from llamaindex_agentperf._messages import to_core

pytestmark = pytest.mark.filterwarnings(*STOCK_WARNINGS)

FILL = " ".join(f"word{n}" for n in range(18))
LIMIT = 400


class Summarizer(ScriptedLLM):
    """Numbers its summaries."""

    @classmethod
    def class_name(cls) -> str:
        return "test_summarizer"


as_summarizer: Any = Summarizer  # pydantic's stub of the constructor takes no script


def summarizer(script: Any = None) -> Summarizer:
    numbers = iter(range(1, 10_000))
    return as_summarizer(script or (lambda messages: says(f"summary {next(numbers)}")))


def tokens(text: str) -> list[str]:
    return text.split()


def memory_of(llm: Any = None, **options: Any) -> SummaryTrimMemory:
    options = {"token_limit": LIMIT, "tokenizer_fn": tokens, **options}
    return SummaryTrimMemory.from_defaults(llm=llm or summarizer(), **options)


def settle(memory: SummaryTrimMemory) -> None:
    memory._trimmer().settle(20)


def turn(number: int) -> list[ChatMessage]:
    return [user(f"turn {number} {FILL}"), says(f"answer {number} {FILL}")]


def talk(memory: SummaryTrimMemory, turns: int, first: int = 0) -> SummaryTrimMemory:
    for number in range(first, first + turns):
        memory.put_messages(turn(number))
        settle(memory)
    return memory


def texts(messages: Sequence[ChatMessage]) -> list[str]:
    return [message.content or "" for message in messages]


def test_a_summary_stands_before_the_window_and_nothing_is_over_the_limit():
    memory = memory_of()
    for number in range(30):
        memory.put_messages(turn(number))
        settle(memory)
        core = [to_core(message) for message in memory.get()]
        assert sum(map(WORDS.count_message, core)) <= LIMIT
        assert objections(core) == []
    assert "summary" in texts(memory.get())[0]
    assert memory.shown().coverage.share == 1.0
    assert len(memory.get_all()) == 60


async def test_every_awaited_method_is_the_same():
    one, two = memory_of(), memory_of()
    for number in range(20):
        one.put_messages(turn(number))
        settle(one)
        await two.aput_messages(turn(number))
        await two._trimmer().asettle(20)
    assert texts(await two.aget()) == texts(one.get())
    assert texts(await two.aget_all()) == texts(one.get_all())
    await two.aset(turn(7))
    assert texts(await two.aget()) == texts(turn(7))
    await two.aput(user("more"))
    assert len(await two.aget_all()) == 3
    await two.areset()
    assert await two.aget() == []


def test_shown_messages_are_the_objects_that_were_put():
    memory = memory_of()
    put = turn(0)
    memory.put_messages(put)
    assert all(a is b for a, b in zip(memory.get(), put, strict=True))


def test_setting_a_history_that_goes_on_keeps_its_summary():
    memory = talk(memory_of(), 20)
    before = texts(memory.get())
    memory.set([message.model_copy(deep=True) for message in memory.get_all()])
    assert texts(memory.get()) == before
    memory.set(turn(3))
    assert texts(memory.get()) == texts(turn(3))
    memory.reset()
    assert (memory.get(), memory.get_all()) == ([], [])


def test_what_the_prompt_holds_besides_takes_its_room():
    memory = talk(memory_of(), 20)
    core = [to_core(message) for message in memory.get(initial_token_count=150)]
    assert sum(map(WORDS.count_message, core)) <= LIMIT - 150


def test_more_besides_than_fits_leaves_the_conversation_an_eighth():
    """ChatMemoryBuffer raises here (run-llama/llama_index#15320)."""
    memory = talk(memory_of(), 20)
    shown = memory.get(initial_token_count=5000)
    assert shown[-1].role == MessageRole.ASSISTANT
    assert "word" in (shown[-1].content or "")


def test_a_message_that_must_stay_and_does_not_fit_is_told_to_who_reads():
    memory = memory_of(pin=lambda message: True)
    memory.put_messages(turn(0) * 20)
    with pytest.raises(ContextOverflow):
        memory.get()
    assert len(memory.get_all()) == 40


def round_trip(memory: SummaryTrimMemory) -> SummaryTrimMemory:
    serializer = JsonSerializer()
    return serializer.deserialize(serializer.serialize(memory))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process holds is not there for the rest of the test, as in another process."""
    monkeypatch.setattr("llamaindex_agentperf._held._MOST", 0)


PICTURES = ChatMessage(
    role=MessageRole.USER,
    blocks=[TextBlock(text="look"), *([ImageBlock(url="http://x/y.png")] * 6)],  # pyright: ignore[reportArgumentType] - pydantic makes a url of it
)


def test_a_turn_that_overflowed_does_no_harm_once_it_can_leave():
    """Six pictures were refused, and so was everything that was said after them."""
    memory = talk(memory_of(), 3)
    memory.put(PICTURES)
    with pytest.raises(ContextOverflow):
        memory.get()
    memory.put_messages([says("ok"), user("next")])
    assert texts(memory.get())[-1] == "next"
    assert len(memory.get_all()) == 9
    assert memory.shown().left_out == 8
    talk(memory, 15)
    assert memory.shown().coverage.share == 1.0


@pytest.mark.usefixtures("elsewhere")
def test_a_conversation_that_overflows_now_is_saved_with_its_summaries():
    """What was saved of them was what the memory had been loaded with."""
    memory = talk(memory_of(tokenizer_fn=None), 20)
    before = memory.to_dict()["summaries"]
    memory.put(PICTURES)
    assert any(before.values())
    saved = memory.to_dict()["summaries"]
    assert saved["summary"] or saved["ready"]
    again = round_trip(memory)
    again.put_messages([says("ok"), user("next")])
    assert again.shown().summary is not None


def test_the_record_tells_of_repairs():
    """Three of four messages were shown, and the record told of no repair and none left out."""
    memory = memory_of()
    lost = ChatMessage("lost", role="tool", additional_kwargs={"tool_call_id": "zz"})
    memory.put_messages([user("q1"), lost, says("a"), user("q2")])
    assert texts(memory.get()) == ["q1", "a", "q2"]
    record = memory.shown().record()
    assert (record["left_out"], record["repairs"]) == (1, ["orphan_result"])


def test_json_brings_everything_back():
    model = summarizer()
    memory = talk(memory_of(model, token_limit=600, keep_turns=4), 20)
    saved = json.dumps(memory.to_dict())
    assert "sk-very-secret" not in saved
    again = round_trip(memory)
    assert type(again) is SummaryTrimMemory
    assert again.options == {"keep_turns": 4}
    assert (again.llm, again.tokenizer_fn) == (model, tokens)
    assert texts(again.get()) == texts(memory.get())
    assert again.shown().summary == memory.shown().summary
    assert again.to_dict() == memory.to_dict()


@pytest.mark.usefixtures("elsewhere")
def test_elsewhere_the_model_of_the_settings_goes_on(monkeypatch: pytest.MonkeyPatch):
    model = summarizer()
    monkeypatch.setattr(Settings, "_llm", model)
    memory = talk(memory_of(tokenizer_fn=None, token_limit=600, keep_turns=4), 20)
    again = round_trip(memory)
    assert texts(again.get()) == texts(memory.get())
    assert again.shown().summary == memory.shown().summary
    talk(again, 30, first=20)
    assert model.calls_made > 0
    assert again.shown().failed is None


@pytest.mark.usefixtures("elsewhere")
def test_elsewhere_a_model_that_is_known_by_name_is_loaded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(RECOGNIZED_LLMS, "test_summarizer", Summarizer)
    made: list[Any] = []
    load = Summarizer.from_dict

    def from_dict(data: Any, **kwargs: Any) -> Any:
        made.append(load(data, **kwargs))
        return made[-1]

    monkeypatch.setattr(Summarizer, "from_dict", from_dict)
    again = talk(round_trip(memory_of(token_limit=600, tokenizer_fn=None)), 30)
    assert again.shown().summary is not None
    assert made


@pytest.mark.usefixtures("elsewhere")
def test_elsewhere_a_function_gives_way_to_the_settings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Settings, "_llm", summarizer())
    memory = memory_of(lambda messages, previous, most: "short", pin=lambda message: False)
    again = talk(round_trip(memory), 90)
    assert again.options == {}
    assert "summary" in texts(again.get())[0]


def test_a_summary_that_is_being_written_goes_through_json_within_its_process():
    """A workflow saves and loads its memory between two runs."""
    model = summarizer()
    model._gate = threading.Event()
    memory = memory_of(model)
    for number in range(20):
        memory.put_messages(turn(number))
    again = round_trip(memory)
    model._gate.set()
    settle(memory)
    assert again.live is memory.live
    talk(again, 10, first=20)
    assert again.shown().coverage.share == 1.0
    assert again.shown().summary is not None


def test_what_was_saved_may_be_given_another_model():
    memory = talk(memory_of(), 20)
    again = SummaryTrimMemory.from_string(
        memory.to_string(), llm=lambda messages, previous, most: "other"
    )
    assert texts(again.get()) == texts(memory.get())
    assert "other" in texts(talk(again, 20, first=20).get())[0]


def test_another_limit_in_what_was_saved_is_kept_to():
    memory = talk(memory_of(), 20)
    again = SummaryTrimMemory.from_dict({**memory.to_dict(), "token_limit": 200})
    assert sum(WORDS.count_message(to_core(message)) for message in again.get()) <= 200


def test_a_function_goes_through_json_within_its_process():
    memory = talk(memory_of(lambda messages, previous, most: "short"), 20)
    assert "short" in texts(talk(round_trip(memory), 20, first=20).get())[0]


def failing(messages: Any) -> Exception:
    return ConnectionError("down")


@pytest.mark.parametrize(
    ("script", "error"),
    [(failing, "ConnectionError"), (lambda messages: says("  "), "NoSummary")],
    ids=["fails", "says nothing"],
)
@pytest.mark.parametrize("background", [True, False])
def test_a_summariser_that_gives_none_leaves_the_conversation_whole(
    script: Any, error: str, background: bool
):
    before = BUS.faults().get("context.summary", 0)
    memory = memory_of(summarizer(script), background=background)
    for number in range(20):
        memory.put_messages(turn(number))
        settle(memory)
        memory.get()
    view = memory.shown()
    assert (view.failed, view.summary) == (error, None)
    assert view.coverage.pending == view.left_out > 0
    assert len(memory.get_all()) == 40
    assert BUS.faults()["context.summary"] > before


@pytest.mark.parametrize("background", [True, False])
def test_a_summariser_that_hangs_holds_nobody_up(background: bool):
    model = summarizer()
    model._gate = threading.Event()
    memory = memory_of(model, background=background, timeout_s=0.005)
    for number in range(20):
        memory.put_messages(turn(number))
        settle(memory)
        memory.get()
    assert memory.shown().failed == "TimeoutError"
    model._gate.set()


def test_old_turns_can_be_dropped_instead():
    memory = talk(SummaryTrimMemory(token_limit=LIMIT, tokenizer_fn=tokens), 20)
    assert memory.shown().summary is None
    assert texts(memory.get())[0].startswith("turn")


def test_the_limit_is_three_quarters_of_the_model_s_context():
    memory = SummaryTrimMemory.from_defaults(llm=summarizer())
    assert memory.token_limit == int(Summarizer().metadata.context_window * 0.75)
    assert memory.model_name == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("options", "says_"),
    [({"token_limit": 60}, "more than half"), ({"trigger": 9}, "check the spelling")],
)
def test_settings_that_mean_nothing_are_refused_at_once(options: dict[str, Any], says_: str):
    with pytest.raises(ConfigError, match=says_):
        memory_of(**options)


def test_many_writers_lose_nothing():
    memory = memory_of()

    def write(number: int) -> None:
        for one in range(10):
            memory.put(user(f"writer {number} message {one}"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(texts(memory.get_all()))) == 500
    assert memory.shown().left_out + len(memory.get()) >= 500


def look(place: str) -> str:
    """Look at a place."""
    return f"{place} {FILL}"


def searching(messages: Sequence[ChatMessage]) -> ChatMessage:
    if messages[-1].role == MessageRole.USER:
        return calls(("look", {"place": "here"}), ("look", {"place": "there"}))
    return says(f"found {FILL}")


async def run_agent(
    agent: Any, turns: int, *, ctx: Any, first: int = 0, **given: Any
) -> SummaryTrimMemory:
    """Some turns in one context, which is saved and loaded between them; the memory of the last."""
    memory: Any = None
    for number in range(first, first + turns):
        await agent.run(user_msg=f"turn {number} {FILL}", ctx=ctx, **given)
        memory = await ctx.store.get("memory")
        await memory._trimmer().asettle(20)
    return memory


async def test_an_agent_with_tools_sees_valid_prompts_within_the_limit():
    llm = ScriptedLLM(searching)
    agent: Any = FunctionAgent(name="desk", llm=llm, tools=[look])
    memory = await run_agent(agent, 12, ctx=Context(agent), memory=memory_of(token_limit=700))
    assert len(memory.get_all()) == 12 * 5
    assert memory.shown().coverage.share == 1.0
    assert memory.shown().summary is not None
    for messages in llm.seen:
        core = [to_core(message) for message in messages]
        assert objections(core) == []
    assert any("summary" in texts(messages)[0] for messages in llm.seen)


async def test_a_workflow_s_context_goes_through_json():
    agent: Any = FunctionAgent(name="desk", llm=ScriptedLLM(), tools=[])
    context: Any = Context(agent)
    given = SummaryTrimMemory.from_defaults(llm=summarizer(), token_limit=600)
    memory = await run_agent(agent, 20, ctx=context, memory=given)
    saved = json.loads(json.dumps(context.to_dict()))
    again: Any = FunctionAgent(name="desk", llm=ScriptedLLM(), tools=[])
    restored: Any = Context.from_dict(again, saved)
    found = await restored.store.get("memory")
    assert type(found) is SummaryTrimMemory
    assert len(found.get_all()) == 40
    assert texts(found.get_all()) == texts(memory.get_all())
    assert found.shown().summary is not None
    assert found.shown().summary == memory.shown().summary
    found = await run_agent(again, 3, ctx=restored, first=20)
    assert len(found.get_all()) == 46


def stock(block: SummaryMemoryBlock, session: str = "s") -> Memory:
    """LlamaIndex's memory over a database of its own."""
    return Memory.from_defaults(
        session_id=session,
        token_limit=LIMIT,
        token_flush_size=100,
        tokenizer_fn=tokens,
        memory_blocks=[block],
        async_engine=create_async_engine("sqlite+aiosqlite:///:memory:"),
    )


async def close(*memories: Memory) -> None:
    for memory in memories:
        store: Any = memory.sql_store
        if store._async_engine is not None:
            await store._async_engine.dispose()


async def settled(block: SummaryMemoryBlock) -> None:
    for rolling in block._sessions.values():
        await rolling.asettle(20)


async def test_a_block_summarises_what_leaves_the_queue():
    model = summarizer()
    block = SummaryMemoryBlock(llm=model)
    memory = stock(block)
    for number in range(30):
        await memory.aput_messages(turn(number))
        await settled(block)
    shown = texts(await memory.aget())
    assert "<summary>\nsummary" in shown[0]
    archived = len(await memory.aget_all()) - len(shown) + 1
    assert archived > 20
    assert block.coverage("s").evicted == archived
    await memory.aget()
    assert block.coverage("s").share == 1.0
    await close(memory)


async def test_nobody_waits_for_a_block():
    gate = asyncio.Event()

    async def summarize(messages: Any, previous: Any, most: int) -> str:
        await gate.wait()
        return "late"

    block = SummaryMemoryBlock(llm=summarize)
    memory = stock(block)
    for number in range(20):
        await memory.aput_messages(turn(number))
        assert "late" not in texts(await memory.aget())[0]
    gate.set()
    await settled(block)
    await memory.aget()
    await settled(block)
    assert "late" in texts(await memory.aget())[0]
    assert block.coverage("s").share == 1.0
    await close(memory)


async def test_sessions_of_one_block_share_nothing():
    """LlamaIndex's vector block gives one session what another said (llama_index#22701)."""
    model = as_summarizer(lambda messages: says("of " + (messages[-1].content or "").split()[2]))
    block = SummaryMemoryBlock(llm=model, background=False)
    one, two = stock(block, "one"), stock(block, "two")
    for number in range(20):
        await one.aput_messages([user(f"one {number} {FILL}"), says(FILL)])
        await two.aput_messages([user(f"two {number} {FILL}"), says(FILL)])
        await one.aget()
        await two.aget()
    assert block.coverage("one").share == block.coverage("two").share == 1.0
    seen = ["one 0" in str(messages) for messages in model.seen]
    assert any(seen)
    assert not any("one 0" in str(m) and "two 0" in str(m) for m in model.seen)
    await close(one, two)


async def test_a_block_that_fails_keeps_the_messages_and_saves_them():
    model = summarizer(failing)
    block = SummaryMemoryBlock(llm=model)
    memory = stock(block)
    for number in range(20):
        await memory.aput_messages(turn(number))
        await memory.aget()
        await settled(block)
    assert block.failed("s") == "ConnectionError"
    coverage = block.coverage("s")
    assert coverage.pending == coverage.evicted > 0
    saved = json.loads(json.dumps(block.model_dump(mode="json")))
    again = SummaryMemoryBlock.model_validate({**saved, "llm": summarizer()})
    assert again.coverage("s").pending == coverage.pending
    await again.aget(session_id="s")
    await settled(again)
    assert "summary" in await again.aget(session_id="s")
    assert again.coverage("s").share == 1.0
    await close(memory)


def test_a_block_needs_somebody_who_summarises():
    with pytest.raises(ConfigError, match="needs an llm"):
        SummaryMemoryBlock()


@pytest.mark.parametrize("priority", [0, 1])
async def test_a_block_in_a_memory_that_is_over_its_limit_is_shortened(priority: int):
    """LlamaIndex leaves the whole block out, if the block does not shorten itself."""
    told = " ".join(f"fact{number}" for number in range(200))
    block = SummaryMemoryBlock(
        llm=lambda messages, previous, most: told,
        tokenizer_fn=tokens,
        background=False,
        priority=priority,
    )
    memory = stock(block)
    shown: list[str] = []
    shortened = 0
    for number in range(20):
        await memory.aput_messages(turn(number))
        shown = texts(await memory.aget())
        if "fact0 " in shown[0] and "left out to fit" in shown[0]:
            shortened += 1
            assert "fact199" in shown[0]
            block_and_queue = sum(len(tokens(text)) for text in shown)
            assert block_and_queue <= LIMIT + 4, "four tags of the template are not counted"
    assert "fact0 " in shown[0]
    assert bool(shortened) == bool(priority)
    await close(memory)


async def test_a_block_of_which_hardly_anything_would_be_left_goes():
    block = SummaryMemoryBlock(llm=summarizer(), tokenizer_fn=tokens)
    assert await block.atruncate("The cat is called Miso.", 3) is None
    assert await block.atruncate("The cat is called Miso.", 0) == "The cat is called Miso."
    nothing: Any = []  # what `Memory` gives where a block has said nothing
    assert await block.atruncate(nothing, 3) is None
