"""How calls of tools go through the cache of their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from langchain_core.tools import BaseTool

from agentperf_core.cache.toolresults.cache import ToolRequest, ToolResultCache
from agentperf_core.events import BUS
from agentperf_core.flow import Flow, Step
from agentperf_core.toolpolicy import ToolPolicy
from langchain_agentperf._requests import tool_schema
from langchain_agentperf._tools.bound import original
from langchain_agentperf._tools.codec import MessageCodec
from langchain_agentperf._tools.facts import facts_of
from langchain_agentperf._tools.telling import tell

__all__ = ["Asked", "Keeper", "Name", "arguments_of"]

A = TypeVar("A")
Name: TypeAlias = str | Callable[[A], str | None] | None
"""A name, or a function of the request that says it."""


@dataclass(slots=True, kw_only=True)
class Asked:
    """One call as an adapter has it.

    Attributes:
        tool: the tool, or the stand-in through which it is to be called.
        call: LangChain's form of the call; its id is `None` for one that gives a plain value.
        policy: what is declared of the tool.
        config: the config of the run.
        run: id of the run, `None` if it has none.
        session: id of the conversation, likewise.
        tenant: whose results these are.
    """

    tool: BaseTool
    call: Mapping[str, Any]
    policy: ToolPolicy | None
    config: Mapping[str, Any] | None = None
    run: str | None = None
    session: str | None = None
    tenant: str | None = None


class Keeper:
    """Sends calls through a cache.

    Args:
        cache: the cache.
        version: a tag to change when tools change.
        named: whether the version says what a tool carries.
        codec: how results are read.
    """

    def __init__(
        self,
        cache: ToolResultCache,
        *,
        version: str = "",
        named: bool = False,
        codec: type[MessageCodec] = MessageCodec,
    ) -> None:
        self.cache = cache
        self._codec = codec
        self._version = version
        self._named = named

    def call(
        self, make: Callable[[], Asked], step: Step[Any], *, silent: bool = False
    ) -> Flow[Any]:
        """The result of a call: kept, shared, or the tool's own.

        Args:
            make: reads the call; a reading that fails lets the call go past the cache.
            step: makes the call.
            silent: whether callbacks do not hear of a served result.

        Raises:
            BaseException: what the tool raised, see `ToolResultCache.run`.
        """
        try:
            asked = make()
            request = self._request(asked)
        except Exception as error:
            BUS.fault("tool_cache.key", error)
            return (yield from step)
        codec = self._codec(asked.call["id"])
        refresh = None if request.of_the_run else _refresh(asked)
        result = yield from self.cache.run(request, step, codec, refresh=refresh)
        if codec.served is not None and not silent:
            record = codec.served.record()
            yield from tell(asked.tool, asked.call, asked.config, result, record)
        return result

    def _request(self, asked: Asked) -> ToolRequest:
        tool, policy = original(asked.tool), asked.policy
        name: str = asked.call["name"]
        given: Mapping[str, Any] = asked.call["args"]
        if policy is None:
            return ToolRequest(tool=name, arguments=given)
        facts = facts_of(tool)
        functions = facts.named_functions if self._named else facts.functions
        form = "value" if asked.call["id"] is None else "message"
        return ToolRequest(
            tool=name,
            arguments=arguments_of(tool, given),
            policy=policy,
            schema=tool_schema(tool),
            version=f"{functions}:{form}:{self._version}",
            tenant=asked.tenant,
            run=asked.run,
            session=asked.session,
            of_the_run=facts.of_the_run,
        )


def arguments_of(tool: BaseTool, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a model has given, and the plain defaults of the others."""
    facts = facts_of(tool)
    return {
        **facts.defaults,
        **{key: value for key, value in given.items() if key not in facts.hidden},
    }


def _refresh(asked: Asked) -> Step[Any] | None:
    """The tool by itself: callbacks of a run that may have ended are told nothing."""
    if asked.policy is None or asked.policy.stale_ttl_s is None:
        return None
    tool, call = asked.tool, asked.call
    given = call["args"] if call["id"] is None else {**call, "type": "tool_call"}
    return Step(tool.invoke, tool.ainvoke, given, {"callbacks": []})
