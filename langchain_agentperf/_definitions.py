"""What a request sends beside its messages, as the definitions that are counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, cast

from langchain.agents.structured_output import AutoStrategy, ProviderStrategy, ToolStrategy
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from agentperf_core.events import BUS
from langchain_agentperf._memo import ObjectMemo

__all__ = ["format_definitions", "tool_definitions"]

Definition: TypeAlias = Mapping[str, Any]

_tools = ObjectMemo[Definition]()
_formats = ObjectMemo[list[Definition]]()


def tool_definitions(tools: Iterable[object]) -> list[Definition]:
    """OpenAI-style definitions of tools, kept per tool: making one costs tens of microseconds."""
    return [_definition(tool) for tool in tools]


def format_definitions(wanted: object) -> list[Definition]:
    """What a response format adds to a request; LangChain makes a tool or a schema of it."""
    if wanted is None:
        return []
    return _formats.get(wanted, None, lambda: _specs(wanted))


def _definition(tool: object) -> Definition:
    if isinstance(tool, BaseTool):
        made_from = (tool.name, tool.description, tool.args_schema)
        return _tools.get(tool, made_from, lambda: convert_to_openai_tool(tool))
    try:
        return convert_to_openai_tool(cast("Any", tool))
    except Exception as error:  # a provider's own tool, which is counted as it is
        if isinstance(tool, Mapping):
            return cast("Definition", tool)
        BUS.fault("context.tools", error)
        return {"type": type(tool).__name__}


def _specs(wanted: object) -> list[Definition]:
    try:
        strategy = cast("Any", wanted)
        if isinstance(wanted, ProviderStrategy):
            specs = [strategy.schema_spec]
        elif isinstance(wanted, ToolStrategy):
            specs = strategy.schema_specs
        else:
            schema = strategy.schema if isinstance(wanted, AutoStrategy) else wanted
            specs = ToolStrategy(schema=cast("Any", schema)).schema_specs
    except Exception as error:  # a format that LangChain will refuse in its own words
        BUS.fault("context.format", error)
        return []
    return [
        {
            "type": "function",
            "function": {
                "name": spec.name,
                "description": spec.description,
                "parameters": spec.json_schema,
            },
        }
        for spec in cast("list[Any]", specs)
    ]
