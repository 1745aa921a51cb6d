"""Summaries by a real `ChatOpenAI` over sockets: what is asked, what it used, what it cost."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr
from scripted_models import ScriptedChat

from agentperf_core.bench.endpoint import ChatRequest, Reply, ScriptedEndpoint
from langchain_agentperf import SummaryTrimMiddleware

FILL = " ".join(f"word{n}" for n in range(60))
TURNS = 12


class Writer:
    """The stand-in's part: it keeps the first words of what it is shown."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, request: ChatRequest) -> Reply:
        self.asked.append(request.last_user_text)
        return Reply(f"summary number {len(self.asked)}")


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def endpoint(writer: Writer) -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(writer, time_scale=0) as server:
        yield server


@pytest.mark.parametrize("background", [True, False])
async def test_a_summary_over_sockets_has_its_usage_and_its_price(
    endpoint: ScriptedEndpoint, writer: Writer, background: bool
):
    pytest.importorskip("genai_prices")
    async with openai.DefaultAsyncHttpxClient() as client:
        with openai.DefaultHttpxClient() as sync_client:
            model = ChatOpenAI(
                model="gpt-4o-mini",
                base_url=endpoint.base_url,
                api_key=SecretStr("x"),
                http_client=sync_client,
                http_async_client=client,
            )
            trim = SummaryTrimMiddleware(model, max_tokens=1200, background=background)
            agent: Any = create_agent(
                ScriptedChat(), middleware=[trim], checkpointer=InMemorySaver()
            )
            told = await talk(agent, trim)
    assert told["coverage"]["share"] == 1.0
    summary = told["summary"]
    assert summary["calls"] >= 1
    assert summary["model"].startswith("gpt-4o-mini")
    assert not summary["usage"]["estimated"]
    assert summary["usage"]["uncached_input_tokens"] + summary["usage"]["cached_input_tokens"] > 100
    assert Decimal(summary["cost_usd"]) > 0
    assert "turn 0" in writer.asked[0]
    assert "<summary_so_far>\nsummary number 1\n</summary_so_far>" in writer.asked[1]


async def talk(agent: Any, trim: SummaryTrimMiddleware) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for number in range(TURNS):
        said = {"messages": [HumanMessage(f"turn {number} {FILL}")]}
        state = await agent.ainvoke(said, {"configurable": {"thread_id": "t"}})
        for followed in trim._pool._followed.values():
            await followed.trimmer.asettle(20)
    return state["messages"][-1].response_metadata["agentperf"]["trimmed"]
