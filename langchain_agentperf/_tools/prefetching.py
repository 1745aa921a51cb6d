"""How the tools of one agent run are called on a guess."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.prebuilt.tool_node import msg_content_output  # pyright: ignore[reportUnknownVariableType] - has no complete types

from agentperf_core.flow import Flow, Step
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import ToolExecutor, ToolJob
from agentperf_core.tools.prefetch.paths import plain
from agentperf_core.types import ToolCall
from langchain_agentperf._tools.asked import ToolCalls
from langchain_agentperf._tools.facts import facts_of
from langchain_agentperf._tools.keeping import Asked, Keeper, arguments_of
from langchain_agentperf._tools.managed import Policies
from langchain_agentperf._tools.results import MessageResults, Result

__all__ = ["AgentTools", "Whose", "new_texts", "plain_result"]

_RESULTS = MessageResults()
# Nobody who watches the run shall hear of a call that it has not made.
_SILENT: Mapping[str, Any] = {"callbacks": []}


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose results a run shares.

    Attributes:
        tenant: whose they are.
        session: id of the conversation.
        run: id of the run.
    """

    tenant: str | None
    session: str | None
    run: str | None


class AgentTools:
    """The `PrefetchTools` of one run.

    Args:
        tools: the agent's; what is no tool of LangChain's (a provider's own) is not called.
        policies: what is declared of them.
        keeper: the cache.
        executor: where sync tools run in async code.
        whose: whose results they are.
    """

    def __init__(
        self,
        tools: Iterable[object],
        policies: Policies,
        keeper: Keeper,
        executor: ToolExecutor,
        whose: Whose,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools if isinstance(tool, BaseTool)}
        self._policies = policies
        self._keeper = keeper
        self._executor = executor
        self._whose = whose

    def policy(self, tool: str) -> ToolPolicy | None:
        """What is declared of a tool."""
        return self._policies.of(tool, self._tools.get(tool))

    def arguments(self, tool: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments with the plain defaults of the others."""
        found = self._tools.get(tool)
        return arguments_of(found, given) if found is not None else given

    def job(self, call: ToolCall) -> ToolJob[Result] | None:
        """A call of the tool by itself; `None` for one that wants the run's state or runtime."""
        tool, policy = self._tools.get(call.name), self.policy(call.name)
        if tool is None or facts_of(tool).of_the_run:
            return None
        asked: Mapping[str, Any] = {
            "type": "tool_call",
            "name": call.name,
            "args": call.arguments,
            "id": call.id,
        }
        calls = ToolCalls(tool, self._executor)

        async def acall() -> Result:
            return _as_of_a_node(await calls.ainvoke(asked, _SILENT))

        step = Step(lambda: _as_of_a_node(calls.invoke(asked, _SILENT)), acall)
        made = partial(self.asked, tool, asked, policy, _SILENT)
        return ToolJob(
            call=call,
            step=step,
            results=_RESULTS,
            policy=policy,
            through=partial(self._keeper.call, made, silent=True),
        )

    def through(
        self, tool: BaseTool | None, call: Mapping[str, Any], config: Mapping[str, Any] | None
    ) -> partial[Flow[Any]] | None:
        """What a call of the agent goes through, if it was foreseen or makes others worthless."""
        policy = self._policies.of(call["name"], tool)
        if tool is None or policy is None or not (policy.prefetch or policy.writes):
            return None
        return partial(self._keeper.call, partial(self.asked, tool, call, policy, config))

    def asked(
        self,
        tool: BaseTool,
        call: Mapping[str, Any],
        policy: ToolPolicy | None,
        config: Mapping[str, Any] | None,
    ) -> Asked:
        """A call as the cache wants it."""
        whose = self._whose
        return Asked(
            tool=tool,
            call=call,
            policy=policy,
            config=config,
            run=whose.run,
            session=whose.session,
            tenant=whose.tenant,
        )


def plain_result(result: Any) -> Any:
    """What a message of a tool says, as plain data; `None` for an error, or a command."""
    if isinstance(result, ToolMessage) and result.status != "error":
        return plain(result.text)
    return None


def new_texts(messages: list[Any]) -> list[str]:
    """What the user has said since anybody answered."""
    found: list[str] = []
    for message in reversed(messages):
        if not isinstance(message, HumanMessage):
            break
        found.append(message.text)
    return found[::-1]


def _as_of_a_node(result: Result) -> Result:
    """The message as LangGraph's node would hand it on."""
    if not isinstance(result, ToolMessage):
        return result
    written = cast("Any", msg_content_output)(result.content)
    return result if written is result.content else result.model_copy(update={"content": written})
