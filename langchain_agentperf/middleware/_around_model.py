"""What the middlewares that change a model request share: one flow, driven sync and async."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse

from agentperf_core.flow import Flow, Step, arun, run
from langchain_agentperf.middleware._trace import TRACE

__all__ = ["AroundModel", "Request", "Response", "sent"]

Request: TypeAlias = ModelRequest[Any]
Response: TypeAlias = ModelResponse[Any]


class AroundModel(AgentMiddleware[Any, Any, Any]):
    """A middleware that sends another request than the one it was given.

    The state of the agent is never written: the checkpoint keeps the whole history.
    """

    if TRACE is not None:
        trace_policy = TRACE

    def wrap_model_call(self, request: Request, handler: Callable[[Request], Response]) -> Response:
        """Call the model with what is to be sent. From `AgentMiddleware`."""
        return run(self._call(request, handler))

    async def awrap_model_call(
        self, request: Request, handler: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Like `wrap_model_call`. From `AgentMiddleware`."""
        return await arun(self._call(request, handler))

    def _call(self, request: Request, handler: Callable[[Request], Any]) -> Flow[Response]:
        """One call; for subclasses that have something to do with the answer, too."""
        return (yield from sent((yield from self._asked(request)), handler))

    def _asked(self, request: Request) -> Flow[Request]:
        """What to send in place of `request`."""
        raise NotImplementedError


def sent(request: Request, handler: Callable[[Request], Any]) -> Step[Response]:
    """The call itself; `handler` is a coroutine function if the flow is driven async."""
    return Step(handler, handler, request)
