"""How the executor reads and makes outputs of LlamaIndex tools."""

from __future__ import annotations

from typing import Any

from llama_index.core.tools import FunctionTool, ToolOutput
from pydantic import PrivateAttr

from agentperf_core.tools import ToolFailure, ToolRun
from agentperf_core.tools.plain import plain_value
from agentperf_core.types import ToolCall
from llamaindex_agentperf.tools._codec import steers

__all__ = ["MadeOutput", "OutputResults", "plain"]


class MadeOutput(ToolOutput):
    """An output that is not the tool's own: of a failure, or of a substitute."""

    _run: ToolRun | None = PrivateAttr(default=None)
    _cause: Exception | None = PrivateAttr(default=None)

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)

    @property
    def exception(self) -> Exception | None:
        """What the tool raised, or what the executor says instead."""
        return self._cause

    @property
    def agentperf(self) -> dict[str, Any] | None:
        """How the call went, as plain data; see `ToolRun`. Not saved with the output."""
        return self._run.record() if self._run is not None else None


class OutputResults:
    """The `ToolResults` of one tool.

    Args:
        tool: reads plain values as LlamaIndex does.
    """

    def __init__(self, tool: FunctionTool) -> None:
        self._tool = tool

    def failed(self, result: ToolOutput) -> bool:
        """Whether the tool says that it failed."""
        return result.is_error

    def passes(self, error: BaseException) -> bool:
        """Whether a workflow waits for an event, such as a person's answer."""
        return steers(error)

    def of_failure(self, call: ToolCall, failure: ToolFailure) -> ToolOutput:
        """What an agent makes of an exception, with the cause of it and how long it took."""
        text = str(failure)
        cause = failure.__cause__
        output = MadeOutput(
            tool_name=call.name,
            content=text,
            raw_input=dict(call.arguments),
            raw_output=text,
            is_error=True,
        )
        output._cause = cause if isinstance(cause, Exception) else failure  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - our own
        return output

    def of_value(self, call: ToolCall, value: Any) -> ToolOutput:
        """What the tool would make of the same value."""
        return MadeOutput(
            tool_name=call.name,
            blocks=self._tool._parse_tool_output(value),  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - its only reader
            raw_input={"args": (), "kwargs": dict(call.arguments)},
            raw_output=value,
        )

    def mark(self, result: ToolOutput, run: ToolRun) -> ToolOutput:
        """The output; one of ours says how the call went, a tool's own stays as it is."""
        if type(result) is MadeOutput:
            result._run = run  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - our own
        return result


def plain(output: ToolOutput) -> Any:
    """What a tool returned, as the plain value that references of a plan lead into."""
    raw: object = output.raw_output
    try:
        return plain_value(raw)
    except TypeError:
        return plain_value(output.content)
