"""The SQLite store beyond the suites: other processes, killed ones, its bound, its file."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentperf_core.cache.stores.guarded import GuardedStore
from agentperf_core.cache.stores.sqlite import SQLiteStore
from agentperf_core.cache.stores.sqlite_file import default_path
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.events import EventBus

BUSY_S = 10.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(path: Path, clock: FakeClock) -> Iterator[SQLiteStore]:
    with SQLiteStore(path, clock=clock, timeout_s=BUSY_S) as store:
        yield store


def child(path: Path, code: str) -> subprocess.Popen[str]:
    """Another process with a store on the same file."""
    head = """
        import os, sys
        from agentperf_core.cache.stores.sqlite import SQLiteStore
        store = SQLiteStore(sys.argv[1], timeout_s=10.0)
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


class TestProcesses:
    def test_two_that_write_at_once_lose_nothing(self, path: Path):
        """From the first moment on: both make the file."""
        code = """
            name = sys.stdin.readline().strip()
            for number in range(200):
                store.set(f"{name}-{number}", name.encode() * 500, None, [name, "both"])
                store.set("shared", name.encode(), None)
            print("done")
        """
        names = ("one", "two", "three")
        writers = [child(path, code) for _ in names]
        for name, writer in zip(names, writers, strict=True):
            assert writer.communicate(name + "\n", timeout=50)[0] == "done\n"
        with SQLiteStore(path, timeout_s=BUSY_S) as store:
            for name in names:
                for number in range(200):
                    assert store.get(f"{name}-{number}") == name.encode() * 500
            assert len(list(store.scan())) == 601
            assert store.invalidate("two") == 200
            assert store.clear() == 401
            assert store.size_bytes == 0

    def test_one_that_is_killed_while_it_writes_leaves_all_it_had_set(self, path: Path):
        """Every entry that `set` returned for is there, each of them whole."""
        code = """
            for number in range(1_000_000):
                store.set(str(number), str(number).encode() * 2_000, None, ["tag"])
                print(number, flush=True)
        """
        with child(path, code) as writer:
            assert writer.stdout is not None
            while int(writer.stdout.readline()) < 100:
                pass
            writer.send_signal(signal.SIGKILL)
            printed = writer.stdout.read().split("\n")
            last = max([100, *(int(line) for line in printed[:-1])])
        with SQLiteStore(path, timeout_s=BUSY_S) as store:
            for number in range(last + 1):
                assert store.get(str(number)) == str(number).encode() * 2_000
            kept = len(list(store.scan()))
            assert kept in {last + 1, last + 2}, "at most the one that was on its way"
            assert store.invalidate("tag") == kept
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    def test_a_forked_child_has_connections_of_its_own(self, path: Path):
        code = """
            import asyncio
            async def both(value):
                await store.aset("async", value, None)
                return await store.aget("async")
            asyncio.run(both(b"parent"))
            store.set("parent", b"1", None)
            pid = os.fork()
            if pid == 0:
                store.set("child", store.get("parent") + b"2", None)
                assert asyncio.run(both(b"child")) == b"child"
                os._exit(0)
            for number in range(100):
                store.set(str(number), b"3", None)
            assert os.waitpid(pid, 0)[1] == 0
            print(store.get("child"), store.get("async"))
        """
        output, _ = child(path, code).communicate(timeout=50)
        assert output == "b'12' b'child'\n"

    def test_a_writer_that_holds_the_file_is_a_miss_not_a_wait(self, path: Path):
        """Reading goes on meanwhile; who forgets entries waits for longer."""
        bus, faults = EventBus(), list[Any]()
        bus.subscribe(faults.append)
        with SQLiteStore(path, timeout_s=0.01) as store:
            store.set("a", b"1", None)
            guard = GuardedStore(store, budget_s=BUSY_S, bus=bus)
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                guard.set("a", b"2", None)
                assert guard.get("a") == b"1"
            guard.set("a", b"3", None)
            assert guard.get("a") == b"3"
        assert [type(fault.error) for fault in faults] == [sqlite3.OperationalError]


