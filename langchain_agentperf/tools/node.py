"""A node of LangGraph that runs tool calls through the executor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from langchain.agents.middleware import ToolCallRequest
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode

from agentperf_core.errors import require_instance
from agentperf_core.flow import arun, run
from agentperf_core.toolpolicy import ToolPolicy, policies_for
from agentperf_core.tools import ToolExecutor
from agentperf_core.tools.pool import ThreadPool
from langchain_agentperf._tools.asked import tools_by_name
from langchain_agentperf._tools.managed import Managed, Policies

__all__ = ["PerfToolNode"]

_Wrapper = Callable[[ToolCallRequest, Callable[..., Any]], Any]


class PerfToolNode(ToolNode):
    """LangGraph's `ToolNode` with limits, time-outs, and tools that cost each other nothing.

    In place of `ToolNode` in a graph of one's own. A tool that raises, takes too long or hangs
    becomes an error message, and the other calls of the message keep their results, in the order of
    the calls. Sync tools of an async run have threads of the executor's own, and so has a sync
    `wrap_tool_call`, which in LangGraph stops the event loop for as long as the tool takes.

    Args:
        tools: tools, or functions to make tools of.
        executor: a core executor to share; else one is made.
        policies: what is declared of the tools, by name; goes before their `tool_policy`
            decorators.
        max_concurrency: calls at once of an executor that is made here.
        raises: errors that end the run instead of becoming a message.
        wrap_tool_call: as in `ToolNode`; used in async runs, too, if there is no other.
        awrap_tool_call: as in `ToolNode`.
        **options: those of `ToolNode`: `name`, `tags`, `messages_key`, and `handle_tool_errors`,
            which goes first: with `False` every error ends the run.

    Attributes:
        executor: the core executor in use: `stats()`, `limits`, `durations`.

    Raises:
        ConfigError: if two tools have one name, a policy names no tool or is none, `executor` is
            something else or `max_concurrency` not above zero.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> from langgraph.graph import START, MessagesState, StateGraph
        >>> def add(a: int, b: int) -> int:
        ...     '''Add.'''
        ...     return a + b
        >>> builder = StateGraph(MessagesState).add_node("tools", PerfToolNode([add]))
        >>> graph = builder.add_edge(START, "tools").compile()
        >>> call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "1"}
        >>> graph.invoke({"messages": [AIMessage("", tool_calls=[call])]})["messages"][-1].content
        '3'
    """

    def __init__(
        self,
        tools: Sequence[BaseTool | Callable[..., Any]],
        *,
        executor: ToolExecutor | None = None,
        policies: Mapping[str, ToolPolicy] | None = None,
        max_concurrency: int = 32,
        raises: Sequence[type[BaseException]] = (),
        wrap_tool_call: _Wrapper | None = None,
        awrap_tool_call: Callable[..., Awaitable[Any]] | None = None,
        **options: Any,
    ) -> None:
        require_instance(ToolExecutor, "give one of agentperf_core.tools", executor=executor)
        made = executor if executor is not None else ToolExecutor(max_concurrency=max_concurrency)
        known = tools_by_name(tools)
        if options.get("handle_tool_errors") is False:
            raises = (Exception,)
        self._managed = Managed(
            made,
            Policies(policies_for(known, policies)),
            raises=raises,
            messages_key=options.get("messages_key", "messages"),
        )
        self._most = max_concurrency
        self._wrap = wrap_tool_call
        self._awrap = awrap_tool_call
        # Apart from the tools' threads: a wrapper that waits for its tool must not take its thread.
        self._threads = ThreadPool(max_threads=4 * max_concurrency, name="agentperf-wrapper")
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - LangGraph's own types
            list(known.values()),
            wrap_tool_call=self._managed_call,
            awrap_tool_call=self._amanaged_call,
            **options,
        )

    @property
    def executor(self) -> ToolExecutor:
        """The core executor in use."""
        return self._managed.executor

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002 - LangChain's name
        """Make the calls. From `Runnable`."""
        given: Any = ensure_config(config)
        if given.get("max_concurrency") is None:
            # ToolNode makes as many threads, else six on a machine with two processors.
            given = {**given, "max_concurrency": self._most}
        return super().invoke(input, given, **kwargs)

    def _managed_call(self, request: ToolCallRequest, execute: Callable[..., Any]) -> Any:
        handler = execute if self._wrap is None else partial(_swapped, self._wrap, execute)
        return run(self._managed.call(request, handler))

    async def _amanaged_call(self, request: ToolCallRequest, execute: Callable[..., Any]) -> Any:
        handler = execute
        if self._awrap is not None:
            handler = partial(_swapped, self._awrap, execute)
        elif self._wrap is not None:
            handler = partial(self._off_the_loop, self._wrap, execute)
        return await arun(self._managed.call(request, handler))

    async def _off_the_loop(
        self, wrap: _Wrapper, execute: Callable[..., Any], request: ToolCallRequest
    ) -> Any:
        """Run a sync wrapper in a thread; the tool that it calls runs where it always does."""
        bridge = _Bridge(execute)
        job = self._threads.submit(wrap, request, bridge.execute)
        try:
            return await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            job.abandon()
            bridge.give_up()
            raise


class _Bridge:
    """Calls from a thread what must run on the event loop, and gives it up with the thread.

    Args:
        execute: the coroutine function to call.
    """

    def __init__(self, execute: Callable[..., Any]) -> None:
        self._execute = execute
        self._loop = asyncio.get_running_loop()
        self._calls: list[Future[Any]] = []
        self._given_up = False

    def execute(self, request: ToolCallRequest) -> Any:
        """Make the call and wait for it; in the thread."""
        call = asyncio.run_coroutine_threadsafe(self._execute(request), self._loop)
        self._calls.append(call)
        if self._given_up:  # before the call was among them
            call.cancel()
        return call.result()

    def give_up(self) -> None:
        """Cancel what was called; on the loop."""
        self._given_up = True
        for call in self._calls:
            call.cancel()


def _swapped(
    wrap: Callable[..., Any], execute: Callable[..., Any], request: ToolCallRequest
) -> Any:
    return wrap(request, execute)
