"""What the tools that wrap a tool have in common: they look like it, and call it their own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, cast

from llama_index.core.tools import (
    AsyncBaseTool,
    BaseTool,
    FunctionTool,
    ToolMetadata,
    ToolOutput,
    adapt_to_async_tool,
)

from agentperf_core.errors import ConfigError, require_instance
from agentperf_core.flow import Flow, arun, run
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import ToolExecutor
from llamaindex_agentperf._signatures import with_signature
from llamaindex_agentperf.tools._arguments import state_of
from llamaindex_agentperf.tools._sharing import Sharing

__all__ = ["Wrapped", "WrappedTool", "made", "unwrapped"]


class Wrapped(NamedTuple):
    """What a wrapper holds.

    Attributes:
        tool: the wrapped tool.
        policy: what is declared of it; `None` if nothing is known.
        sharing: how its calls share results.
        executor: who runs them.
    """

    tool: BaseTool
    policy: ToolPolicy | None = None
    sharing: Sharing | None = None
    executor: ToolExecutor | None = None


def made(tool: BaseTool | Callable[..., Any]) -> BaseTool:
    """The tool itself, or the one that LlamaIndex makes of a function.

    Raises:
        ConfigError: if it is neither.
    """
    if not callable(cast("object", tool)):
        msg = f"a tool is a LlamaIndex tool or a function, got {tool!r}; give one of these"
        raise ConfigError(msg)
    return tool if isinstance(tool, BaseTool) else FunctionTool.from_defaults(tool)


class WrappedTool(FunctionTool):
    """A `FunctionTool` with the wrapped tool's metadata, and all its attributes.

    So agents pass it their context and honour `return_direct`. Classes say in `_flow` what a call
    is.

    Args:
        inner: the wrapped tool.
        policy: what is declared of it.
    """

    def __init__(self, inner: BaseTool, policy: ToolPolicy) -> None:  # pyright: ignore[reportMissingSuperCall] - the state is that of the wrapped tool
        require_instance(ToolPolicy, "declare what the tool does", policy=policy)
        vars(self).update(state_of(inner))
        self._inner: AsyncBaseTool = adapt_to_async_tool(inner)
        self._policy = policy

    @classmethod
    def from_defaults(cls, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG003 - the framework's own signature
        """Not there: wrap the tool that `FunctionTool.from_defaults(...)` makes."""
        msg = (
            f"a {cls.__name__} wraps a tool, got from_defaults of {args!r}; "
            f"write {cls.__name__}(FunctionTool.from_defaults(...), ...)"
        )
        raise ConfigError(msg)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._inner, name)

    @property
    def metadata(self) -> ToolMetadata:
        """The wrapped tool's."""
        return self._inner.metadata

    @property
    def policy(self) -> ToolPolicy:
        """What is declared of the tool."""
        return self._policy

    @with_signature
    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Call the tool as this class does; arguments are the wrapped tool's."""
        return run(self._flow(args, kwargs))

    @with_signature
    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Call the tool as this class does; arguments are the wrapped tool's."""
        return await arun(self._flow(args, kwargs))

    def _flow(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Flow[ToolOutput]:
        raise NotImplementedError

    def _wrapped(self) -> Wrapped:
        """What another wrapper takes over from this one."""
        return Wrapped(self._inner, self._policy)


def unwrapped(tool: BaseTool) -> Wrapped:
    """The tool inside a wrapper of ours, so that no call goes through two of them."""
    return tool._wrapped() if isinstance(tool, WrappedTool) else Wrapped(tool)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - our own