class TestBound:
    def test_it_is_never_exceeded(self, path: Path):
        with SQLiteStore(path, max_bytes=100_000, timeout_s=BUSY_S) as store:
            for number in range(300):
                store.set(str(number), b"x" * 1_000, None)
                assert store.size_bytes <= 100_000
            assert store.size_bytes > 50_000
            assert store.get("299") is not None

    def test_what_has_expired_goes_first(self, path: Path, clock: FakeClock):
        with SQLiteStore(path, max_bytes=5_000, clock=clock, timeout_s=BUSY_S) as store:
            store.set("oldest", b"x" * 1_000, None)
            for number in range(3):
                store.set(f"short-{number}", b"x" * 1_000, 10.0)
            clock.advance(10.0)
            store.set("new", b"x" * 1_000, None)
            assert set(store.scan()) == {"oldest", "new"}

    def test_then_what_was_not_used_for_longest(self, path: Path, clock: FakeClock):
        """Reading counts as use, though it writes nothing."""
        with SQLiteStore(path, max_bytes=5_000, clock=clock, timeout_s=BUSY_S) as store:
            for key in "abcd":
                store.set(key, b"x" * 1_000, None)
                clock.advance(1.0)
            store.get("a")
            clock.advance(1.0)
            store.set("e", b"x" * 1_000, None)
            # Room is made for some more, so that not every write has to.
            assert set(store.scan()) == {"a", "d", "e"}

    def test_reads_of_an_earlier_run_count(self, path: Path, clock: FakeClock):
        with SQLiteStore(path, clock=clock, timeout_s=BUSY_S) as store:
            for key in "abc":
                store.set(key, b"x" * 1_000, None)
                clock.advance(1.0)
            store.get("a")
        with SQLiteStore(path, max_bytes=4_000, clock=clock, timeout_s=BUSY_S) as store:
            store.set("d", b"x" * 1_000, None)
            assert store.get("a") is not None
            assert store.get("b") is None

    def test_reading_writes_nothing(self, store: SQLiteStore, path: Path):
        """Not even when it was: the file's own counter of changes stands still."""
        store.set("a", b"1", None)
        with closing(sqlite3.connect(path)) as other:
            before = other.execute("PRAGMA data_version").fetchone()
            for _ in range(100):
                assert store.get("a") == b"1"
                assert store.get("absent") is None
            assert other.execute("PRAGMA data_version").fetchone() == before

    def test_a_value_that_alone_exceeds_it_is_not_kept_and_the_old_one_is_gone(self, path: Path):
        with SQLiteStore(path, max_bytes=1_000, timeout_s=BUSY_S) as store:
            store.set("a", b"1", None)
            store.set("a", b"x" * 1_000, None)
            assert store.get("a") is None
            assert store.size_bytes == 0

    def test_each_namespace_has_its_own(self, path: Path):
        with (
            SQLiteStore(path, namespace="one", max_bytes=3_000, timeout_s=BUSY_S) as one,
            SQLiteStore(path, namespace="two", timeout_s=BUSY_S) as two,
        ):
            two.set("a", b"x" * 5_000, None, ["tag"])
            two.try_lead("a", "me", 60.0)
            for number in range(10):
                one.set(str(number), b"x" * 1_000, None, ["tag"])
            assert one.try_lead("a", "you", 60.0)
            assert two.get("a") is not None
            assert one.get("a") is None
            assert one.invalidate("tag") > 0
            assert one.clear() == 0
            assert list(two.scan()) == ["a"]

    def test_clear_gives_the_space_back(self, store: SQLiteStore, path: Path):
        for number in range(50):
            store.set(str(number), b"x" * 100_000, None)
        store.close()
        assert path.stat().st_size > 5_000_000
        assert store.clear() == 50
        store.close()
        assert path.stat().st_size < 200_000

    def test_leases_that_ended_are_tidied_away(
        self, store: SQLiteStore, clock: FakeClock, path: Path
    ):
        for number in range(10):
            store.try_lead(str(number), "me", 5.0)
        clock.advance(61.0)
        store.set("a", b"1", None)
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM leases").fetchone() == (0,)


