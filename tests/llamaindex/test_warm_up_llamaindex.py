"""`warm_up()` of LlamaIndex agents, over real sockets: the first request uses what is warm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from llama_index.core.llms.mock import MockLLM
from llama_index.llms.openai import OpenAI

from agentperf_core.bench.endpoint import Reply, ScriptedEndpoint
from agentperf_core.cache import MemoryStore
from agentperf_core.errors import ConfigError
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import WarmUpReport
from llamaindex_agentperf import CachedLLM, awarm_up, manage_tools, warm_up

both = pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])


async def warmed(sync: bool, **parts: Any) -> WarmUpReport:
    return await (asyncio.to_thread(warm_up, **parts) if sync else awarm_up(**parts))


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(lambda request: Reply("hello"), time_scale=0) as server:
        yield server


@pytest.fixture
async def clients() -> AsyncIterator[tuple[Any, Any]]:
    with openai.DefaultHttpxClient() as client:
        async with openai.DefaultAsyncHttpxClient() as aclient:
            yield client, aclient


@both
@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "wrapped"])
async def test_the_first_request_finds_the_connection_open(
    sync: bool, wrapped: bool, clients: tuple[Any, Any], endpoint: ScriptedEndpoint
):
    model = OpenAI(
        model="gpt-4o-mini",
        api_base=endpoint.base_url,
        api_key="x",
        http_client=clients[0],
        async_http_client=clients[1],
    )
    pool = clients[0 if sync else 1]._transport._pool
    report = await warmed(sync, model=CachedLLM(model) if wrapped else model)
    assert [(one.what, one.ok) for one in report.steps] == [("model OpenAI", True)]
    (warm,) = pool.connections
    assert endpoint.requests == (), "nothing was charged"
    if sync:
        await asyncio.to_thread(model.complete, "hi")
    else:
        await model.acomplete("hi")
    assert pool.connections == [warm]


@both
async def test_another_model_is_called_if_there_is_a_ping(sync: bool):
    report = await warmed(sync, model=MockLLM())
    assert "give ping='hi' for a light one" in report.steps[0].reason
    assert (await warmed(sync, model=MockLLM(), ping="hi")).ok


@both
async def test_declared_results_encoders_and_stores(sync: bool):
    asked: list[str] = []

    def rates(currency: str) -> str:
        """Rates of a currency."""
        asked.append(currency)
        if currency == "XXX":
            raise LookupError("no such currency")
        return f"{currency}: 1.08"

    tools = manage_tools([rates], {"rates": ToolPolicy(read_only=True, ttl_s=60)})
    report = await warmed(
        sync,
        encoders=[lambda texts: [[1.0, 2.0] for _ in texts]],
        cache=[CachedLLM(MockLLM()), MemoryStore()],
        tools=tools,
        calls=[("rates", {"currency": "EUR"}), ("rates", {"currency": "XXX"}), ("gone", {})],
    )
    assert [one.ok for one in report.steps] == [True, True, True, True, False, False]
    assert "no such currency" in report.steps[4].reason
    call: Any = tools[0]
    assert call.call(currency="EUR").content == "EUR: 1.08"
    assert sorted(asked) == ["EUR", "XXX"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"model": "gpt-4o"}, "model must be a LLM, got 'gpt-4o'"),
        ({"cache": 7}, "a cache to be warmed has a store, got 7"),
        ({"timeout_s": 0}, "timeout_s must be > 0"),
    ],
)
def test_what_cannot_mean_anything_is_refused(parts: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        warm_up(**parts)
