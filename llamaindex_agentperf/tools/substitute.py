"""`SubstituteTool`: a tool with a light local function to answer in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Unpack

from llama_index.core.tools import BaseTool

from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.errors import ConfigError
from agentperf_core.toolpolicy import Substitute, ToolPolicy, declared
from agentperf_core.tools import ToolExecutor
from llamaindex_agentperf.tools._sharing import Whose
from llamaindex_agentperf.tools._wrapped import made, unwrapped
from llamaindex_agentperf.tools.managed import ManagedTool

__all__ = ["SubstituteTool"]


class SubstituteTool(ManagedTool):
    """A tool, and a light function that answers for some arguments, or when the tool cannot.

    The function takes the tool's arguments by name, must be fast and must not wait; what it raises,
    the tool answers instead. Its outputs look like the tool's, and say in `agentperf["substitute"]`
    why it answered.

    Args:
        tool: any tool, or a function to make one of.
        substitute: the light function, or a `Substitute`, which says the next two itself.
        when: whether it can answer these arguments; without it, only when the tool has failed.
        on_failure: whether it answers, too, when the tool has failed for good or its breaker is
            open.
        policy: what else is declared of the tool, see `ManagedTool`.
        executor: see `ManagedTool`.
        cache: see `ManagedTool`.
        **whose: `tenant`, `session`, `version` and `keep_raw`, see `CachedTool`.

    Raises:
        ConfigError: if the substitute were never used, is given twice, or see `ManagedTool`.

    Example:
        >>> def calculate(a: int, b: int) -> int:
        ...     raise ConnectionError("the calculator is far away")
        >>> tool = SubstituteTool(calculate, lambda a, b: a + b, when=lambda given: given["a"] < 99)
        >>> output = tool.call(a=1, b=2)
        >>> output.content, output.agentperf["substitute"]
        ('3', 'its condition holds')
    """

    def __init__(
        self,
        tool: BaseTool | Callable[..., Any],
        substitute: Substitute | Callable[..., Any],
        *,
        when: Callable[[Mapping[str, Any]], bool] | None = None,
        on_failure: bool = True,
        policy: ToolPolicy | None = None,
        executor: ToolExecutor | None = None,
        cache: ToolResultCache | None = None,
        **whose: Unpack[Whose],
    ) -> None:
        inner = made(tool)
        policy = policy or unwrapped(inner).policy or declared(tool) or ToolPolicy()
        if policy.substitute is not None:
            msg = (
                f"a tool has one substitute, got {substitute!r} beside the policy's "
                f"{policy.substitute!r}; drop one"
            )
            raise ConfigError(msg)
        chosen = Substitute.of(substitute, when=when, on_failure=on_failure)
        policy = replace(policy, substitute=chosen)
        super().__init__(inner, policy=policy, executor=executor, cache=cache, **whose)


SubstituteTool.__module__ = "llamaindex_agentperf"