class TestFile:
    def test_only_its_owner_may_read_it(self, tmp_path: Path):
        path = tmp_path / "new" / "cache.db"
        before = os.umask(0)
        try:
            with SQLiteStore(path) as store:
                store.set("a", b"1", None)
                modes = {
                    file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()
                }
        finally:
            os.umask(before)
        assert modes == {"cache.db": 0o600, "cache.db-wal": 0o600, "cache.db-shm": 0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_it_lies_in_the_cache_folder_of_the_user(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
        assert default_path() == Path("/somewhere/agentperf/cache.sqlite3")
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert default_path() == Path.home() / ".cache/agentperf/cache.sqlite3"

    def test_values_outlive_the_store(self, path: Path):
        with SQLiteStore(path) as store:
            store.set("a", b"1", 60.0, ["tag"])
        with SQLiteStore(path) as store:
            assert store.get("a") == b"1"
            assert store.invalidate("tag") == 1

    def test_a_closed_store_opens_again(self, store: SQLiteStore):
        store.set("a", b"1", None)
        store.close()
        assert store.get("a") == b"1"

    def test_a_store_that_nobody_closes_leaves_no_noise(self, path: Path):
        """An open connection that ends with the garbage is a warning from Python 3.13 on."""
        code = "store.set('a', b'1', None)\nimport warnings; warnings.simplefilter('error')"
        output, _ = child(path, code).communicate(timeout=50)
        assert output == ""

    def test_a_file_of_an_earlier_version_is_emptied(self, path: Path):
        with SQLiteStore(path) as store:
            store.set("a", b"1", None)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 0")
        with SQLiteStore(path) as store:
            assert store.get("a") is None
            store.set("a", b"2", None)
            assert store.get("a") == b"2"


def no_database(path: Path) -> None:
    path.write_bytes(b"This is a text file, and somebody may need it." * 100)


def half_a_page(path: Path) -> None:
    with SQLiteStore(path) as store:
        store.set("a", b"1", None)
    path.write_bytes(path.read_bytes()[:2_000])


def only_the_head(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


def of_a_later_version(path: Path) -> None:
    with SQLiteStore(path), closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE entries (precious TEXT)")


def a_folder(path: Path) -> None:
    path.mkdir()


DAMAGES = [
    no_database,
    half_a_page,
    only_the_head,
    of_a_later_version,
    of_another_program,
    a_folder,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_cannot_be_ours_is_refused_and_left_as_it_is(
    damage: Callable[[Path], None], path: Path
):
    damage(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ConfigError, match="path must be") as caught:
        SQLiteStore(path)
    assert repr(str(path)) in str(caught.value)
    assert "another" in str(caught.value)
    if before is not None:
        assert path.read_bytes() == before


def test_a_path_under_a_file_is_refused(path: Path):
    path.touch()
    with pytest.raises(ConfigError, match="path must be"):
        SQLiteStore(path / "cache.db")


def test_what_is_no_path_is_refused():
    with pytest.raises(ConfigError, match="path must be the path of a file, got 3"):
        SQLiteStore(3)  # pyright: ignore[reportArgumentType] - wrong on purpose


@pytest.mark.parametrize("bound", [{"max_bytes": 0}, {"timeout_s": -1.0}], ids=str)
def test_bounds_are_positive(bound: Any, path: Path):
    with pytest.raises(ConfigError, match=next(iter(bound))):
        SQLiteStore(path, **bound)
    assert not path.exists()


def damaged(path: Path) -> SQLiteStore:
    """A store whose file was overwritten behind its back, past its first pages."""
    store = SQLiteStore(path, timeout_s=BUSY_S)
    for number in range(100):
        store.set(str(number), b"x" * 10_000, None, ["tag"])
    store.close()
    with path.open("r+b") as file:
        file.seek(20 * 4_096)
        file.write(bytes(range(256)) * 4_000)
    return store


def test_damage_under_an_open_store_is_a_miss_with_a_reason(path: Path):
    bus, faults = EventBus(), list[Any]()
    bus.subscribe(faults.append)
    with damaged(path) as store:
        guard = GuardedStore(store, budget_s=BUSY_S, failures=1_000, bus=bus)
        answers = [guard.get(str(number)) for number in range(100)]
        assert None in answers
        assert {fault.where for fault in faults} == {"cache.store"}
        assert {type(fault.error) for fault in faults} == {sqlite3.DatabaseError}
        with pytest.raises(sqlite3.DatabaseError, match="malformed"):
            store.clear()


async def test_damage_is_a_miss_from_an_event_loop_too(path: Path):
    bus, faults = EventBus(), list[Any]()
    bus.subscribe(faults.append)
    store = await asyncio.to_thread(damaged, path)
    guard = GuardedStore(store, budget_s=BUSY_S, failures=3, bus=bus)
    assert None in [await guard.aget(str(number)) for number in range(100)]
    await guard.aset("a", b"1", None)
    assert guard.breaker.is_open
    await store.aclose()
