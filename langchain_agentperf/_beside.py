"""What a model request of an agent costs besides its history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain.agents.middleware import ModelRequest
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from agentperf_core.accounting import TokenCounter
from langchain_agentperf._memo import ObjectMemo
from langchain_agentperf._messages import to_core

__all__ = ["Beside"]


class Beside:
    """Counts system prompt, tool schemas and the start of the answer.

    Args:
        counter: counts tokens.
    """

    def __init__(self, counter: TokenCounter) -> None:
        self._counter = counter
        self._schemas = ObjectMemo[Mapping[str, Any]]()

    def of(self, request: ModelRequest[Any]) -> int:
        """Tokens of what is sent with the messages of a request."""
        counter, system = self._counter, request.system_message
        spoken = 0 if system is None else counter.count_message(to_core(system))
        tools = counter.count_tools([self._schema(tool) for tool in request.tools])
        return spoken + tools + counter.chat.reply_priming

    def _schema(self, tool: BaseTool | dict[str, Any]) -> Mapping[str, Any]:
        if isinstance(tool, dict):
            return tool
        said = (tool.name, tool.description, tool.args_schema)
        return self._schemas.get(tool, said, lambda: convert_to_openai_tool(tool))
