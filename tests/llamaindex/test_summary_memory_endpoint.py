"""Summaries by a real `OpenAI` model over sockets: what it used, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.llms.openai import OpenAI

from agentperf_core.bench.endpoint import ChatRequest, Reply, ScriptedEndpoint
from llamaindex_agentperf import SummaryMemoryBlock, SummaryTrimMemory

FILL = " ".join(f"word{n}" for n in range(60))


def write(request: ChatRequest) -> Reply:
    return Reply("a summary of it all")


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(write, time_scale=0) as server:
        yield server


@pytest.mark.parametrize("background", [True, False])
async def test_a_summary_over_sockets_has_its_usage_and_its_price(
    endpoint: ScriptedEndpoint, background: bool
):
    pytest.importorskip("genai_prices")
    async with openai.DefaultAsyncHttpxClient() as client:
        with openai.DefaultHttpxClient() as sync_client:
            llm = OpenAI(
                model="gpt-4o-mini",
                api_base=endpoint.base_url,
                api_key="x",
                http_client=sync_client,
                async_http_client=client,
            )
            memory = SummaryTrimMemory.from_defaults(
                llm=llm, token_limit=1200, background=background
            )
            for number in range(15):
                await memory.aput(ChatMessage(f"turn {number} {FILL}"))
                await memory.aget()
                await memory._trimmer().asettle(20)
            block = SummaryMemoryBlock(llm=llm, background=False)
            await block.aput([ChatMessage(f"My cat is called Miso. {FILL}")])
            assert await block.aget() == "a summary of it all"
    view = memory.shown()
    assert view.failed is None
    assert view.coverage.share == 1.0
    assert view.summary is not None
    assert view.summary.usage is not None
    assert not view.summary.usage.estimated
    assert view.summary.cost_usd is not None
    assert view.summary.cost_usd > 0
