"""Prompt compression of an agent: large tool results are made shorter on the way to the model."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage

from agentperf_core.context.compress import Compressor, MessageCompressor, Shortened
from agentperf_core.events import BUS
from agentperf_core.flow import Flow
from agentperf_core.types import Role
from langchain_agentperf._answers import MARK
from langchain_agentperf._compression import compressor_from
from langchain_agentperf._messages import from_core, to_core
from langchain_agentperf.middleware._around_model import AroundModel, Request, Response, sent

__all__ = ["PromptCompressionMiddleware"]


class PromptCompressionMiddleware(AroundModel):
    """Makes large tool results and documents shorter before each model call.

    A message is compressed for what the user had asked when it came, and the same way at every
    later call, so that what was sent is never rewritten and the prompt cache keeps its prefix. The
    agent's state keeps the whole texts. The answer says what was saved, in
    `response_metadata["agentperf"]["compression"]`, if anything was tried.

    Put it before middleware that trims or fits, so that these count what is really sent.

    Args:
        compressor: a core `Compressor`; else one is made of `embeddings` and the options.
        embeddings: an embedding model of LangChain; without one, words alone decide.
        roles: whose messages: `"tool"`, and on request `"user"` and `"system"`.
        skip_tools: tools whose results are never touched.
        **options: settings of `Compressor`; default `ratio=3` and `min_tokens=500`.

    Raises:
        ConfigError: if `compressor` comes together with its own settings, or see `Compressor` and
            `MessageCompressor`.

    Example:
        >>> from langchain.agents import create_agent
        >>> from langchain_core.language_models import FakeListChatModel
        >>> from langchain_core.messages import AIMessage, ToolMessage
        >>> middleware = [PromptCompressionMiddleware(ratio=3, min_tokens=40)]
        >>> agent = create_agent(FakeListChatModel(responses=["30 days"]), middleware=middleware)
        >>> page = "We sell shoes and hats. " * 20 + "Returns take 30 days."
        >>> call = {"name": "search", "args": {}, "id": "c1"}
        >>> said = ["How long do returns take?", AIMessage("", tool_calls=[call])]
        >>> answer = agent.invoke({"messages": [*said, ToolMessage(page, tool_call_id="c1")]})
        >>> answer["messages"][-1].response_metadata["agentperf"]["compression"]["messages"]
        1
    """

    def __init__(
        self,
        compressor: Compressor | None = None,
        *,
        embeddings: Embeddings | None = None,
        roles: Collection[Role] = ("tool",),
        skip_tools: Collection[str] = (),
        **options: Any,
    ) -> None:
        super().__init__()
        if compressor is None:
            options = {"ratio": 3, "min_tokens": 500, **options}
        compressor = compressor_from(compressor, embeddings, options)
        self._messages = MessageCompressor(compressor, roles=roles, skip_tools=skip_tools)

    def _call(self, request: Request, handler: Callable[[Request], Any]) -> Flow[Response]:
        try:
            found = yield from self._messages.shortening([*map(to_core, request.messages)])
            if found.saved:
                messages: Any = [from_core(one) for one in found.messages]
                request = request.override(messages=messages)
        except Exception as error:  # a message of a class of its own; it is sent as it is
            BUS.fault("context.compress.messages", error)
            found = Shortened(())
        response = yield from sent(request, handler)
        return _marked(response, found) if found.changed else response


def _marked(response: Response, found: Shortened) -> Response:
    """The response whose answer says what was made shorter for it."""

    def mark(message: Any) -> Any:
        if not isinstance(message, AIMessage):
            return message
        metadata: dict[str, Any] = message.response_metadata  # pyright: ignore[reportUnknownMemberType]
        ours = {**metadata.get(MARK, {}), "compression": found.record()}
        return message.model_copy(update={"response_metadata": {**metadata, MARK: ours}})

    return replace(response, result=[mark(message) for message in response.result])
