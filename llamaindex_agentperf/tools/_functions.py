"""Which functions a tool calls, for the key of its results."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeGuard

from llama_index.core.tools import BaseTool, FunctionTool

from agentperf_core.cache.toolresults.functions import function_identity

__all__ = ["functions_of", "made_here"]


def functions_of(tool: BaseTool, *, named: bool = False) -> str:
    """The identity of all that a tool calls: sync and async, and what changes its outputs.

    Args:
        tool: any tool.
        named: see `function_identity`.
    """
    if not isinstance(tool, FunctionTool):
        return function_identity(getattr(tool, "call", tool), named=named)
    held = vars(tool)
    found = [held.get(name) for name in ("_real_fn", "_async_fn", "_callback", "_async_callback")]
    names = [function_identity(_inside(f), named=named) for f in found if f is not None]
    return "+".join(dict.fromkeys(names))


def _inside(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that LlamaIndex has made the sync or the async form of, anew for each tool."""
    if made_here(function):
        for cell in function.__closure__ or ():
            if callable(cell.cell_contents):
                return cell.cell_contents
    return function


def made_here(function: object) -> TypeGuard[FunctionType]:
    """Whether LlamaIndex has made this function, the async form of a sync one or the reverse."""
    return isinstance(function, FunctionType) and function.__module__ == FunctionTool.__module__
