"""Stores by address: what opens, what is refused, and that no password is ever shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.bench.servers import RedisNodes, RedisServer
from agentperf_core.cache.stores import MemoryStore, Store
from agentperf_core.cache.stores.opening import close_store, open_store, without_secrets
from agentperf_core.cache.stores.redis import RedisStore
from agentperf_core.cache.stores.sqlite import SQLiteStore
from agentperf_core.errors import ConfigError


def keeps(store: Store) -> bool:
    store.set("question", b"answer", 60.0)
    kept = store.get("question") == b"answer"
    store.clear()
    close_store(store)
    return kept


def test_memory_opens_a_store_of_this_process():
    store = open_store("memory:")
    assert isinstance(store, MemoryStore)
    assert keeps(store)


def test_a_path_opens_the_file(tmp_path: Path):
    store = open_store(f"sqlite:{tmp_path}/cache.db", namespace="support")
    assert isinstance(store, SQLiteStore)
    assert repr(store) == f"SQLiteStore('{tmp_path}/cache.db', namespace='support')"
    assert keeps(store)


def test_without_a_path_it_is_the_file_in_the_users_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert keeps(open_store("sqlite:"))
    assert (tmp_path / "agentperf" / "cache.sqlite3").exists()


def test_a_tilde_is_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    close_store(open_store("sqlite:~/cache.db"))
    assert (tmp_path / "cache.db").exists()


def test_a_file_that_must_exist_is_not_made(tmp_path: Path):
    with pytest.raises(ConfigError, match="no file"):
        open_store(f"sqlite:{tmp_path}/cache.db", must_exist=True)
    assert not list(tmp_path.iterdir())


def test_a_redis_url_opens_the_server(plain_server: RedisServer, namespace: str):
    store = open_store(plain_server.url, namespace=namespace)
    assert isinstance(store, RedisStore)
    assert keeps(store)


def test_a_cluster_url_opens_the_cluster(cluster_servers: RedisNodes, namespace: str):
    url = cluster_servers.url.replace("redis://", "redis+cluster://")
    assert keeps(open_store(url, namespace=namespace, timeout_s=2.0))


def test_a_password_is_used_and_not_shown(locked_server: RedisServer, namespace: str):
    store = open_store(locked_server.url, namespace=namespace)
    assert str(locked_server.password) not in repr(store)
    assert keeps(store)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://me:secret@db/x",
        "mongodb+srv://me:se@cret@db.example/cache?password=secret",
        "redis+sentinel://:secret@host/0",
        "rediss+cluster+x://:secret@host",
        "unix+cluster://:secret@host",
        "redis://me:sec/ret@host:port/0",
        "sqlite:///relative.db",
        "memory:else",
        "cache.db",
        "",
        ":",
    ],
)
def test_no_address_is_refused_in_one_line_without_the_password(url: str):
    with pytest.raises(ConfigError) as refused:
        open_store(url)
    message = str(refused.value)
    assert "\n" not in message
    assert "secret" not in message
    assert "cret@" not in message


@pytest.mark.parametrize("url", [7, None])
def test_what_is_no_text_is_refused(url: Any):
    """`None` is what the environment has for a variable that nobody set."""
    with pytest.raises(ConfigError, match=f"url must be the address of a store, got {url}"):
        open_store(url)


@given(
    st.text(st.characters(categories=("L", "N")), min_size=1),
    st.sampled_from(["postgres://", "redis://", "x:", ""]),
    st.sampled_from(["me:", ":", ""]),
)
def test_what_stands_before_an_at_is_never_shown(secret: str, scheme: str, user: str):
    marked = f"pw{secret}pw"
    assert marked not in without_secrets(f"{scheme}{user}{marked}@host/0?token={marked}")
