"""Every line of "Coming from another cache" runs, and a cache set by it answers the second call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.globals import get_llm_cache, set_llm_cache
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import CachePolicy
from llama_index.core import MockEmbedding
from llama_index.core.llms.mock import MockLLM

import agentperf_core.cache
import langchain_agentperf
import llamaindex_agentperf
from agentperf_core.bench.servers import RedisServer
from agentperf_core.toolpolicy import ToolPolicy
from tests.langchain.scripted_models import ScriptedChat

PAGE = Path(__file__).parents[2] / "docs" / "caching.md"
ROW = re.compile(r"^\| (?P<theirs>.+?) \| (?P<ours>.+?) \| .*\|$", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")


def lines() -> Iterator[object]:
    """The pieces of code in the column of ours."""
    table = PAGE.read_text(encoding="utf-8").partition("## Coming from another cache")[2]
    for row in ROW.finditer(table.partition("\n## ")[0]):
        for code in CODE.findall(row["ours"]):
            yield pytest.param(code, id=f"{row['theirs']}: {code}".replace("`", ""))


def price(item: str) -> str:
    """Price of an item."""
    return f"{item}: 1"


def names(url: str) -> dict[str, Any]:
    """What the lines take for granted; the classes of each framework are those of its package."""
    graph: Any = StateGraph(MessagesState)
    graph.add_node("node", lambda state: {}).add_edge(START, "node")
    packages = (agentperf_core.cache, llamaindex_agentperf, langchain_agentperf)
    public = {name: getattr(package, name) for package in packages for name in package.__all__}
    return {
        **public,
        # With patience: a busy machine is no reason for a test to fail.
        "RedisStore": partial(agentperf_core.cache.RedisStore, timeout_s=10.0),
        "SQLiteStore": partial(agentperf_core.cache.SQLiteStore, timeout_s=10.0),
        "CachePolicy": CachePolicy,
        "compile": graph.compile,
        "embed_model": MockEmbedding(embed_dim=4),
        "embeddings": DeterministicFakeEmbedding(size=8),
        "llm": MockLLM(),
        "model": ScriptedChat(),
        "policies": {"price": ToolPolicy(read_only=True, ttl_s=60)},
        "set_llm_cache": set_llm_cache,
        "tools": [price],
        "url": url,
    }


@pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
)
@pytest.mark.parametrize("code", list(lines()))
def test_a_line_does_what_the_table_promises(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain_server: RedisServer
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    try:
        exec(code, names(plain_server.url))
        if get_llm_cache() is not None:
            model = ScriptedChat()
            for _ in range(2):
                model.invoke(f"A question of this test alone: {tmp_path}")
            assert model.calls == 1
    finally:
        set_llm_cache(None)
