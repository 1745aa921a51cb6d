"""`fit_messages`: what `trim_messages` does, valid, never over, and kind to the prompt cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, overload

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    BaseMessage,
    MessageLikeRepresentation,
)
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import BaseTool

from agentperf_core.accounting import TokenCounter
from agentperf_core.context import ContextFitter
from agentperf_core.context.telling import announce
from agentperf_core.errors import ConfigError, require_number
from agentperf_core.types import Message
from langchain_agentperf._definitions import tool_definitions
from langchain_agentperf._given import messages_of
from langchain_agentperf._messages import from_core
from langchain_agentperf._windows import Oversize, Pin, core_options, marks_of, reader
from langchain_agentperf.profiles import model_profile

__all__ = ["fit_messages"]

Messages: TypeAlias = Sequence[MessageLikeRepresentation] | PromptValue
Counting: TypeAlias = (
    TokenCounter
    | BaseChatModel
    | Callable[[list[BaseMessage]], int]
    | Literal["approximate"]
    | None
)


@overload
def fit_messages(
    messages: None = None,
    *,
    max_tokens: int | None = None,
    token_counter: Counting = None,
    tools: Sequence[BaseTool | Mapping[str, Any]] = (),
    reserve_output: int = 0,
    low: float = 0.6,
    keep_results: int = 3,
    pin: Pin = None,
    oversize: Oversize = "cut",
) -> Runnable[Messages, list[BaseMessage]]: ...
@overload
def fit_messages(
    messages: Messages,
    *,
    max_tokens: int | None = None,
    token_counter: Counting = None,
    tools: Sequence[BaseTool | Mapping[str, Any]] = (),
    reserve_output: int = 0,
    low: float = 0.6,
    keep_results: int = 3,
    pin: Pin = None,
    oversize: Oversize = "cut",
) -> list[BaseMessage]: ...
def fit_messages(  # noqa: PLR0913 - keyword-only settings, each with a default
    messages: Messages | None = None,
    *,
    max_tokens: int | None = None,
    token_counter: Counting = None,
    tools: Sequence[BaseTool | Mapping[str, Any]] = (),
    reserve_output: int = 0,
    low: float = 0.6,
    keep_results: int = 3,
    pin: Pin = None,
    oversize: Oversize = "cut",
) -> list[BaseMessage] | Runnable[Messages, list[BaseMessage]]:
    """Fit messages into a number of tokens; without messages, a runnable that does it.

    Unlike `trim_messages`, the system prompt and the last question always stay, a tool call keeps
    its results, and what comes out is cut seldom and deep, so that one prompt begins with the one
    before. The runnable follows each conversation and reads only what is new in it.

    Args:
        messages: anything that LangChain takes for messages.
        max_tokens: what they may cost; default what `token_counter` can take, if it is a model.
        token_counter: a `TokenCounter`, a model (its tokens are counted), a function of a list of
            messages, or `"approximate"`; default the tokens of gpt-4o.
        tools: what is sent with them, and counted.
        reserve_output: tokens kept free for the answer.
        low: share of the room that is left full by a cut.
        keep_results: how many of the latest tool results are never cleared.
        pin: which messages are never cut.
        oversize: what is done with a message that is too large by itself, see `Oversize`.

    Raises:
        ConfigError: if there is no bound, or a value cannot mean anything.
        ContextOverflow: if what must stay is larger than the bound.

    Example:
        >>> history = [("user" if n % 2 == 0 else "ai", "word " * 20) for n in range(9)]
        >>> len(fit_messages(history, max_tokens=100))
        3
        >>> chain = fit_messages(max_tokens=100) | (lambda fitted: len(fitted))
        >>> chain.invoke(history)
        3
    """
    limit = max_tokens
    if limit is not None:
        require_number("say how large the prompt may be", whole=True, least=1, max_tokens=limit)
    if limit is None and isinstance(token_counter, BaseChatModel):
        limit = model_profile(token_counter).context_tokens
    if limit is None:
        msg = (
            "messages are fitted into max_tokens or into the context of a model, got neither "
            f"from token_counter={token_counter!r}; give max_tokens"
        )
        raise ConfigError(msg)
    fitter = ContextFitter(
        context_tokens=limit,
        reserve_output=reserve_output,
        counter=_counter(token_counter),
        low=low,
        keep_results=keep_results,
        **core_options(pin, oversize),
    )
    definitions = tool_definitions(tools or ())

    def fitted(given: Messages) -> list[BaseMessage]:
        found = messages_of(given)
        fit = fitter.follow(marks_of(found), reader(found), tools=definitions)
        announce(fit.record())
        return [from_core(message) for message in fit.messages]

    return RunnableLambda(fitted, name="fit_messages") if messages is None else fitted(messages)


class _Counting(TokenCounter):
    """Counts messages with a function of LangChain's own kind."""

    def __init__(self, count: Callable[[list[BaseMessage]], int]) -> None:
        super().__init__()
        self._messages = count

    def count_message(self, message: Message) -> int:
        return self._messages([from_core(message)])


def _counter(given: Counting) -> TokenCounter:
    if given is None:
        return TokenCounter.for_encoding()
    if isinstance(given, TokenCounter):
        return given
    if isinstance(given, BaseChatModel):
        return TokenCounter.for_model(model_profile(given).name)
    if given == "approximate":
        return TokenCounter()
    if callable(given):
        return _Counting(given)
    msg = f"token_counter is a TokenCounter, a model, a function or 'approximate', got {given!r}"
    raise ConfigError(msg + "; leave it out for the tokens of gpt-4o")
