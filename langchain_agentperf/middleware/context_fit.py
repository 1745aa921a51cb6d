"""Fitting every model call of an agent to what the model can take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentperf_core.accounting import ModelRegistry, TokenCounter
from agentperf_core.context import ContextFitter, Fitted
from agentperf_core.context.telling import announce
from agentperf_core.flow import Flow
from langchain_agentperf._definitions import format_definitions, tool_definitions
from langchain_agentperf._messages import from_core, to_core
from langchain_agentperf._windows import Oversize, Pin, core_options, marks_of, reader
from langchain_agentperf.middleware._around_model import (
    AroundModel,
    Request,
    Response,
    noted,
    sent,
)
from langchain_agentperf.profiles import model_profile

__all__ = ["ContextFitMiddleware"]


class ContextFitMiddleware(AroundModel):
    """Makes every request of an agent fit the model that it goes to.

    System prompt, tool schemas, response format, history and the room for the answer are counted
    together, against the context that the model really has, as its profile says; put this behind
    middleware that changes any of them, or the model. What is cut is cut as in
    `SlidingWindowMiddleware`, seldom and deep. A model whose context nobody knows gets everything,
    and the record says `context_tokens: None`.

    The state of the agent is not written. What was removed is in
    `response_metadata["agentperf"]["context"]` of the answer, and on the event bus as a decision of
    the room `"context"`.

    Args:
        context_tokens: what the model can take; default what its profile says.
        reserve_output: tokens kept free for the answer; more, if the model is set to longer ones.
        low: share of the room that is left full by a cut.
        keep_results: how many of the latest tool results are never cleared.
        pin: which messages are never cut.
        oversize: what is done with a message that is too large by itself, see `Oversize`.
        registry: where profiles of models are kept; your overrides in it win.
        counter: counts tokens; default that of the model.

    Raises:
        ConfigError: if a value cannot mean anything.

    Example:
        >>> from langchain.agents import create_agent
        >>> from langchain_core.language_models import FakeListChatModel
        >>> fit = ContextFitMiddleware(context_tokens=300, reserve_output=100)
        >>> agent = create_agent(FakeListChatModel(responses=["Yes."]), middleware=[fit])
        >>> history = [("user" if n % 2 == 0 else "ai", "word " * 20) for n in range(21)]
        >>> answer = agent.invoke({"messages": history})["messages"][-1]
        >>> record = answer.response_metadata["agentperf"]["context"]
        >>> record["tokens"] <= 200, record["left_out"] > 10
        (True, True)
    """

    def __init__(
        self,
        *,
        context_tokens: int | None = None,
        reserve_output: int = 1024,
        low: float = 0.6,
        keep_results: int = 3,
        pin: Pin = None,
        oversize: Oversize = "cut",
        registry: ModelRegistry | None = None,
        counter: TokenCounter | None = None,
    ) -> None:
        super().__init__()
        self._registry = registry if registry is not None else ModelRegistry()
        self._reserve_output = reserve_output
        self._fitter = ContextFitter(
            context_tokens=context_tokens,
            reserve_output=reserve_output,
            registry=self._registry,
            counter=counter,
            low=low,
            keep_results=keep_results,
            **core_options(pin, oversize),
        )

    def _call(self, request: Request, handler: Callable[[Request], Any]) -> Flow[Response]:
        model = model_profile(request.model, self._registry).name
        yield from self._fitter.ready(model)
        record = (fitted := self._fitted(request, model)).record()
        announce(record)
        shown: list[Any] = [from_core(message) for message in fitted.messages]
        response = yield from sent(request.override(messages=shown), handler)
        return noted(response, "context", record)

    def _fitted(self, request: Request, model: str | None) -> Fitted:
        system = request.system_message
        tools = tool_definitions(request.tools)
        return self._fitter.follow(
            marks_of(request.messages),
            reader(request.messages),
            tools=[*tools, *format_definitions(request.response_format)],
            model=model,
            beside=[to_core(system)] if system is not None else (),
            output=longest_answer(request),
        )


def longest_answer(request: Request) -> int | None:
    """The longest answer that a model is set to, `None` if it is not."""
    given = request.model_settings.get("max_tokens")
    if given is None:
        about = request.model._get_ls_params()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - see `model_profile`
        given = about.get("ls_max_tokens")
    return given if isinstance(given, int) else None
