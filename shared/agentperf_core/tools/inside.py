"""What a tool that runs right now is known by, to the calls that it makes itself."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import NamedTuple

from agentperf_core.tools.records import ToolRun

__all__ = ["Inside", "begin", "depth", "end", "inside", "leave"]


class Inside(NamedTuple):
    """A call that is under way in this context.

    Attributes:
        held: names of tools and groups whose places it holds, and so do its callers: to wait for
            them would be to wait for ever.
        run: how it goes so far.
        depth: how many calls are around it.
    """

    held: frozenset[str]
    run: ToolRun
    depth: int


_inside: ContextVar[Inside | None] = ContextVar("agentperf_tool_inside", default=None)


def inside() -> Inside | None:
    """The innermost call that is under way in this context; `None` outside of tools."""
    return _inside.get()


def depth() -> int:
    """How many calls are under way in this context, one inside of the other."""
    found = _inside.get()
    return 0 if found is None else found.depth + 1


def begin(held: frozenset[str], run: ToolRun) -> Token[Inside | None]:
    """Note that a call is under way; give the token to `end` in the same context."""
    outer = _inside.get()
    if outer is None:
        return _inside.set(Inside(held, run, 0))
    return _inside.set(Inside(outer.held | held, run, outer.depth + 1))


def end(token: Token[Inside | None]) -> None:
    """Undo `begin`."""
    _inside.reset(token)


def leave() -> None:
    """From here on, this context is outside of any call: what it does is nobody's part."""
    _inside.set(None)
