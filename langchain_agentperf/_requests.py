"""What a model request of LangChain is, for the core to make its cache key of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from agentperf_core.cache import CacheRequest, ExactCache, canonical
from agentperf_core.cache.requests.build import build_request, request_or_bypass
from langchain_agentperf._convert import conversation
from langchain_agentperf._identity import behaviour, model_identity, temperature_of
from langchain_agentperf._memo import ObjectMemo
from langchain_agentperf._tools.marks import inherited_by

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
    cache: ExactCache,
    tenant: str | Callable[[], str | None] | None,
    version: str,
) -> CacheRequest:
    """A call of a chat model as the cache sees it; streams and plain calls are the same.

    What tools said limits how long its answer is good.
    """

    def make() -> CacheRequest:
        tools = cast("Sequence[object]", kwargs.get("tools") or ())
        expires_at, tags = inherited_by(messages)
        return build_request(
            policy=cache.policy,
            model=model_identity(model),
            messages=conversation(messages),
            tools=[canonical(tool) for tool in tools],
            params=_given(stop, kwargs) if stop or kwargs else {},
            tenant=tenant,
            version=version,
            temperature=temperature_of(model, kwargs),
            tags=tags,
            expires_at=expires_at,
            questions=cache.wants_questions,
        )

    return request_or_bypass(make)


def _given(stop: Sequence[str] | None, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    settings = {name: value for name, value in kwargs.items() if name not in _ELSEWHERE}
    choice = kwargs.get("tool_choice")
    return {"choice": choice, "settings": behaviour(settings), "stop": stop or None}


_tools = ObjectMemo[bytes]()


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
