"""A window with a summary around the model calls of an agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, NotRequired, cast

from langchain.agents.middleware import AgentState
from langchain.agents.middleware.types import ExtendedModelResponse, PrivateStateAttr
from langchain_core.messages import AIMessage, BaseMessage
from langgraph.types import Command

from agentperf_core.accounting import TokenCounter
from agentperf_core.context import Trimmed, TrimmerPool, trim_settings
from agentperf_core.flow import Flow
from langchain_agentperf._answers import MARK
from langchain_agentperf._beside import Beside
from langchain_agentperf._messages import from_core, mark, to_core
from langchain_agentperf._summaries import Model, exact_counter, summarizer_of
from langchain_agentperf.middleware._around_model import AroundModel, Request, Response, sent

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

    Each answer says in `response_metadata["agentperf"]["context"]` what was shown: tokens, how many
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
        >>> answer.response_metadata["agentperf"]["context"]["left_out"]
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
            **options,
        )
        self._pool = TrimmerPool(window, summary)
        self._beside = Beside(counter)

    def _call(self, request: Request, handler: Callable[[Request], Any]) -> Flow[Response]:
        history = request.messages
        state = cast("Mapping[str, Any]", request.state)
        saved = cast("Mapping[str, Any] | None", state.get(_KEY))
        trimmer = self._pool.follow(
            [mark(message) for message in history],
            lambda place: to_core(history[place]),
            beside=self._beside.of(request),
            state=saved,
        )
        shown = yield from trimmer.looked()
        messages = cast("list[Any]", [from_core(message) for message in shown.messages])
        answer = yield from sent(request.override(messages=messages), handler)
        yield from trimmer.work()
        response = _noted(answer, shown)
        now = trimmer.state()
        if now == saved or (saved is None and not any(now.values())):
            return response
        extended = ExtendedModelResponse(response, Command(update={_KEY: now}))
        return cast("Response", extended)  # the agent takes both


def _noted(response: Response, shown: Trimmed) -> Response:
    """The response, saying what the model was shown."""

    def noted(message: BaseMessage) -> BaseMessage:
        if not isinstance(message, AIMessage):
            return message
        metadata = cast("dict[str, Any]", message.response_metadata)
        ours = {**metadata.get(MARK, {}), "context": shown.record()}
        return message.model_copy(update={"response_metadata": {**metadata, MARK: ours}})

    return replace(response, result=[noted(message) for message in response.result])


SummaryTrimMiddleware.__module__ = "langchain_agentperf"
