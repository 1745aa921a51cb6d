"""A sliding window over an agent's conversation, that the provider's prompt cache survives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool

from agentperf_core.accounting import TokenCounter
from agentperf_core.context import SlidingWindow, WindowSettings
from agentperf_core.context.recall import Recalled
from agentperf_core.context.telling import announce
from agentperf_core.errors import ConfigError
from agentperf_core.flow import Flow
from langchain_agentperf._messages import from_core, to_core
from langchain_agentperf._summaries import exact_counter
from langchain_agentperf._windows import (
    Oversize,
    Pin,
    Recalling,
    core_options,
    core_recall,
    marks_of,
    reader,
)
from langchain_agentperf.middleware._around_model import (
    AroundModel,
    Request,
    Response,
    noted,
    sent,
)
from langchain_agentperf.tools.recall import recall_tool

__all__ = ["SlidingWindowMiddleware"]


class SlidingWindowMiddleware(AroundModel):
    """Shows the model a window of the conversation instead of all of it.

    Nothing is cut until the window is full; then it is cut down to `low` in one step, on the
    borders of turns: old tool results are cleared first, then the oldest turns dropped, then the
    middle of one long turn is left out. Between two cuts every prompt begins with the one before,
    so that the provider's prompt cache finds it; a window that moves with every turn, as
    `trim_messages` makes it, has the prompt read anew each time. A tool call and its results stay
    together, and the system prompt, what is pinned and the last question stay in.

    With `recall`, what has left the window is searched when the user asks for something, and the
    best of it is shown behind the question, for this turn only.

    The state of the agent is not written; the checkpoint keeps the whole history. What was done is
    in `response_metadata["agentperf"]["window"]` of the answer, and on the event bus.

    Args:
        max_tokens: what system prompt and messages may cost; this or `max_messages`. Tool schemas
            are not counted: leave room for them with `reserve`, or use `ContextFitMiddleware`.
        max_messages: how many messages there may be, without the system prompt.
        low: share of the room that is left full by a cut.
        reserve: tokens (or messages) kept free for what stands beside the conversation.
        keep_results: how many of the latest tool results are never cleared.
        pin: which messages are never cut.
        oversize: what is done with a message that is too large by itself, see `Oversize`.
        recall: `"auto"` brings back what a question needs, `"always"` looks after everything that
            the user says, `"tool"` gives the model a tool to search for itself; or a
            `RecallSettings`. Dates are read from `additional_kwargs["date"]` unless it says where.
        counter: counts tokens; default that of gpt-4o.
        conversations: how many are followed at once; others are read anew.

    Raises:
        ConfigError: if there is not exactly one bound, or a value cannot mean anything.

    Example:
        >>> from langchain.agents import create_agent
        >>> from langchain_core.language_models import FakeListChatModel
        >>> window = SlidingWindowMiddleware(max_messages=4)
        >>> agent = create_agent(FakeListChatModel(responses=["Yes."]), middleware=[window])
        >>> history = [("user" if n % 2 == 0 else "ai", str(n)) for n in range(9)]
        >>> answer = agent.invoke({"messages": history})["messages"][-1]
        >>> answer.response_metadata["agentperf"]["window"]["left_out"]
        8
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings, each with a default
        self,
        *,
        max_tokens: int | None = None,
        max_messages: int | None = None,
        low: float = 0.6,
        reserve: int = 0,
        keep_results: int = 3,
        pin: Pin = None,
        oversize: Oversize = "cut",
        recall: Recalling = None,
        counter: TokenCounter | None = None,
        conversations: int = 256,
    ) -> None:
        super().__init__()
        settings = WindowSettings(
            max_tokens=max_tokens,
            max_messages=max_messages,
            low=low,
            reserve=reserve,
            keep_results=keep_results,
            counter=exact_counter(counter),
            **core_options(pin, oversize),
        )
        recalling = core_recall(recall)
        self.window = SlidingWindow(settings, recall=recalling, conversations=conversations)
        self.tools: Sequence[BaseTool] = (
            [recall_tool(self)] if recalling is not None and recalling.when == "tool" else []
        )

    def find(
        self, messages: Sequence[BaseMessage], question: str, *, max_tokens: int
    ) -> Flow[Recalled | None]:
        """Search what of a conversation is not in the window any more.

        Args:
            messages: the whole conversation, without the system prompt.
            question: what is asked.
            max_tokens: what the found text may cost.

        Raises:
            ConfigError: if this window recalls nothing.
        """
        if self.window.recall is None:
            msg = "only a window with recall= can be searched, got recall=None; give recall='tool'"
            raise ConfigError(msg)
        return self.window.find(marks_of(messages), reader(messages), question, tokens=max_tokens)

    def _call(self, request: Request, handler: Callable[[Request], Any]) -> Flow[Response]:
        messages, system = request.messages, request.system_message
        settings = self.window.settings
        beside = 0
        if system is not None and settings.in_tokens:
            beside = settings.cost(to_core(system))
        view = yield from self.window.show(marks_of(messages), reader(messages), beside=beside)
        record = view.record()
        announce(record)
        shown: list[Any] = [from_core(message) for message in view.messages]
        response = yield from sent(request.override(messages=shown), handler)
        return noted(response, "window", record)
