"""What the middlewares that change a model request share: one flow, driven sync and async."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias, cast

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage

from agentperf_core.flow import Flow, Step, arun, run
from langchain_agentperf._answers import MARK
from langchain_agentperf.middleware._trace import TRACE

__all__ = ["AroundModel", "Request", "Response", "noted", "sent"]

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


def noted(response: Response, part: str, record: Mapping[str, Any]) -> Response:
    """The response with a record in `response_metadata["agentperf"][part]` of its AI messages.

    They are copies: a model may hand out the same message twice.
    """
    result = [
        _with(one, part, record) if isinstance(one, AIMessage) else one for one in response.result
    ]
    return replace(response, result=result)


def _with(message: AIMessage, part: str, record: Mapping[str, Any]) -> AIMessage:
    metadata = cast("dict[str, Any]", message.response_metadata)
    ours = metadata.get(MARK)
    others = cast("dict[str, Any]", ours) if isinstance(ours, dict) else {}
    update = {"response_metadata": {**metadata, MARK: {**others, part: record}}}
    return message.model_copy(update=update)
