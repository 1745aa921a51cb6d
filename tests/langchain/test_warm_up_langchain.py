"""`warm_up()` of LangChain agents, over real sockets: what is warm is used by the first request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from scripted_models import ScriptedChat, call, say

from agentperf_core.bench.endpoint import Reply, ScriptedEndpoint
from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.errors import ConfigError
from agentperf_core.toolpolicy import ToolPolicy, tool_policy
from agentperf_core.tools import WarmUpReport
from langchain_agentperf import (
    CachedChatModel,
    ToolCacheMiddleware,
    awarm_up,
    warm_up,
)

both = pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
KEEPS = ToolPolicy(read_only=True, ttl_s=60)


async def warmed(sync: bool, **parts: Any) -> WarmUpReport:
    return await (asyncio.to_thread(warm_up, **parts) if sync else awarm_up(**parts))


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(lambda request: Reply("hello"), time_scale=0) as server:
        yield server


@pytest.fixture
async def model(endpoint: ScriptedEndpoint) -> AsyncIterator[ChatOpenAI]:
    with openai.DefaultHttpxClient() as client:
        async with openai.DefaultAsyncHttpxClient() as aclient:
            yield ChatOpenAI(
                model="gpt-4o-mini",
                base_url=endpoint.base_url,
                api_key=SecretStr("x"),
                http_client=client,
                http_async_client=aclient,
            )


def connections(model: ChatOpenAI, *, sync: bool) -> list[Any]:
    """The open connections of the model's HTTP client."""
    client: Any = model.http_client if sync else model.http_async_client
    return list(client._transport._pool.connections)


@both
@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "wrapped"])
async def test_the_first_request_finds_the_connection_open(
    sync: bool, wrapped: bool, model: ChatOpenAI, endpoint: ScriptedEndpoint
):
    assert connections(model, sync=sync) == []
    given = CachedChatModel(inner=model) if wrapped else model
    report = await warmed(sync, model=given)
    assert [(one.what, one.ok) for one in report.steps] == [("model ChatOpenAI", True)]
    (warm,) = connections(model, sync=sync)
    assert endpoint.requests == (), "nothing was charged"
    if sync:
        await asyncio.to_thread(model.invoke, "hi")
    else:
        await model.ainvoke("hi")
    assert connections(model, sync=sync) == [warm]


@both
async def test_a_server_that_is_not_there_is_in_the_report(sync: bool):
    gone = ChatOpenAI(
        model="gpt-4o-mini", base_url="http://127.0.0.1:1/v1", api_key=SecretStr("x"), max_retries=0
    )
    report = await warmed(sync, model=gone, encoders=[lambda texts: [[1.0] for _ in texts]])
    assert [one.ok for one in report.steps] == [False, True]
    assert report.steps[0].reason.startswith("APIConnectionError")


@both
async def test_another_model_is_called_if_there_is_a_ping(sync: bool):
    model = ScriptedChat()
    report = await warmed(sync, model=model)
    assert "give ping='hi' for a light one" in report.steps[0].reason
    assert model.calls == 0
    assert (await warmed(sync, model=CachedChatModel(inner=model), ping="hi")).ok
    assert model.calls == 1


@both
async def test_declared_results_are_there_before_the_first_request(sync: bool):
    asked: list[str] = []

    @tool
    @tool_policy(read_only=True)
    def rates(currency: str, day: str = "today") -> str:
        """Rates of a currency."""
        asked.append(currency)
        return f"{currency}: 1.08"

    def answer(number: int, messages: list[Any]) -> AIMessage:
        return say("", call("rates", currency="EUR")) if number == 1 else say("done")

    cached = ToolCacheMiddleware(tenant="shop", version="2")
    report = await warmed(
        sync,
        cache=cached,
        tools=[rates],
        calls=[("rates", {"currency": "EUR"}), ("rates", {}), ("gone", {"a": 1})],
        tenant="shop",
        version="2",
    )
    assert [(one.what, one.ok) for one in report.steps] == [
        ("store MemoryStore", True),
        ('call rates({"currency":"EUR"})', True),
        ("call rates({})", False),
        ('call gone({"a":1})', False),
    ]
    assert "refuses" in report.steps[2].reason
    assert "there is no tool 'gone'" in report.steps[3].reason
    agent: Any = create_agent(ScriptedChat(answer=answer), [rates], middleware=[cached])
    found = agent.invoke({"messages": [("user", "euro?")]})["messages"]
    assert found[-2].content == "EUR: 1.08"
    assert asked == ["EUR"], "the agent's own call was served"


@both
async def test_a_result_of_one_run_cannot_be_made_before_it(sync: bool):
    def rates(currency: str) -> str:
        """Rates of a currency."""
        return "1.08"

    policies = {"rates": ToolPolicy(read_only=True, ttl_s=60, cache_scope="run")}
    report = await warmed(
        sync,
        cache=ToolResultCache(),
        tools=[rates],
        calls=[("rates", {"currency": "EUR"})],
        policies=policies,
    )
    assert "needs ttl_s and cache_scope='global'" in report.steps[1].reason


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"model": "gpt-4o"}, "model must be a Runnable, got 'gpt-4o'"),
        ({"cache": 7}, "a cache to be warmed has a store, got 7"),
        ({"calls": [("rates", {})]}, "calls need a cache of tool results"),
    ],
)
def test_what_cannot_mean_anything_is_refused(parts: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        warm_up(**parts)
