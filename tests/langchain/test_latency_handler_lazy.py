"""A run is worked out when it is read: what happens to its objects before then changes nothing."""

from __future__ import annotations

import gc
import weakref
from typing import Any
from uuid import uuid4

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tools import tool

from agentperf_core.events import BUS
from agentperf_core.types import Usage
from langchain_agentperf import LatencyCallbackHandler, latency_callback
from tests.langchain.scripted_models import ScriptedChat, call, say


def test_figures_that_are_changed_after_the_answer_are_those_of_the_answer() -> None:
    usage = UsageMetadata(
        input_tokens=10, output_tokens=5, total_tokens=15, input_token_details={"cache_read": 4}
    )
    answer = say("x")
    answer.usage_metadata = usage
    with latency_callback() as handler:
        ScriptedChat(answer=lambda number, messages: answer).invoke("hi")
    usage["output_tokens"] = 99
    usage.get("input_token_details", {})["cache_read"] = 0
    (span,) = handler.report().llm_calls
    assert span.usage == Usage(
        uncached_input_tokens=6, cached_input_tokens=4, output_tokens=5, reasoning_tokens=0
    )


def test_arguments_that_a_tool_changes_are_marked_as_they_came() -> None:
    @tool
    def drain(items: list[int]) -> str:
        """Take all items."""
        items.clear()
        return "done"

    given: list[dict[str, Any]] = [{"items": [1, 2]}, {"items": [3]}, {"items": [1, 2]}]
    with latency_callback() as handler:
        for arguments in given:
            drain.invoke(arguments)
    first, second, third = (
        trace.root.attributes["input_hash"] for trace in handler.report().traces
    )
    assert first == third != second


def test_a_handler_that_nobody_reads_holds_no_message() -> None:
    """What is worked out later must not be kept until then."""

    @tool
    def lookup(order: int) -> str:
        """State of an order."""
        return f"order {order}: shipped"

    seen: list[weakref.ref[BaseMessage]] = []

    def answer(number: int, messages: list[BaseMessage]) -> AIMessage:
        asked = isinstance(messages[-1], HumanMessage)
        said = say("", call("lookup", "c1", order=1)) if asked else say("done")
        seen.extend(weakref.ref(message) for message in (*messages, said))
        return said

    handler = LatencyCallbackHandler()
    create_agent(ScriptedChat(answer=answer), [lookup]).invoke(
        {"messages": [HumanMessage("my secret")]}, {"callbacks": [handler]}
    )
    gc.collect()
    assert len(seen) >= 5
    assert [ref() for ref in seen if ref() is not None] == []
    assert handler.report().runs == 1


def test_a_result_that_cannot_be_read_closes_the_span_and_is_a_fault() -> None:
    handler = LatencyCallbackHandler()
    run_id = uuid4()
    handler.on_chat_model_start({}, [[HumanMessage("hi")]], run_id=run_id)
    message = AIMessage.model_construct(content="x", response_metadata="not a mapping")
    before = BUS.faults().get("langchain.callback", 0)
    careless = ChatGeneration.model_construct(message=message, generation_info=None)
    handler.on_llm_end(LLMResult.model_construct(generations=[[careless]]), run_id=run_id)
    assert BUS.faults()["langchain.callback"] == before + 1
    assert [span.status for span in handler.report().llm_calls] == ["ok"]
