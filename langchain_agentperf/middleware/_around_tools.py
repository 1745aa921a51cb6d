"""What the middlewares around tool calls share: one flow, driven sync and async."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ToolCallRequest
from langchain_core.messages import ToolMessage
from langgraph.types import Command

from agentperf_core.flow import Flow, arun, run
from langchain_agentperf.middleware._trace import TRACE

__all__ = ["AroundTools"]


class AroundTools(AgentMiddleware[Any, Any, Any]):
    """A middleware that does what `_call` says around each tool call."""

    if TRACE is not None:
        trace_policy = TRACE

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Make the call, or answer in its place. From `AgentMiddleware`."""
        return run(self._call(request, handler))

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """Like `wrap_tool_call`. From `AgentMiddleware`."""
        return await arun(self._call(request, handler))

    def _call(self, request: ToolCallRequest, handler: Callable[..., Any]) -> Flow[Any]:
        """One call; `handler` is a coroutine function if the flow is driven async."""
        raise NotImplementedError
