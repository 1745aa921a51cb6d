"""Chat stores for LlamaIndex's `Memory`: any address, all of its promises, nothing lost."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as aioredis
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.memory import Memory
from llama_index.core.storage.chat_store.base_db import MessageStatus
from llama_index.core.workflow import Context
from llamaindex_tools import ScriptedLLM, calls, says
from workflows.context.serializers import JsonSerializer

from agentperf_core.bench.servers import RedisServer
from agentperf_core.cache.conversations import (
    Conversations,
    ConversationUnavailable,
    RedisConversations,
    open_conversations,
)
from agentperf_core.errors import CodecError, ConfigError
from agentperf_core.events import BUS
from llamaindex_agentperf import AgentPerfChatStore, RedisAsyncChatStore

ACTIVE, ARCHIVED = MessageStatus.ACTIVE, MessageStatus.ARCHIVED


def talk(*words: str) -> list[ChatMessage]:
    roles = ("user", "assistant")
    return [ChatMessage(role=roles[n % 2], content=word) for n, word in enumerate(words)]


def start(agent: Any, text: str, memory: Memory) -> Any:
    """Start a run; untyped, because the stubs of `run` mark every call as deprecated."""
    return agent.run(user_msg=text, memory=memory)


def scripted(*answers: ChatMessage) -> ScriptedLLM:
    left = list(answers)
    return ScriptedLLM(lambda _: left.pop(0))


def words(messages: list[ChatMessage]) -> list[str | None]:
    return [message.content for message in messages]


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, namespace: str
) -> AsyncIterator[AgentPerfChatStore]:
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("plain_server")
        made = RedisAsyncChatStore(server.url, namespace=namespace)
    else:
        where = {"memory": "memory:", "sqlite": f"sqlite:{tmp_path}/talks.db"}[request.param]
        made = AgentPerfChatStore(where, namespace=namespace)
    yield made
    await made.aclose()


async def test_messages_have_a_status(store: AgentPerfChatStore) -> None:
    """Active unless archived; without a status, all are meant, in order."""
    await store.add_messages("k", talk("a", "b", "c", "d"))
    assert words(await store.archive_oldest_messages("k", 2)) == ["a", "b"]
    await store.add_message("k", ChatMessage(role="user", content="e"))
    assert words(await store.get_messages("k")) == ["c", "d", "e"]
    assert words(await store.get_messages("k", status=ARCHIVED)) == ["a", "b"]
    assert words(await store.get_messages("k", status=None)) == ["a", "b", "c", "d", "e"]
    counts = [await store.count_messages("k", status) for status in (ACTIVE, ARCHIVED, None)]
    assert counts == [3, 2, 5]


async def test_messages_are_read_in_parts(store: AgentPerfChatStore) -> None:
    """Limit and offset count what has the status."""
    await store.add_messages("k", talk("a", "b", "c", "d", "e"))
    assert words(await store.get_messages("k", limit=2)) == ["a", "b"]
    assert words(await store.get_messages("k", offset=2)) == ["c", "d", "e"]
    assert words(await store.get_messages("k", limit=2, offset=1)) == ["b", "c"]
    await store.archive_oldest_messages("k", 1)
    assert words(await store.get_messages("k", limit=1)) == ["b"]
    assert words(await store.get_messages("k", None, 2, 1)) == ["b", "c"]


async def test_messages_are_forgotten(store: AgentPerfChatStore) -> None:
    """One by its position or id, the oldest, those of a status, all; others stay."""
    await store.add_messages("k", talk("a", "b", "c", "d", "e"))
    await store.add_messages("other", talk("x"))
    one = await store.delete_message("k", 1)
    assert one is not None
    assert one.content == "b"
    assert await store.delete_message("k", 9) is None
    assert await store.delete_message("k", -1) is None
    ident = (await store.conversations.of("k").aread())[1].id
    assert words([await store.delete_message("k", ident) or one]) == ["c"]
    assert words(await store.delete_oldest_messages("k", 1)) == ["a"]
    await store.archive_oldest_messages("k", 1)
    await store.delete_messages("k", status=ACTIVE)
    assert words(await store.get_messages("k", status=None)) == ["d"]
    await store.delete_messages("k")
    assert await store.get_keys() == ["other"]
    await store.set_messages("other", talk("y", "z"))
    assert words(await store.get_messages("other")) == ["y", "z"]
    await store.set_messages("other", [])
    assert await store.get_keys() == []


async def test_messages_come_back_as_they_were(store: AgentPerfChatStore) -> None:
    """Tool calls, their results, reasoning, pictures and extra fields."""
    messages = [
        ChatMessage(
            role="user",
            blocks=[TextBlock(text="this?"), ImageBlock(image=b"\x89PNG\xff", detail="low")],
        ),
        ChatMessage(
            role="assistant",
            blocks=[
                ThinkingBlock(content="hm", additional_information={"signature": "s"}),
                ToolCallBlock(tool_call_id="c1", tool_name="find", tool_kwargs={"order": 7}),
            ],
            additional_kwargs={"session": 1},
        ),
        ChatMessage(role="tool", content="in Ghent", additional_kwargs={"tool_call_id": "c1"}),
        ChatMessage(role="user", blocks=[ImageBlock(url="https://example.com/a.png")]),
    ]
    await store.add_messages("k", messages)
    found = await store.get_messages("k")
    assert [one.model_dump_json() for one in found] == [one.model_dump_json() for one in messages]


async def test_fifty_writers_on_one_key_lose_nothing(store: AgentPerfChatStore) -> None:
    """Each adds a question and its answer, which stay together."""
    await asyncio.gather(
        *(store.add_messages("k", talk(f"{n}", f"re {n}")) for n in range(50)),
    )
    found = words(await store.get_messages("k"))
    pairs = [(found[at], found[at + 1]) for at in range(0, 100, 2)]
    assert sorted(map(str, pairs)) == sorted(str((f"{n}", f"re {n}")) for n in range(50))


async def test_memory_archives_what_it_flushes(store: AgentPerfChatStore) -> None:
    """LlamaIndex's own waterfall over this store."""
    memory: Any = Memory.from_defaults(
        session_id="k",
        token_limit=50,
        token_flush_size=10,
        chat_history_token_ratio=1.0,
        tokenizer_fn=str.split,  # pyright: ignore[reportArgumentType]
        chat_store=store,
    )
    for number in range(10):
        await memory.aput_messages(talk(f"q{number} " * 5, f"a{number} " * 5))
    kept = words(await store.get_messages("k"))
    everything = words(await store.get_messages("k", status=None))
    assert 0 < len(kept) < 20
    assert len(everything) == 20
    assert everything[-len(kept) :] == kept == words(await memory.aget())


