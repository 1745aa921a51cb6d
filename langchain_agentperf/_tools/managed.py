"""Calls of a graph's tools on their way through the executor."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

from langchain.agents.middleware import ToolCallRequest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool

from agentperf_core.errors import ConfigError, require_instance
from agentperf_core.flow import Flow, Step
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import ToolExecutor, ToolFailure, ToolJob
from agentperf_core.types import ToolCall
from langchain_agentperf._tools.bound import Passage
from langchain_agentperf._tools.early import EarlyTools
from langchain_agentperf._tools.facts import facts_of
from langchain_agentperf._tools.results import MessageResults, Result
from langchain_agentperf._tools.runs import surroundings
from langchain_agentperf._tools.siblings import Siblings, core_call
from langchain_agentperf._tools.telling import tell, waiting

__all__ = ["Managed", "Policies"]

logger = logging.getLogger("agentperf")


class _ManagedRequest(ToolCallRequest):
    """A request whose tool is called through the executor, also one that middleware puts in."""

    def override(self, **overrides: Any) -> ToolCallRequest:
        passage: Passage = self.__dict__["passage"]
        tool = overrides.get("tool")
        if isinstance(tool, BaseTool):
            overrides["tool"] = passage.bound(tool)
        made = super().override(**overrides)
        made.__dict__["passage"] = passage
        return made


class Policies:
    """What is declared of the tools of an agent: by name, else by the tool's decorator.

    Args:
        given: policies by name of the tool.

    Raises:
        ConfigError: if one of them is none.
    """

    def __init__(self, given: Mapping[str, ToolPolicy] | None) -> None:
        require_instance(Mapping, "write policies={name: ToolPolicy(...)}", policies=given)
        self._given = dict(given or {})
        self._declared: dict[str, tuple[BaseTool, ToolPolicy | None]] = {}
        self._checked = False
        for name, policy in self._given.items():
            if not isinstance(policy, ToolPolicy):  # pyright: ignore[reportUnnecessaryIsInstance] - from users
                msg = (
                    f"policies holds ToolPolicy values, got {policy!r} for {name!r}; make one of it"
                )
                raise ConfigError(msg)

    def of(self, name: str, tool: BaseTool | None) -> ToolPolicy | None:
        """The policy of a tool."""
        given = self._given.get(name)
        if given is not None or tool is None:
            return given
        known = self._declared.get(name)
        if known is None or known[0] is not tool:
            known = self._declared[name] = (tool, facts_of(tool).policy)
        return known[1]

    def by_name(self, tools: Sequence[BaseTool]) -> Callable[[str], ToolPolicy | None]:
        """How to look policies up for these tools."""
        # Most calls never ask, and an agent may have many tools.
        return lambda name: self.of(name, next((one for one in tools if one.name == name), None))

    def check(self, tools: Sequence[BaseTool]) -> None:
        """Say once in the log which names no tool has.

        No error: an agent's tools are not known before it runs, and more may come later.
        """
        if self._checked:
            return
        self._checked = True
        names = {tool.name for tool in tools}
        unknown = sorted(self._given.keys() - names)
        if unknown and names:
            msg = f"policies must name tools, got {unknown!r}; there are {sorted(names)!r}"
            logger.warning(msg)


class Managed:
    """Sends the calls of an agent or of a graph's node through an executor.

    Args:
        executor: the core's executor.
        policies: what is declared of the tools.
        raises: errors that end the run instead of becoming messages.
        messages_key: where messages are in the state.
        early: names of the tools that may start while the model writes; all that may be called
            twice for `True`, none for `False`.

    Attributes:
        early: starts them; `None` if there are none.
    """

    def __init__(
        self,
        executor: ToolExecutor,
        policies: Policies,
        *,
        raises: Sequence[type[BaseException]] = (),
        messages_key: str = "messages",
        early: bool | Collection[str] = False,
    ) -> None:
        self.executor = executor
        self._policies = policies
        self._results = MessageResults(raises)
        only = None if isinstance(early, bool) else early
        self.early = EarlyTools(executor, self._results, policies.of, only=only) if early else None
        self._siblings = Siblings(messages_key)

    def call(self, request: ToolCallRequest, handler: Callable[..., Any]) -> Flow[Any]:
        """Make a call.

        Args:
            request: the call.
            handler: makes it; a coroutine function, if the flow is driven async.

        Raises:
            BaseException: what ends or steers the run.
        """
        call, tool = core_call(request.tool_call), request.tool
        config, tools = surroundings(request)
        self._policies.check(tools)
        policy = self._policies.of(call.name, tool)
        claim = self.early.claim(request) if self.early is not None else None
        passage, shown = Passage(self.executor, claim), waiting(config)
        wait = shown(call.name) if shown is not None else None

        def through(inner: Step[Result]) -> Flow[Any]:
            passage.inner = inner
            step: Step[Any] = Step(handler, handler, _managed(request, passage))
            if policy is not None:
                by_name = self._policies.by_name(tools)
                step = self._siblings.step(request, policy, by_name, step)
            try:
                result = yield step
            finally:
                passage.leave()
            wrong = _wrong(call, passage, result) if self._results.failed(result) else None
            if wrong is not None:
                raise wrong
            return result

        job: ToolJob[Any] = ToolJob(
            call=call,
            step=passage.step(),
            results=self._results,
            policy=policy,
            through=through if wait is None else wait.around(through),
            queued=wait.queued if wait is not None else None,
            begun=wait.begun if wait is not None else None,
        )
        done = yield from self.executor.call(job)
        if done.run.substitute is not None and tool is not None:
            asked = cast("Mapping[str, Any]", request.tool_call)
            yield from tell(tool, asked, config, done.result, done.run.record())
        return done.result


def _wrong(call: ToolCall, passage: Passage, result: ToolMessage) -> ToolFailure | None:
    """The failure behind an error message of LangGraph's own: of a call that was wrong already."""
    if passage.refused:
        return ToolFailure(result.text, tool=call.name, kind="arguments", elapsed_s=0.0)
    if not passage.known:
        return ToolFailure(result.text, tool=call.name, kind="unknown", elapsed_s=0.0)
    return None


def _managed(request: ToolCallRequest, passage: Passage) -> ToolCallRequest:
    # Not by its `__init__`: LangGraph's checks of what is set cost as much as all of the rest.
    made = object.__new__(_ManagedRequest)
    made.__dict__.update(request.__dict__, passage=passage)
    if request.tool is not None:
        made.__dict__["tool"] = passage.bound(request.tool)
    return made
