"""`ManagedTool`: any LlamaIndex tool under an executor, as its policy says."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Any

from llama_index.core.tools import BaseTool, ToolOutput

from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.errors import require_instance
from agentperf_core.flow import Flow
from agentperf_core.toolpolicy import ToolPolicy, declared
from agentperf_core.tools import Done, ToolExecutor, ToolJob
from agentperf_core.types import ToolCall
from llamaindex_agentperf.events import announce_run, waiting
from llamaindex_agentperf.tools._arguments import Arguments
from llamaindex_agentperf.tools._claims import CLAIMS
from llamaindex_agentperf.tools._outputs import OutputResults
from llamaindex_agentperf.tools._running import Running
from llamaindex_agentperf.tools._sharing import Name, Sharing, Whose, detached
from llamaindex_agentperf.tools._wrapped import Wrapped, WrappedTool, made, unwrapped

__all__ = ["ManagedTool", "calling"]

calling: ContextVar[str] = ContextVar("agentperf_llamaindex_calling", default="")
"""The id of the call that an agent is making; tools are not told."""


class ManagedTool(WrappedTool):
    """A tool under an executor, which runs it as its policy says.

    Limits, time-out, repetition, breaker, substitute and cache are those of its `ToolPolicy`. A
    call that fails or takes too long becomes an output with `is_error`, which says which tool, why,
    and after how long; nothing is raised but what makes a workflow wait for an event, such as a
    person's answer. A sync function of an async run goes to the executor's own threads.

    Every agent that takes the tool takes this one, too: it is a `FunctionTool` with the wrapped
    tool's metadata, context parameter, callbacks and partial parameters.

    Args:
        tool: any tool, or a function to make one of. From a `CachedTool` or a `ManagedTool` comes
            what is not given here: policy, cache, executor.
        policy: what is declared of it; default what `tool_policy` has left on it, or nothing.
        executor: shared with other tools; default one of its own.
        cache: where results are kept if the policy has `ttl_s`, and equal calls at once are one if
            they may be; default one of its own. A tool that `writes` makes what was read of it
            forgotten in here.
        tenant: see `CachedTool`; so are the next three.
        session: the session that a call belongs to.
        version: a tag to change when the tool changes.
        keep_raw: whether outputs are kept only with their `raw_output`.

    Raises:
        ConfigError: if an argument is of another kind, or see `CachedTool`.

    Example:
        >>> def get_order(order_id: int) -> str:
        ...     raise LookupError(f"no order {order_id}")
        >>> tool = ManagedTool(get_order, policy=ToolPolicy(read_only=True, timeout_s=2))
        >>> output = tool.call(order_id=7)
        >>> output.is_error, output.content
        (True, "tool 'get_order' gave no result after ... s: LookupError: no order 7")
    """

    def __init__(
        self,
        tool: BaseTool | Callable[..., Any],
        *,
        policy: ToolPolicy | None = None,
        executor: ToolExecutor | None = None,
        cache: ToolResultCache | None = None,
        tenant: Name = None,
        session: Name = None,
        version: str = "",
        keep_raw: bool = True,
    ) -> None:
        require_instance(ToolExecutor, "give a ToolExecutor or leave it out", executor=executor)
        require_instance(ToolResultCache, "give a ToolResultCache or leave it out", cache=cache)
        found = unwrapped(made(tool))
        policy = policy or found.policy or declared(tool) or ToolPolicy()
        super().__init__(found.tool, policy)
        self._sharing = found.sharing if cache is None else None
        if self._sharing is None and self._shares(cache):
            whose = Whose(tenant=tenant, session=session, version=version, keep_raw=keep_raw)
            shared = cache if cache is not None else ToolResultCache()
            self._sharing = Sharing(self, found.tool, policy, shared, whose)
        self._executor = executor or found.executor or ToolExecutor()
        self._arguments = Arguments(self)
        self._results = OutputResults(self)
        self._running = Running(self._inner, self._executor, self._arguments)

    @property
    def executor(self) -> ToolExecutor:
        """Who runs the calls."""
        return self._executor

    @property
    def cache(self) -> ToolResultCache | None:
        """The cache behind this tool; `None` if it has none."""
        return self._sharing.cache if self._sharing is not None else None

    def job(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        call_id: str = "",
        alone: bool = False,
    ) -> ToolJob[ToolOutput]:
        """One call as the executor takes it.

        Args:
            args: positional arguments.
            kwargs: named ones, with the run's context if the tool takes it.
            call_id: the call's id, as the model gave it.
            alone: whether it needs a span of its own, because this tool's is not around it.
        """
        named = self._arguments.of(args, kwargs)
        job: ToolJob[ToolOutput] = ToolJob(
            call=ToolCall(call_id, self._inner.metadata.get_name(), named),
            step=(self._running.alone if alone else self._running.step)(args, kwargs),
            results=self._results,
            policy=self._policy,
        )
        if self._sharing is not None:
            # Of the call and not of the job: a circle per call is work for the garbage collector.
            refresh = detached(partial(self._refresh, job.call, args, kwargs))
            job.through = self._sharing.through(args, kwargs, refresh, named)
        return job

    def _flow(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Flow[ToolOutput]:
        return (yield from self._done(args, kwargs)).result

    def _done(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Flow[Done[ToolOutput]]:
        call_id = calling.get()
        early = None
        if call_id and not args:
            early = CLAIMS.claim(ToolCall(call_id, self._inner.metadata.get_name(), kwargs))
        if early is None:
            job = self.job(args, kwargs, call_id=call_id)
            wait = waiting()
            if wait is not None:
                job.queued, job.begun = wait.queued, wait.begun
            early = self._executor.call(job)
        done = yield from early
        announce_run(done.run)
        return done

    def _refresh(
        self, call: ToolCall, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Flow[ToolOutput]:
        """A call once more; what a substitute says is not to be kept."""
        job: ToolJob[ToolOutput] = ToolJob(
            call=call,
            step=self._running.alone(args, kwargs),
            results=self._results,
            policy=replace(self._policy, substitute=None),
        )
        return (yield from self._executor.call(job)).result

    def _shares(self, cache: ToolResultCache | None) -> bool:
        """Whether equal calls are one: kept, or at least while one of them is made."""
        policy = self._policy
        if policy.ttl_s is not None:
            return True
        if policy.writes and cache is not None:
            return True
        # A context belongs to its run.
        return policy.repeatable and not (self.requires_context and policy.cache_scope == "global")

    def _wrapped(self) -> Wrapped:
        return Wrapped(self._inner, self._policy, self._sharing, self._executor)


ManagedTool.__module__ = "llamaindex_agentperf"