async def test_two_tenants_do_not_meet(namespace: str, plain_server: RedisServer) -> None:
    """The same key is another conversation."""
    stores = [
        RedisAsyncChatStore(plain_server.url, namespace=namespace, tenant=tenant)
        for tenant in ("a", "b")
    ]
    await stores[0].add_messages("k", talk("mine"))
    assert await stores[1].get_messages("k", status=None) == []
    assert await stores[1].get_keys() == []
    for one in stores:
        await one.aclose()


async def test_an_agent_goes_on_where_another_stopped(store: AgentPerfChatStore) -> None:
    """A new memory of the same session knows what was said and which tools were called."""

    def find(order: int) -> str:
        """Find an order."""
        return f"order {order} is in Ghent"

    def memory() -> Memory:
        return Memory.from_defaults(session_id="k", token_limit=4000, chat_store=store)

    llm = scripted(calls(("find", {"order": 7})), says("In Ghent."))
    await start(FunctionAgent(tools=[find], llm=llm), "Where is it?", memory=memory())
    again = scripted(says("Yes."))
    await start(FunctionAgent(tools=[find], llm=again), "Sure?", memory=memory())
    seen = [(message.role.value, message.content) for message in again.seen[-1]]
    assert ("user", "Where is it?") in seen
    assert ("assistant", "In Ghent.") in seen
    assert seen[-1] == ("user", "Sure?")


def test_memory_may_be_used_from_sync_code(plain_server: RedisServer, namespace: str) -> None:
    """Each of its sync calls runs an event loop of its own."""
    store = RedisAsyncChatStore(plain_server.url, namespace=namespace)
    history = talk("seed")
    memory = Memory.from_defaults(
        session_id="k", token_limit=1000, chat_store=store, chat_history=history
    )
    memory.put(ChatMessage(role="assistant", content="one"))
    memory.put(ChatMessage(role="user", content="two"))
    assert words(memory.get_all()) == ["seed", "one", "two"]
    store.conversations.close()


async def test_it_comes_back_from_json(store: AgentPerfChatStore) -> None:
    """Its fields do, and what lives in this process alone."""
    await store.add_messages("k", talk("a", "b"))
    await store.archive_oldest_messages("k", 1)
    dumped = await asyncio.to_thread(store.model_dump_json)
    again = type(store).model_validate_json(dumped)
    assert words(await again.get_messages("k", status=ARCHIVED)) == ["a"]
    assert words(await again.get_messages("k")) == ["b"]
    assert (again.address, again.namespace) == (store.address, store.namespace)
    serializer = JsonSerializer()
    value = await asyncio.to_thread(serializer.serialize, store)
    found = serializer.deserialize(value)
    assert words(await found.get_messages("k", status=None)) == ["a", "b"]


