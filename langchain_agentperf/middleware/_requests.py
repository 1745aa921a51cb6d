"""What a model request of an agent is, for the core to make its cache key of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from langchain.agents.middleware import ModelRequest
from langchain.agents.structured_output import AutoStrategy, ProviderStrategy, ToolStrategy

from agentperf_core.cache import CacheRequest, ExactCache, Unkeyable, canonical
from agentperf_core.cache.requests.build import build_request, request_or_bypass
from langchain_agentperf._convert import conversation
from langchain_agentperf._identity import behaviour, model_identity, temperature_of
from langchain_agentperf._memo import ObjectMemo
from langchain_agentperf._requests import tool_schema
from langchain_agentperf._tools.marks import inherited_by

__all__ = ["Tenant", "agent_request", "format_schema"]

Tenant: TypeAlias = str | Callable[[ModelRequest[Any]], str | None] | None
"""A tenant, or a function of the request that says whose it is."""


def agent_request(
    request: ModelRequest[Any], *, cache: ExactCache, tenant: Tenant, version: str
) -> CacheRequest:
    """The request as the cache sees it: its key, or why it must not be cached.

    What tools said limits how long its answer is good.
    """

    def make() -> CacheRequest:
        settings = cast("Mapping[str, Any]", request.model_settings)
        system = request.system_message
        history = request.messages if system is None else (system, *request.messages)
        expires_at, tags = inherited_by(request.messages)
        params: dict[str, Any] = {}
        if request.tool_choice is not None:
            params["choice"] = request.tool_choice
        if request.response_format is not None:
            params["format"] = format_schema(request.response_format)
        if settings:
            params["settings"] = behaviour(settings)
        return build_request(
            policy=cache.policy,
            model=model_identity(request.model),
            messages=conversation(history),
            tools=[tool_schema(tool) for tool in request.tools],
            params=params,
            tenant=tenant(request) if callable(tenant) else tenant,
            version=version,
            temperature=temperature_of(request.model, settings),
            tags=tags,
            expires_at=expires_at,
            questions=cache.wants_questions,
        )

    return request_or_bypass(make)


_formats = ObjectMemo[bytes]()


def format_schema(wanted: object) -> bytes:
    """A response format in canonical form: strategy, names and schemas, not class names alone.

    Raises:
        Unkeyable: for a schema without a title, which LangChain names at random per agent.
    """
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
