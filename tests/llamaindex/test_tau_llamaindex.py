"""Recorded tool conversations through a real agent: every prompt valid, none over its bound."""

from __future__ import annotations

import json
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock, ToolCallBlock
from llama_index.core.tools import FunctionTool
from llamaindex_tools import ScriptedLLM
from windows_tools import faults

from agentperf_core.accounting import TokenCounter
from llamaindex_agentperf import ContextFitLLM, SlidingWindowMemory
from llamaindex_agentperf._messages import to_core
from tests.tau_sessions import Session, needs_tau, sessions

COUNTER = TokenCounter.for_encoding("o200k_base")
LIMIT = 6144


async def replayed(session: Session, memory: SlidingWindowMemory, **fit: Any) -> ScriptedLLM:
    """The model of an agent that says and finds what was recorded."""
    said = session.messages("assistant")
    found = session.messages("tool")

    def script(messages: Any) -> ChatMessage:
        one = next(said)
        blocks: list[Any] = [TextBlock(text=one["content"])] if one["content"] else []
        blocks += [
            ToolCallBlock(
                tool_call_id=call["id"],
                tool_name=call["function"]["name"],
                tool_kwargs=json.loads(call["function"]["arguments"]),
            )
            for call in one.get("tool_calls") or ()
        ]
        return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)

    def look(**_: Any) -> str:
        return str(next(found)["content"])

    inner = ScriptedLLM(script=script)
    agent: Any = FunctionAgent(
        llm=ContextFitLLM(inner, counter=COUNTER, **fit) if fit else inner,
        tools=[
            FunctionTool.from_defaults(look, name=name, description=name)
            for name in sorted(session.tools)
        ],
        system_prompt=session.system,
        streaming=False,
    )
    for text, _ in session.turns:
        await agent.run(user_msg=text, memory=memory)
    return inner


@needs_tau
async def test_recorded_conversations_through_memory_and_model():
    for session in sessions(2):
        memory = SlidingWindowMemory.from_defaults(token_limit=LIMIT - 1500, recall="auto")
        inner = await replayed(session, memory, context_tokens=LIMIT + 500, reserve_output=500)
        assert len(inner.seen) > 60
        assert memory.record["left_out"] > 0
        for prompt in inner.seen:
            assert faults(prompt) == []
            assert COUNTER.count_messages(map(to_core, prompt)) <= LIMIT
            assert prompt[0].content == session.system
