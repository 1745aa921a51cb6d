"""The standard suites of langchain-tests for tools, on every way in which we wrap one."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from agentperf_core.flow import Step
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import ToolExecutor
from langchain_agentperf import cached_tool
from langchain_agentperf._tools.bound import Passage

KEEPS = ToolPolicy(read_only=True, ttl_s=600)


class ByClass(BaseTool):
    """A tool of a class of its own."""

    name: str = "multiply"
    description: str = "Multiply."
    response_format: Any = "content_and_artifact"

    def _run(self, a: int, b: int) -> tuple[str, dict[str, int]]:
        return str(a * b), {"product": a * b}


def by_function(*, use_async: bool) -> BaseTool:
    def multiply(a: int, b: int) -> list[dict[str, str]]:
        """Multiply."""
        return [{"type": "text", "text": str(a * b)}]

    async def amultiply(a: int, b: int) -> list[dict[str, str]]:
        return multiply(a, b)

    return StructuredTool.from_function(multiply, coroutine=amultiply if use_async else None)


TOOLS = [ByClass(), by_function(use_async=False), by_function(use_async=True)]


def cold(tool: BaseTool) -> BaseTool:
    return cached_tool(tool, policy=KEEPS)


def warm(tool: BaseTool) -> BaseTool:
    """Every call of the suite is a hit."""
    made = cached_tool(tool, policy=KEEPS)
    arguments = {"a": 6, "b": 7}
    made.invoke(arguments)
    made.invoke({"name": "multiply", "args": arguments, "id": "0", "type": "tool_call"})
    return made


def bound(tool: BaseTool) -> BaseTool:
    """As an agent's tools are called through the executor, though nobody gave them a place."""
    passage = Passage(ToolExecutor())
    step = passage.step()
    passage.inner = Step(step.sync, step.async_)
    return passage.bound(tool)


def both(tool: BaseTool) -> BaseTool:
    return bound(cold(tool))


WAYS = [cold, warm, bound, both]
MADE = [
    pytest.param((way, tool), id=f"{way.__name__}-{n}")
    for way in WAYS
    for n, tool in enumerate(TOOLS)
]


class Suite:
    """What both suites want to know; a new stand-in for each test."""

    made: BaseTool

    @pytest.fixture(autouse=True, params=MADE)
    def _make(self, request: pytest.FixtureRequest) -> None:
        way, tool = request.param
        type(self).made = way(tool)

    @property
    def tool_constructor(self) -> BaseTool:
        return self.made

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"a": 6, "b": 7}


class TestToolsUnit(Suite, ToolsUnitTests):
    pass


class TestToolsIntegration(Suite, ToolsIntegrationTests):
    pass


def test_the_warm_tools_are_warm():
    """The suites would pass with a wrapper that does nothing."""
    for tool in TOOLS:
        message = warm(tool).invoke(
            {"name": "multiply", "args": {"a": 6, "b": 7}, "id": "1", "type": "tool_call"}
        )
        assert message.response_metadata["agentperf"]["cache"]["outcome"] == "hit"
