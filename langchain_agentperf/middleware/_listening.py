"""The hook around an agent's model call, for the middleware that needs it.

Apart, because LangChain puts two changes of thread around every hook of an awaited model call, also
around one that does nothing, and asks only the class of a middleware whether it has one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest

from agentperf_core.flow import Step, arun, run
from langchain_agentperf._tools.early import EarlyTools

__all__ = ["listen"]


class _Listening(AgentMiddleware[Any, Any, Any]):
    """Listens to the model for tools that may start early."""

    listens_for: EarlyTools

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Any]
    ) -> Any:
        """Listen to the model. From `AgentMiddleware`."""
        return run(self.listens_for.around(request, Step(handler, handler, request)))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[Any]]
    ) -> Any:
        """Like `wrap_model_call`. From `AgentMiddleware`."""
        return await arun(self.listens_for.around(request, Step(handler, handler, request)))


@cache
def _kind(kind: type[AgentMiddleware[Any, Any, Any]]) -> Any:
    """The same class with the hook; behind its own, so that a hook of a subclass goes first."""
    bases: Any = (kind, _Listening)
    return type(kind.__name__, bases, {"__doc__": kind.__doc__, "__module__": kind.__module__})


def listen(middleware: AgentMiddleware[Any, Any, Any], early: EarlyTools) -> None:
    """Give a middleware the hook.

    Args:
        middleware: the middleware, which has none.
        early: starts the tools.
    """
    made: Any = middleware
    made.__class__ = _kind(type(middleware))
    made.listens_for = early
