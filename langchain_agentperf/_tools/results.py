"""Tool messages as the core's executor and registry of substitutes read and make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

from langchain_core.messages import ToolMessage
from langgraph import errors
from langgraph.prebuilt import tool_node
from langgraph.types import Command

from agentperf_core.errors import ConfigError
from agentperf_core.tools import ToolFailure, ToolRun
from agentperf_core.tools.plain import plain_value
from agentperf_core.types import ToolCall
from langchain_agentperf._events import steers
from langchain_agentperf._tools.marks import mark_of, marked

__all__ = ["MessageResults", "NotedResults", "PlainResults", "Result", "passes", "plain"]

Result: TypeAlias = ToolMessage | Command[Any] | list[ToolMessage | Command[Any]]
"""What a call of a tool gives a graph; a tool may give several."""


def passes(error: BaseException) -> bool:
    """Whether an error steers the graph, or is about it, instead of saying that the tool failed.

    An interrupt, a command to the parent graph, a person's answer that does not fit the question
    and has to be given again, or a middleware without the side that the agent is run by.
    """
    return steers(error) or _is_invalid_resume(error) or _is_half_a_middleware(error)


def _is_half_a_middleware(error: BaseException) -> bool:
    # LangChain has no class of its own for it.
    return isinstance(error, NotImplementedError) and "wrap_tool_call is not available" in str(
        error
    )


def _is_no_resume(_: BaseException) -> bool:
    return False


_written = cast("Any", tool_node).msg_content_output  # has no complete types
# A LangGraph without it never marks such errors.
_is_invalid_resume = getattr(errors, "is_invalid_resume", _is_no_resume)


class MessageResults:
    """Results of tools as messages for a model.

    Args:
        raises: errors that end the run instead of being told to the model.

    Raises:
        ConfigError: if one of them is no class of errors.
    """

    def __init__(self, raises: Sequence[type[BaseException]] = ()) -> None:
        self._raises = tuple(raises)
        for kind in self._raises:
            if not isinstance(kind, type) or not issubclass(kind, BaseException):  # pyright: ignore[reportUnnecessaryIsInstance] - from users
                msg = f"raises holds classes of errors, got {kind!r}; write [TimeoutError], say"
                raise ConfigError(msg)

    def failed(self, result: Result) -> bool:
        """Whether the tool says that it failed."""
        return isinstance(result, ToolMessage) and result.status == "error"

    def passes(self, error: BaseException) -> bool:
        """Whether an error ends or steers the run."""
        return passes(error) or isinstance(error, self._raises)

    def of_failure(self, call: ToolCall, failure: ToolFailure) -> Result:
        """An error message for the model, with the tool's name, the cause and the time."""
        return ToolMessage(str(failure), name=call.name, tool_call_id=call.id, status="error")

    def of_value(self, call: ToolCall, value: Any) -> Result:
        """What a plain function returned, written as LangGraph writes what tools return."""
        if isinstance(value, ToolMessage):
            return value.model_copy(update={"name": call.name, "tool_call_id": call.id})
        if isinstance(value, Command):
            return cast("Command[Any]", value)
        return ToolMessage(_written(value), name=call.name, tool_call_id=call.id)

    def mark(self, result: Result, run: ToolRun) -> Result:
        """The message with how the call went; a command has no place for it."""
        if not isinstance(result, ToolMessage):
            return result
        record = run.record()
        said = mark_of(result).get("tool")
        if said and said.get("substitute"):  # whoever answered further in has said how
            record |= {name: said[name] for name in _OF_THE_ANSWER}
        return marked(result, tool=record)


def plain(result: Result) -> Any:
    """What a tool said, as the plain value that references of a plan lead into.

    Raises:
        TypeError: if it said nothing to a model, but commanded the graph.
    """
    if isinstance(result, list):
        return [plain(one) for one in result]
    if not isinstance(result, ToolMessage):
        msg = f"a {type(result).__name__} has no value"
        raise TypeError(msg)
    content: object = result.content
    if isinstance(content, list):
        texts = [_text(block) for block in cast("list[Any]", content)]
        if None not in texts:
            content = "".join(cast("list[str]", texts))
    return plain_value(content)


def _text(block: Any) -> str | None:
    found = cast("dict[str, Any]", block).get("text") if isinstance(block, dict) else block
    return found if isinstance(found, str) else None


_OF_THE_ANSWER = ("outcome", "reason", "substitute")


class PlainResults:
    """Results of a tool that is called by plain arguments: whatever it returns."""

    def failed(self, result: Any) -> bool:
        """Nothing says so."""
        return False

    def passes(self, error: BaseException) -> bool:
        """Whether an error ends or steers the run."""
        return passes(error)

    def of_failure(self, call: ToolCall, failure: ToolFailure) -> Any:
        """There is no result that says so.

        Raises:
            ToolFailure: the failure.
        """
        raise failure

    def of_value(self, call: ToolCall, value: Any) -> Any:
        """The value itself."""
        return value

    def mark(self, result: Any, run: ToolRun) -> Any:
        """A plain value has no place for it."""
        return result


class NotedResults(MessageResults):
    """The same for one call of a tool that may be substituted.

    Attributes:
        run: how the call went, if something answered in place of the tool.
    """

    def __init__(self) -> None:
        super().__init__()
        self.run: ToolRun | None = None

    def mark(self, result: Result, run: ToolRun) -> Result:
        """Note it, too."""
        self.run = run
        return super().mark(result, run)
