"""The cache key of one model request of an agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

from langchain.agents.middleware import ModelRequest
from langchain.agents.structured_output import AutoStrategy, ProviderStrategy, ToolStrategy
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from agentperf_core.cache import CachePolicy, CacheRequest, Unkeyable, canonical, request_key
from langchain_agentperf._convert import message_parts
from langchain_agentperf._identity import behaviour, model_identity, temperature_of
from langchain_agentperf._memo import ObjectMemo

__all__ = ["cache_request", "format_schema", "tool_schema"]


def cache_request(
    request: ModelRequest[Any], *, policy: CachePolicy, tenant: str | None, version: str
) -> CacheRequest:
    """The request as the cache sees it: its key, or why it must not be cached."""
    settings = cast("Mapping[str, Any]", request.model_settings)
    refusal = policy.refuse_request(temperature=temperature_of(request.model, settings))
    if refusal is not None:
        return CacheRequest(None, refusal)
    system = request.system_message
    history = request.messages if system is None else (system, *request.messages)
    try:
        key = request_key(
            model=model_identity(request.model),
            messages=map(message_parts, history),
            tools=[tool_schema(tool) for tool in request.tools],
            params={
                "choice": request.tool_choice,
                "format": format_schema(request.response_format),
                "settings": behaviour(settings),
            },
            tenant=tenant,
            version=version,
        )
    except Unkeyable as error:
        return CacheRequest(None, str(error))
    return CacheRequest(key)


_tools = ObjectMemo()
_formats = ObjectMemo()


def tool_schema(tool: BaseTool | Mapping[str, Any]) -> bytes:
    """A tool's schema in canonical form, kept per tool: building one costs about 20 microseconds.

    Raises:
        Unkeyable: if the schema has no canonical form.
    """
    if not isinstance(tool, BaseTool):
        return canonical(tool)
    schema = tool.args_schema
    # A mapping can change in place, and would always equal itself: its content is compared.
    shape = schema if schema is None or isinstance(schema, type) else canonical(schema)
    extras = canonical(tool.extras) if tool.extras else None
    made_from = (tool.name, tool.description, shape, extras)
    return _tools.get(
        tool, made_from, lambda: canonical([convert_to_openai_tool(tool), tool.extras])
    )


def format_schema(wanted: object) -> bytes | None:
    """A response format in canonical form: strategy, names and schemas, not class names alone.

    Raises:
        Unkeyable: for a schema without a title, which LangChain names at random per agent.
    """
    if wanted is None:
        return None
    if not isinstance(wanted, AutoStrategy | ProviderStrategy | ToolStrategy):
        wanted = AutoStrategy(schema=cast("Any", wanted))
    strategy = cast("_Strategy", wanted)
    return _formats.get(strategy, None, lambda: _canonical_format(strategy))


_Strategy: TypeAlias = AutoStrategy[Any] | ProviderStrategy[Any] | ToolStrategy[Any]


def _canonical_format(strategy: _Strategy) -> bytes:
    if isinstance(strategy, ProviderStrategy):
        specs = [strategy.schema_spec]
    elif isinstance(strategy, ToolStrategy):
        specs = strategy.schema_specs
    else:
        specs = ToolStrategy(schema=strategy.schema).schema_specs
        if any(isinstance(spec.schema, dict) and "title" not in spec.schema for spec in specs):
            msg = "a JSON schema without a title is named at random; give it a title to cache"
            raise Unkeyable(msg)
    kind = type(strategy).__name__
    return canonical([kind, [[s.name, s.description, s.strict, s.json_schema] for s in specs]])