async def test_it_survives_in_the_context_of_a_workflow(tmp_path: Path) -> None:
    """Where LlamaIndex drops its own chat memory with a warning."""
    store = AgentPerfChatStore(f"sqlite:{tmp_path}/talks.db")
    await store.add_messages("k", talk("a"))
    agent = FunctionAgent(tools=[], llm=scripted(says("x")))
    context: Any = Context(agent)
    await context.store.set("chat_store", store)
    saved = context.to_dict(serializer=JsonSerializer())
    restored: Any = Context.from_dict(agent, saved, serializer=JsonSerializer())
    found = await restored.store.get("chat_store")
    assert words(await found.get_messages("k")) == ["a"]
    await store.aclose()


async def test_clients_of_the_callers(plain_server: RedisServer, namespace: str) -> None:
    """They are used as they are, and stay open."""
    options: Any = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0, "retry": None}
    async with aioredis.Redis.from_url(plain_server.url, **options) as client:
        store = RedisAsyncChatStore(async_client=client, namespace=namespace)
        await store.add_messages("k", talk("a"))
        await store.aclose()
        assert words(await store.get_messages("k")) == ["a"]
        fields = store.model_dump()
    with pytest.raises(ConfigError, match="needs its address"):
        RedisAsyncChatStore(**fields)


async def test_conversations_may_be_given(tmp_path: Path) -> None:
    """One store of conversations serves the chat store and whatever else reads them."""
    async with open_conversations(f"sqlite:{tmp_path}/talks.db") as conversations:
        store = AgentPerfChatStore(conversations=conversations)
        await store.add_messages("k", talk("a"))
        assert await conversations.of("k").acount() == 1


async def test_what_json_lacks() -> None:
    """It is as with `ConversationHistory`: an object is text, and what is neither is refused.

    They were errors of pydantic once, at `add_message`.
    """

    class Row:
        def __str__(self) -> str:
            return "row 1"

    class Shy:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def calling(value: Any) -> ChatMessage:
        block = ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs={"value": value})
        return ChatMessage(role="assistant", blocks=[block])

    store = AgentPerfChatStore()
    extra = {"row": Row()}
    await store.add_message("k", ChatMessage(role="user", content="x", additional_kwargs=extra))
    for odd in (b"\xff", Shy()):
        with pytest.raises(CodecError, match="a ChatMessage must be plain data to be kept"):
            await store.add_message("k", calling(odd))
    (found,) = await store.get_messages("k")
    assert found.additional_kwargs == {"row": "row 1"}


@pytest.mark.parametrize(
    "value", [12345678901234567890123, 2**80, [math.inf, -math.inf], "half \ud83d", {"json": "{}"}]
)
async def test_arguments_of_tools_come_back_as_they_were(
    store: AgentPerfChatStore, value: Any
) -> None:
    """A large order number once came back as a float, and infinity as nothing."""
    block = ToolCallBlock(tool_call_id="c", tool_name="find", tool_kwargs={"order": value})
    said = ChatMessage(role="assistant", blocks=[block], additional_kwargs={"order": value})
    await store.add_messages("k", [said, ChatMessage(role="tool", content="found")])
    found = await store.get_messages("k")
    assert found[0] == said
    assert words(found) == [None, "found"]
    await store.add_message("k", ChatMessage(role="user", additional_kwargs={"n": math.nan}))
    assert math.isnan((await store.get_messages("k"))[-1].additional_kwargs["n"])


async def test_what_json_lacks_comes_back_from_json() -> None:
    """A store in this process goes into a workflow's context with its messages."""
    store = AgentPerfChatStore()
    said = ChatMessage(role="user", content="x", additional_kwargs={"n": 2**80, "x": -math.inf})
    await store.add_message("k", said)
    dumped = await asyncio.to_thread(store.model_dump_json)
    again = AgentPerfChatStore.model_validate_json(dumped)
    assert await again.get_messages("k") == [said]


