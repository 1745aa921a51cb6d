"""A window with a summary around the model calls of an agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NotRequired, cast

from langchain.agents.middleware import AgentState
from langchain.agents.middleware.types import ExtendedModelResponse, PrivateStateAttr
from langgraph.types import Command

from agentperf_core.accounting import TokenCounter
from agentperf_core.context import TrimmerPool, trim_settings
from agentperf_core.flow import Flow
from langchain_agentperf._definitions import format_definitions, tool_definitions
from langchain_agentperf._messages import from_core, to_core
from langchain_agentperf._summaries import Model, exact_counter, summarizer_of, windowed
from langchain_agentperf._windows import marks_of, reader
from langchain_agentperf.middleware._around_model import (
    AroundModel,
    Request,
    Response,
    noted,
    sent,
)

__all__ = ["SummaryTrimMiddleware"]

_KEY = "agentperf_summary"


class _SummaryState(AgentState[Any]):
    """The agent's state with the summaries of its history."""

    agentperf_summary: NotRequired[Annotated[dict[str, Any], PrivateStateAttr]]


class SummaryTrimMiddleware(AroundModel):
    """Shows the model a window of the history, and a summary of what left it.

    The window is cut seldom and deep, on borders of turns, so that the prompt cache of the provider
    keeps finding the beginning of the prompt. The summary is written beside the agent, after a
    model call, of what the next cut will drop, and takes its place at that cut: no call waits for
    it. The history itself stays in the agent's state, and so do the summaries; a checkpointer
    brings both back. What the summariser is asked is neither streamed nor seen by the callbacks of
    the run.

    Each answer says in `response_metadata["agentperf"]["trimmed"]` what was shown: tokens, how many
    messages were left out, the summary's coverage, tokens and cost, and why the last one failed.

    Args:
        model: who summarises: a chat model, its name, or a function of core messages (see
            `Summarize`); `None` to drop what leaves the window.
        max_tokens: what a request may cost: system prompt, tools, summary and history. Leave room
            for the answer with `reserve`.
        keep_turns: how many turns a cut leaves; default what makes 60 % of the room (`low`).
        summary_tokens: what a summary may cost in the prompt; default 512, or a quarter of what
            there is room for, if that is less.
        background: whether summaries are written beside; without it, the call that cuts waits.
        timeout_s: seconds that one call of the summariser may take.
        counter: counts tokens; default OpenAI's `o200k_base`.
        **options: further fields of `WindowSettings` and `SummarySettings`, such as `low`,
            `reserve`, `pin`, `ahead` and `chunk_tokens`; `max_messages` instead of `max_tokens`.

    Raises:
        ConfigError: if a number cannot mean anything, or an option does not exist.

    Example:
        >>> from langchain.agents import create_agent
        >>> from langchain_core.language_models import FakeListChatModel
        >>> model = FakeListChatModel(responses=["Go on."])
        >>> agent = create_agent(model, middleware=[SummaryTrimMiddleware(model, max_tokens=4000)])
        >>> answer = agent.invoke({"messages": ["Hello!"]})["messages"][-1]
        >>> answer.response_metadata["agentperf"]["trimmed"]["left_out"]
        0
    """

    state_schema = _SummaryState

    def __init__(
        self,
        model: Model,
        *,
        max_tokens: int | None = None,
        keep_turns: int | None = None,
        summary_tokens: int | None = None,
        background: bool = True,
        timeout_s: float = 60.0,
        counter: TokenCounter | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        counter = exact_counter(counter)
        window, summary = trim_settings(
            summarizer_of(model, counter),
            max_tokens=max_tokens,
            keep_turns=keep_turns,
            summary_tokens=summary_tokens,
            background=background,
            timeout_s=timeout_s,
            counter=counter,
            **windowed(options),
        )
        self._pool = TrimmerPool(window, summary)
        self._counter = counter

    def _call(self, request: Request, handler: Callable[[Request], Any]) -> Flow[Response]:
        state = cast("Mapping[str, Any]", request.state)
        saved = cast("Mapping[str, Any] | None", state.get(_KEY))
        trimmer = self._pool.follow(
            marks_of(request.messages),
            reader(request.messages),
            beside=self._beside(request),
            state=saved,
        )
        shown = yield from trimmer.looked()
        messages: list[Any] = [from_core(message) for message in shown.messages]
        answer = yield from sent(request.override(messages=messages), handler)
        yield from trimmer.work()
        response = noted(answer, "trimmed", shown.record())
        now = trimmer.state()
        if now == saved or (saved is None and not any(now.values())):
            return response
        extended = ExtendedModelResponse(response, Command(update={_KEY: now}))
        return cast("Response", extended)  # the agent takes both

    def _beside(self, request: Request) -> int:
        """What is sent with the messages: system prompt, tools, response format."""
        counter, system = self._counter, request.system_message
        tools = [
            *tool_definitions(request.tools),
            *format_definitions(request.response_format),
        ]
        spoken = 0 if system is None else counter.count_message(to_core(system))
        return spoken + counter.count_tools(tools) + counter.chat.reply_priming


SummaryTrimMiddleware.__module__ = "langchain_agentperf"
