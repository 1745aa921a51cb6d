"""What a model request of LangChain is, for the core to make its cache key of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from agentperf_core.cache import CachePolicy, CacheRequest, canonical
from agentperf_core.cache.requests.build import build_request, request_or_bypass
from langchain_agentperf._convert import message_parts
from langchain_agentperf._identity import behaviour, model_identity, temperature_of
from langchain_agentperf._memo import ObjectMemo

__all__ = ["chat_request", "tool_schema"]

# Call parameters that are in the key under another name, or that no provider gets.
_ELSEWHERE = frozenset(
    {
        "ls_structured_output_format",
        "stop",
        "stream",
        "structured_output_format",
        "tool_choice",
        "tools",
    }
)


def chat_request(
    model: BaseChatModel,
    messages: Sequence[BaseMessage],
    stop: Sequence[str] | None,
    kwargs: Mapping[str, Any],
    *,
    policy: CachePolicy,
    tenant: str | Callable[[], str | None] | None,
    version: str,
) -> CacheRequest:
    """A call of a chat model as the cache sees it; streams and plain calls are the same."""

    def make() -> CacheRequest:
        tools = cast("Sequence[object]", kwargs.get("tools") or ())
        settings = {name: value for name, value in kwargs.items() if name not in _ELSEWHERE}
        return build_request(
            policy=policy,
            model=model_identity(model),
            messages=map(message_parts, messages),
            tools=[canonical(tool) for tool in tools],
            params={
                "choice": kwargs.get("tool_choice"),
                "settings": behaviour(settings),
                "stop": stop or None,
            },
            tenant=tenant,
            version=version,
            temperature=temperature_of(model, kwargs),
        )

    return request_or_bypass(make)


_tools = ObjectMemo()


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
