"""The public API of prefetch and warm-up as users type it; only type-checked, never run."""

from __future__ import annotations

from typing import Any, assert_type

from langchain_core.language_models import BaseChatModel
from llama_index.core.llms import LLM
from llama_index.core.tools import BaseTool

from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.flow import Step, arun, run
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import (
    Predictor,
    PrefetchBudget,
    Prefetcher,
    PrefetchRule,
    PrefetchStats,
    ToolExecutor,
    WarmUpReport,
    learn_rules,
    model_predictor,
    rules_from_json,
    rules_to_json,
    run_of_messages,
)
from agentperf_core.tools.prefetch.fetching import PrefetchTools
from agentperf_core.types import ToolCall
from langchain_agentperf import ToolPrefetchMiddleware
from langchain_agentperf import awarm_up as awarm_langchain
from langchain_agentperf import warm_up as warm_langchain
from llamaindex_agentperf import prefetch_tools
from llamaindex_agentperf import warm_up as warm_llamaindex

LOOKS = ToolPolicy(read_only=True, ttl_s=60, prefetch=True)


def look(order_id: int) -> str:
    return str(order_id)


async def rules_and_sessions(tools: PrefetchTools[str], messages: list[dict[str, Any]]) -> None:
    runs = [run_of_messages(messages), [("get_user", {"id": 1}, {"orders": [7]}), "where is it?"]]
    rules = learn_rules(runs, tools=["look"], min_confidence=0.3, min_runs=3)
    assert_type(rules, tuple[PrefetchRule, ...])
    assert_type(rules_from_json(rules_to_json(rules)), tuple[PrefetchRule, ...])
    rule = PrefetchRule(after="get_user", call="look", arguments={"order_id": "result.orders[]"})
    ask = model_predictor(lambda prompt: "[]", {"look": {"order_id": "int"}})
    prefetcher = Prefetcher(
        [rule, "after a: look(order_id=arguments.id)"],
        executor=ToolExecutor(),
        budget=PrefetchBudget(max_concurrency=2, max_wasted=0.4),
        predictor=Predictor(function=ask, timeout_s=1.0),
    )
    session = prefetcher.session(tools, "thread")

    async def later() -> str:
        return "{}"

    call = session.around(ToolCall("1", "get_user", {}), Step(lambda: "{}", later), read=str)
    assert_type(await arun(call), str)
    await arun(session.heard("hello"))
    run(session.end())
    assert_type(prefetcher.stats(), PrefetchStats)
    assert_type(prefetcher.stats().used_share, float | None)


async def adapters(model: BaseChatModel, llm: LLM, cache: ToolResultCache) -> None:
    middleware = ToolPrefetchMiddleware(Prefetcher([]), cache=cache, policies={"look": LOOKS})
    assert_type(middleware.prefetcher.stats().saved_s, float)
    tools = prefetch_tools([look], ["after a: look(order_id=result)"], {"look": LOOKS})
    assert_type(tools, list[BaseTool])
    assert_type(warm_langchain(model=model, cache=[cache], ping="hi"), WarmUpReport)
    assert_type(await awarm_langchain(tools=[look], calls=[("look", {})]), WarmUpReport)
    assert_type(warm_llamaindex(model=llm, tools=tools).steps[0].reason, str)