async def test_wrong_arguments_are_told_of(store: AgentPerfChatStore) -> None:
    """No slip deletes messages, does nothing without a word, or counts as an outage.

    `delete_oldest_messages(key, None)` once deleted all of them in SQLite.
    """
    await store.add_messages("k", talk("a", "b"))
    wrong: Any
    for wrong in (None, "x", 1.5, -1):
        with pytest.raises(ConfigError, match="count must be a whole number >= 0, got"):
            await store.delete_oldest_messages("k", wrong)
        with pytest.raises(ConfigError, match="count must be a whole number >= 0, got"):
            await store.archive_oldest_messages("k", wrong)
    for wrong in (None, "x", 1.5):
        with pytest.raises(ConfigError, match="idx must be a whole number"):
            await store.delete_message("k", wrong)
    wrong = "x"
    with pytest.raises(ConfigError, match="limit must be"):
        await store.get_messages("k", limit=wrong)
    with pytest.raises(ConfigError, match="state must be 'active' or 'archived', got 'x'"):
        await store.get_messages("k", status=wrong)
    for wrong in ("x", None):
        with pytest.raises(ConfigError, match="state must be 'active' or 'archived', got"):
            await store.add_message("k", talk("c")[0], status=wrong)
    for wrong in (["x"], [5], [{"role": "user", "content": "x"}], "x", None, talk("c")[0]):
        with pytest.raises(ConfigError, match=r"must be a (list of )?ChatMessage, got"):
            await store.add_messages("k", wrong)
    assert words(await store.get_messages("k", status=None)) == ["a", "b"]
    assert not store.conversations.is_down


def test_misspelt_arguments_are_told_of() -> None:
    """Pydantic ignores what it does not know: `ttl=60` kept conversations for ever."""
    wrong: Any = {"ttl": 60}
    with pytest.raises(ConfigError, match=r"fields of AgentPerfChatStore, got \['ttl'\]"):
        AgentPerfChatStore("memory:", **wrong)
    wrong = {"foo": 1, "bar": 2}
    with pytest.raises(
        ConfigError, match=r"fields of RedisAsyncChatStore, got \['bar', 'foo'\]; see its"
    ):
        RedisAsyncChatStore(**wrong)
    assert AgentPerfChatStore("memory:", ttl_s=60).ttl_s == 60


def test_what_is_no_address_or_client_is_told_of() -> None:
    """They were errors from inside of redis-py."""
    wrong: Any = 5
    with pytest.raises(ConfigError, match="address must be a str, got 5"):
        AgentPerfChatStore(wrong)
    with pytest.raises(ConfigError, match="client must be a client of redis-py, got 5"):
        RedisAsyncChatStore(client=wrong)
    with pytest.raises(ConfigError, match="got an int; use open_conversations"):
        AgentPerfChatStore(conversations=wrong)


async def test_blocks_that_name_files_are_refused(tmp_path: Path) -> None:
    """Written or read: a shared store must not be able to read the files of its readers."""
    picture = tmp_path / "a.png"
    picture.write_bytes(b"secret")
    store = AgentPerfChatStore()
    for block in (ImageBlock(path=picture), ImageBlock(url=f"file://{picture}")):
        with pytest.raises(CodecError, match="read the file into the block"):
            await store.add_message("k", ChatMessage(role="user", blocks=[block]))
    poison = {"block_type": "image", "path": str(picture)}
    cited = {"block_type": "citable", "title": "t", "source": "s", "content": [poison]}
    fine = {"role": "user", "blocks": [{"block_type": "text", "text": "hi"}]}
    records = [{"role": "user", "blocks": [block]} for block in (poison, cited)]
    odd = [{"role": "nobody", "blocks": []}, {"role": "user", "blocks": [{"block_type": "x"}]}]
    await store.conversations.of("k").aappend([*records, *odd, fine])
    before = BUS.faults().get("chat_store.codec", 0)
    assert words(await store.get_messages("k")) == ["hi"]
    assert BUS.faults()["chat_store.codec"] - before == 4


async def test_an_agent_goes_on_while_the_store_is_down(
    own_server: RedisServer, namespace: str
) -> None:
    """The conversation in hand stays whole, and is stored when the server is back."""
    kept = RedisConversations(own_server.url, namespace=namespace, timeout_s=10.0)
    conversations = Conversations(kept, failures=1000)
    store = AgentPerfChatStore(conversations=conversations)
    memory = Memory.from_defaults(session_id="k", token_limit=4000, chat_store=store)
    agent = FunctionAgent(tools=[], llm=scripted(says("one"), says("two")))
    await start(agent, "first", memory=memory)
    await asyncio.to_thread(own_server.stop)
    await start(agent, "second", memory=memory)
    assert words(await memory.aget_all(status=ACTIVE)) == ["first", "one", "second", "two"]
    assert conversations.is_down
    assert conversations.waiting == 2
    other = RedisAsyncChatStore(own_server.url, namespace=namespace)
    with pytest.raises(ConversationUnavailable):
        await other.get_messages("k")
    await conversations.aclose()


def test_bad_addresses() -> None:
    """The mistake is named, without the password."""
    with pytest.raises(ConfigError, match="address of a Redis"):
        RedisAsyncChatStore("memory:")
    with pytest.raises(ConfigError, match="address of a store") as caught:
        AgentPerfChatStore("mongodb://me:secret@db.example")
    assert "secret" not in str(caught.value)
    shown = repr(RedisAsyncChatStore("redis://me:secret@chats.example"))
    assert "secret" not in shown
