"""Whatever is done to a conversation, every store says the same of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from agentperf_core.bench.servers import RedisServer
from agentperf_core.cache.conversations import (
    Batch,
    ConversationStore,
    Kept,
    MemoryConversations,
    RedisConversations,
    SQLiteConversations,
)
from agentperf_core.flow import Flow, run

Deed: TypeAlias = Callable[[ConversationStore, str], Flow[Any]]

states = st.sampled_from(["active", "archived"])
either = st.one_of(st.none(), states)
counts = st.integers(-1, 4)


def adding(how: str, number: int, state: Any, size: int) -> Deed:
    batch = Batch(f"{number:016d}", tuple(b"%d-%d" % (number, at) for at in range(size)), state)

    def deed(store: ConversationStore, name: str) -> Flow[None]:
        if how == "replace":
            yield from store.replace(name, batch)
        else:
            yield from store.append(name, batch, again=how == "again")

    return deed


def removing(at: int) -> Deed:
    def deed(store: ConversationStore, name: str) -> Flow[Any]:
        kept = yield from store.read(name)
        return (yield from store.remove(name, kept[at].id if at < len(kept) else 1))

    return deed


def reading(state: Any, limit: int | None, offset: int) -> Deed:
    return lambda store, name: store.read(name, state=state, limit=limit, offset=offset)


deeds = st.one_of(
    # "append" alone makes no promise for a batch that is there.
    st.builds(adding, st.just("again"), st.integers(0, 5), states, st.integers(1, 3)),
    st.builds(adding, st.just("replace"), st.integers(6, 9), states, st.integers(0, 3)),
    st.builds(lambda count: lambda store, name: store.archive(name, count), counts),
    st.builds(lambda count: lambda store, name: store.take(name, count), counts),
    st.builds(removing, st.integers(0, 6)),
    st.builds(lambda state: lambda store, name: store.forget(name, state=state), either),
    st.builds(lambda state: lambda store, name: store.count(name, state=state), either),
    st.builds(reading, either, st.one_of(st.none(), counts), counts),
)


def plain(found: Any) -> Any:
    """An answer without ids, which are times."""
    if isinstance(found, list):
        return [plain(one) for one in found]
    return found[1:] if isinstance(found, Kept) else found


def story(store: ConversationStore, name: str, done: list[Any]) -> list[Any]:
    """What was answered, and what there is after each step, in order of the ids."""
    told: list[Any] = []
    for deed in done:
        told.append(plain(run(deed(store, name))))
        kept = run(store.read(name))
        assert [one.id for one in kept] == sorted({one.id for one in kept})
        told.append(plain(kept))
    return told


@settings(max_examples=60)
@given(st.lists(deeds, max_size=12))
def test_sqlite_says_what_memory_says(done: list[Any]) -> None:
    """Answers and order are equal after any steps."""
    with TemporaryDirectory() as folder:
        store = SQLiteConversations(Path(folder, "talks.db"), timeout_s=10.0)
        found = story(store, "talk", done)
        store.close()
    assert found == story(MemoryConversations(), "talk", done)


def test_redis_says_what_memory_says(plain_server: RedisServer, namespace: str) -> None:
    """The same, on a real server."""
    store = RedisConversations(plain_server.url, namespace=namespace, timeout_s=10.0)
    number = iter(range(10**9))

    @settings(max_examples=60)
    @given(st.lists(deeds, max_size=12))
    def alike(done: list[Any]) -> None:
        found = story(store, f"talk {next(number)}", done)
        assert found == story(MemoryConversations(), "talk", done)

    alike()
    store.close()
