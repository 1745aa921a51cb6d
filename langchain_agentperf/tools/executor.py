"""The executor as a runnable: from a model's message to the results of its tool calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

from langchain_core.messages import ToolMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, var_child_runnable_config
from langchain_core.tools import BaseTool

from agentperf_core.cache import check_tenant
from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.errors import require_instance
from agentperf_core.flow import Step, arun, run
from agentperf_core.toolpolicy import ToolPolicy, policies_for
from agentperf_core.tools import Done, Plan, PlanTools, ToolGraph, ToolJob
from agentperf_core.tools import ToolExecutor as CoreExecutor
from agentperf_core.types import ToolCall
from langchain_agentperf._tools.asked import NOWHERE, ToolCalls, calls_in, refused, tools_by_name
from langchain_agentperf._tools.keeping import Asked
from langchain_agentperf._tools.results import MessageResults, Result, plain
from langchain_agentperf._tools.runs import thread_of
from langchain_agentperf._tools.sharing import Sharing
from langchain_agentperf._tools.siblings import core_call
from langchain_agentperf._tools.telling import Shown, waiting

__all__ = ["ToolExecutor"]

_Name: TypeAlias = str | Callable[[], str | None] | None


class ToolExecutor(Runnable[Any, list[ToolMessage]]):
    """Makes the tool calls of a model's message, and gives their results in the order of the calls.

    For chains and loops of one's own: `prompt | model.bind_tools(tools) | ToolExecutor(tools)`.
    Calls run at once, but for those that would disturb each other (`ToolPolicy.writes`, `reads`,
    `exclusive`); equal calls of a read-only or idempotent tool are one call. A call that fails,
    takes too long, has wrong arguments or names no tool becomes an error message and costs the
    others nothing. Sync tools run in threads of the executor's own.

    It takes an `AIMessage`, messages or a state with messages, of which the last `AIMessage`
    counts, or calls in LangChain's own form. Each result says how its call went in
    `response_metadata["agentperf"]["tool"]`. Like LangGraph's `ToolNode` it is no run of its own in
    traces. What only a graph has, a tool is not given here (state, store, runtime): in a graph, use
    `PerfToolNode`.

    Args:
        tools: tools, or functions to make tools of.
        executor: a core executor to share; else one is made.
        policies: what is declared of the tools, by name; goes before their `tool_policy`
            decorators.
        cache: a core cache through which calls go; without one, results are shared in flight only.
        tenant: whose results these are, as a name or a function that is asked at every call.
        session: the session of the calls, likewise; default the `thread_id` of the config.
        version: a tag to change when tools or the data behind them change.
        max_concurrency: calls at once of an executor that is made here.
        messages_key: where messages are in a state.
        raises: errors that end the run instead of becoming a message.

    Attributes:
        executor: the core executor in use: `stats()`, `limits`, `durations`.

    Raises:
        ConfigError: if two tools have one name, a policy names no tool or is none, or an argument
            is not what its name says.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> def add(a: int, b: int) -> int:
        ...     '''Add.'''
        ...     return a + b
        >>> calls = [{"name": "add", "args": {"a": 1, "b": n}, "id": f"{n}"} for n in (1, 2)]
        >>> message = AIMessage("", tool_calls=calls)
        >>> [result.content for result in ToolExecutor([add]).invoke(message)]
        ['2', '3']
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings, each with a default
        self,
        tools: Sequence[BaseTool | Callable[..., Any]],
        *,
        executor: CoreExecutor | None = None,
        policies: Mapping[str, ToolPolicy] | None = None,
        cache: ToolResultCache | None = None,
        tenant: _Name = None,
        session: _Name = None,
        version: str = "",
        max_concurrency: int = 32,
        messages_key: str = "messages",
        raises: Sequence[type[BaseException]] = (),
    ) -> None:
        require_instance(CoreExecutor, "give one of agentperf_core.tools", executor=executor)
        require_instance(ToolResultCache, "give a ToolResultCache or leave it out", cache=cache)
        for name, value in (("tenant", tenant), ("session", session)):
            check_tenant(value, asks="a function", hint=f"give {name}='name'", name=name)
        self.executor = (
            executor if executor is not None else CoreExecutor(max_concurrency=max_concurrency)
        )
        known = tools_by_name(tools)
        self._policies = policies_for(known, policies)
        self._tools = {name: ToolCalls(tool, self.executor) for name, tool in known.items()}
        self._sharing = Sharing(cache, self._policies, version=version)
        self._tenant = tenant
        self._session = session
        self._key = messages_key
        self._results = MessageResults(raises)

    def invoke(
        self,
        input: Any,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[ToolMessage]:
        """Make the calls. From `Runnable`.

        Raises:
            ConfigError: if there is no `AIMessage` in the input.
            BaseException: what ends or steers the run, such as an interrupt.
        """
        return _flat(run(self.executor.call_all(self._jobs(input, config))))

    async def ainvoke(
        self,
        input: Any,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[ToolMessage]:
        """Like `invoke`. From `Runnable`."""
        return _flat(await arun(self.executor.call_all(self._jobs(input, config))))

    def planned(
        self, plan: Plan, config: RunnableConfig | None = None
    ) -> tuple[ToolGraph, PlanTools[Result]]:
        """A plan of calls of these tools, and what to make them with: for `executor.call_plan`.

        Raises:
            ConfigError: if it is no plan.
        """
        graph = ToolGraph(plan, tools=tuple(self._tools), policies=self._policies)
        make = self._maker(config)

        def job(call: ToolCall) -> ToolJob[Result]:
            return make(
                {"name": call.name, "args": call.arguments, "id": call.id, "type": "tool_call"}
            )

        return graph, PlanTools(job=job, results=self._results, plain=plain)

    def _jobs(self, given: Any, config: RunnableConfig | None) -> list[ToolJob[Result]]:
        make = self._maker(config)
        return [make(call) for call in calls_in(given, self._key)]

    def _maker(
        self, config: RunnableConfig | None
    ) -> Callable[[Mapping[str, Any]], ToolJob[Result]]:
        """What makes the jobs of one run; they share a config, which no tool changes."""
        around = _config_around(config)
        session = self._session() if callable(self._session) else self._session
        asked = partial(
            Asked,
            config=around,
            run=self._sharing.run_id(),
            session=session or thread_of(around),
            tenant=self._tenant() if callable(self._tenant) else self._tenant,
        )
        # Without a config of its own, a tool takes that of its context by itself.
        given, shown = None if config is None else around, waiting(around)
        return partial(self._job, config=given, asked=asked, shown=shown)

    def _job(
        self,
        call: Mapping[str, Any],
        config: Mapping[str, Any] | None,
        asked: Callable[..., Asked],
        shown: Shown | None,
    ) -> ToolJob[Result]:
        name = call["name"]
        calls = self._tools.get(name)
        wait = shown(name) if shown is not None else None
        if calls is None or call.get("type") == "invalid_tool_call":
            step, through = NOWHERE, refused(call, tuple(self._tools))
        else:
            step = Step(calls.invoke, calls.ainvoke, call, config)
            through = self._sharing.through(name, asked, tool=calls.tool, call=call)
        return ToolJob(
            call=core_call(call),
            step=step,
            results=self._results,
            policy=self._policies.get(name),
            through=through if wait is None else wait.around(through),
            queued=wait.queued if wait is not None else None,
            begun=wait.begun if wait is not None else None,
        )


def _config_around(config: RunnableConfig | None) -> Mapping[str, Any] | None:
    """The config of the calls: the one that was given, else that of the context."""
    if config is None:
        return cast("Mapping[str, Any] | None", var_child_runnable_config.get())
    whole = cast("Mapping[str, Any]", ensure_config(config))
    # The id and the name of a run belong to one run, and here there are several.
    return {name: whole[name] for name in whole if name not in {"run_id", "run_name"}}


def _flat(found: Sequence[Done[Result]]) -> list[ToolMessage]:
    """The results in one list; a tool may give several, and commands for whoever reads them."""
    messages: list[Any] = []
    for done in found:
        result: Any = done.result
        if isinstance(result, list):
            messages += cast("list[Any]", result)
        else:
            messages.append(result)
    return messages
