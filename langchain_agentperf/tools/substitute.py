"""`substitute`: a LangChain tool with a light local function to answer in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool

from agentperf_core.errors import require_instance
from agentperf_core.flow import Flow, Step, both
from agentperf_core.toolpolicy import Substitute
from agentperf_core.tools import SubstituteRegistry
from langchain_agentperf._tools.asked import call_of
from langchain_agentperf._tools.bound import standing_in
from langchain_agentperf._tools.prepared import prepared
from langchain_agentperf._tools.results import NotedResults, PlainResults
from langchain_agentperf._tools.siblings import core_call
from langchain_agentperf._tools.telling import tell

__all__ = ["substitute"]

B = TypeVar("B", bound=BaseTool)


def substitute(
    tool: B,
    function: Substitute | Callable[..., Any],
    *,
    when: Callable[[Mapping[str, Any]], bool] | None = None,
    on_failure: bool = True,
) -> B:
    """A tool, and a light function that answers for some arguments, or when the tool cannot.

    For code that calls tools without an agent; an agent's tools get theirs by
    `ToolSubstituteMiddleware` or a `ToolPolicy`. It is of the tool's own class, with its name and
    schema. The function takes the tool's arguments by name, must be fast and must not wait; what it
    raises, the tool answers instead. A `ToolMessage` says in
    `response_metadata["agentperf"]["tool"]` why it answered, and callbacks hear of it as of a tool
    that ran.

    Args:
        tool: the tool.
        function: the light function, or a `Substitute`, which says the next two itself; ready ones
            are in `agentperf_core.tools.light`.
        when: whether it can answer these arguments; without it, only when the tool has failed.
        on_failure: whether it answers, too, when the tool has raised.

    Raises:
        ConfigError: if the substitute were never used, or `tool` is none.

    Example:
        >>> from langchain_core.tools import tool
        >>> @tool
        ... def calculate(a: int, b: int) -> int:
        ...     '''Add two numbers, far away.'''
        ...     raise ConnectionError("the calculator is far away")
        >>> light = substitute(calculate, lambda a, b: a + b, when=lambda given: given["a"] < 99)
        >>> light.invoke({"a": 1, "b": 2})
        3
    """
    require_instance(BaseTool, "make one of a function with langchain's @tool", tool=tool)
    chosen = Substitute.of(function, when=when, on_failure=on_failure)
    registry = SubstituteRegistry({tool.name: chosen})

    def called(input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Flow[Any]:  # noqa: A002 - LangChain's name
        ready = prepared(tool)
        step: Step[Any] = Step(
            lambda: ready.invoke(input, config, **kwargs),
            lambda: ready.ainvoke(input, config, **kwargs),
        )
        if not isinstance(input, dict):
            return (yield from step)  # words without names: no function of arguments can be asked
        call = call_of(tool, input)
        if call["id"] is None:  # then the tool gives what it returned, and no message
            return (yield from registry.run(core_call(call), step, PlainResults()))
        noted = NotedResults()
        result = yield from registry.run(core_call(call), step, noted)
        if noted.run is not None:
            yield from tell(tool, call, config, result, noted.run.record())
        return result

    return standing_in(tool, *both(called))


substitute.__module__ = "langchain_agentperf"
