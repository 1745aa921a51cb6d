"""The executor of an agent's tool calls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from langchain.agents.middleware import ToolCallRequest

from agentperf_core.errors import ConfigError, require_instance
from agentperf_core.flow import Flow
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import EarlyStats, ToolExecutor
from langchain_agentperf._tools.managed import Managed, Policies
from langchain_agentperf.middleware._around_tools import AroundTools
from langchain_agentperf.middleware._listening import listen

__all__ = ["ParallelToolsMiddleware"]


class ParallelToolsMiddleware(AroundTools):
    """Runs an agent's tools under limits, with time-outs, and so that one costs the others nothing.

    A tool that raises, takes too long or hangs becomes an error message for the model, with its
    name, the cause and the time; the other calls of the message keep their results. Sync tools of
    an async agent run in threads of the executor's own instead of the event loop's few. Calls of
    one message that would disturb each other (`ToolPolicy.writes`, `reads`, `exclusive`) keep their
    order, and equal calls of a tool that is read-only or idempotent are one call.

    Put it first, before all other middleware with tool calls: a tool takes its place where it runs
    in the end, so a result that a cache or a substitute further in gives waits for none. State,
    store, runtime, `return_direct`, `Command`, interrupts and questions to a person work as without
    it. Each message says how its call went in `response_metadata["agentperf"]["tool"]`; no model is
    sent that, but LangChain's own caches have it in their keys, and the pack's do not.

    In sync runs LangGraph itself starts as many calls at once as `config["max_concurrency"]` says,
    by default a few more than the machine has processors.

    Args:
        executor: a core executor to share with other agents; else one is made.
        policies: what is declared of tools, by name; goes before their `tool_policy` decorators. A
            name that no tool has is reported in the log when the first tool is called.
        max_concurrency: calls at once of an executor that is made here.
        raises: errors that end the run instead of becoming a message, such as that of a budget.
        early: start a tool as soon as the model has written its call, while it still writes the
            next: names of tools, or `True` for all that are declared read-only or idempotent. Not
            those that a person must approve, and none after a call that nobody knows the effects
            of. What the agent does not ask for in the end is cancelled. The model is streamed for
            it, also inside `invoke`.

    Attributes:
        executor: the core executor in use: `stats()`, `limits`, `durations`.

    Raises:
        ConfigError: if `executor` or one of `policies` is something else, or `max_concurrency` is
            not above zero.

    Example:
        >>> from langchain.agents import create_agent
        >>> from langchain_core.language_models import GenericFakeChatModel
        >>> from langchain_core.messages import AIMessage
        >>> def search(query: str) -> str:
        ...     '''Search.'''
        ...     raise TimeoutError("no answer")
        >>> call = {"name": "search", "args": {"query": "x"}, "id": "1", "type": "tool_call"}
        >>> class Model(GenericFakeChatModel):
        ...     def bind_tools(self, tools, **kwargs):
        ...         return self
        >>> model = Model(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("Sorry.")]))
        >>> parallel = ParallelToolsMiddleware(policies={"search": ToolPolicy(timeout_s=2)})
        >>> agent = create_agent(model, [search], middleware=[parallel])
        >>> asked, called, result, answer = agent.invoke({"messages": ["x?"]})["messages"]
        >>> result.status, result.response_metadata["agentperf"]["tool"]["outcome"]
        ('error', 'error')
    """

    def __init__(
        self,
        *,
        executor: ToolExecutor | None = None,
        policies: Mapping[str, ToolPolicy] | None = None,
        max_concurrency: int = 32,
        raises: Sequence[type[BaseException]] = (),
        early: bool | Collection[str] = False,
    ) -> None:
        super().__init__()
        if isinstance(early, str):
            msg = f"early is True, False or a list of names, got {early!r}; write [{early!r}]"
            raise ConfigError(msg)
        require_instance(
            ToolExecutor, "give one of agentperf_core.tools or leave it out", executor=executor
        )
        made = executor if executor is not None else ToolExecutor(max_concurrency=max_concurrency)
        self._managed = Managed(made, Policies(policies), raises=raises, early=early)
        if self._managed.early is not None:
            listen(self, self._managed.early)

    @property
    def executor(self) -> ToolExecutor:
        """The core executor in use."""
        return self._managed.executor

    def early_stats(self) -> EarlyStats:
        """What came of the calls that were started early; all zero without `early`."""
        early = self._managed.early
        return early.stats() if early is not None else EarlyStats()

    def _call(self, request: ToolCallRequest, handler: Callable[..., Any]) -> Flow[Any]:
        return self._managed.call(request, handler)
