"""Fitting a whole request to a model: system prompt, tool schemas, history and room for the answer.

A history that fits by itself overflows with ten tool schemas beside it; so everything that is sent
is counted, against the context that the model really has.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agentperf_core.accounting.profiles import ModelRegistry
from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.marks import mark_of
from agentperf_core.context.records import ContextOverflow, Cut
from agentperf_core.context.settings import WindowSettings
from agentperf_core.context.sliding import SlidingWindow
from agentperf_core.context.turns import Repair
from agentperf_core.errors import require_instance, require_number, require_positive
from agentperf_core.flow import Flow, Step
from agentperf_core.types import Message

__all__ = ["ContextFitter", "Fitted"]

_MOST_MODELS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A request that fits, and what was done to make it fit.

    Attributes:
        messages: what to send; unchanged ones are the objects that were given.
        tokens: what the whole request costs: messages, tools and the start of the answer.
        context_tokens: what the model can take; `None` if nobody knows, and nothing was cut.
        left_out: how many of the given messages are not sent.
        cuts: what was done since the conversation was fitted last.
        repairs: what was wrong in it since then.
    """

    messages: tuple[Message, ...]
    tokens: int
    context_tokens: int | None
    left_out: int = 0
    cuts: tuple[Cut, ...] = ()
    repairs: tuple[Repair, ...] = ()

    def record(self) -> dict[str, Any]:
        """Plain JSON data for messages, spans and reports."""
        return {
            "tokens": self.tokens,
            "context_tokens": self.context_tokens,
            "left_out": self.left_out,
            "cuts": [cut.record() for cut in self.cuts],
            "repairs": [repair.kind for repair in self.repairs],
        }


class ContextFitter:
    """Fits requests of any model, at the time of the call.

    The window behind it is cut seldom and deep, see `SlidingWindow`, so that the provider's prompt
    cache keeps finding the beginning of the prompt.

    Args:
        context_tokens: what the model can take; default what its profile says.
        reserve_output: tokens kept free for the answer.
        registry: where profiles of models come from.
        counter: counts tokens; default that of the model.
        options: other fields of `WindowSettings`.

    Raises:
        ConfigError: if a number cannot mean anything, see `WindowSettings`.

    Example:
        >>> words = TokenCounter(lambda text: len(text.split()))
        >>> fitter = ContextFitter(context_tokens=60, reserve_output=20, counter=words)
        >>> history = [Message(role="user", text="word " * 10) for _ in range(9)]
        >>> fitted = fitter.fit(history)
        >>> fitted.tokens <= 40, fitted.left_out
        (True, 8)
    """

    def __init__(
        self,
        *,
        context_tokens: int | None = None,
        reserve_output: int = 1024,
        registry: ModelRegistry | None = None,
        counter: TokenCounter | None = None,
        **options: Any,
    ) -> None:
        require_positive(context_tokens=context_tokens)
        require_instance(ModelRegistry, "leave it out for a new one", registry=registry)
        require_instance(TokenCounter, "use TokenCounter.for_model(...)", counter=counter)
        require_number("leave it out for 1024", whole=True, reserve_output=reserve_output)
        self._context_tokens = context_tokens
        self._reserve_output = reserve_output
        self._registry = registry if registry is not None else ModelRegistry()
        self._counter = counter
        # Checked now, at a size that any model has: a mistake shall not wait for the first call.
        self._options = WindowSettings(
            max_tokens=(context_tokens or 10**9), reserve=reserve_output, **options
        )
        self._windows: dict[str, tuple[TokenCounter, SlidingWindow | None]] = {}
        self._lock = threading.Lock()

    def fit(
        self,
        history: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        model: str | None = None,
        extra: int = 0,
    ) -> Fitted:
        """Fit a request that is given whole; see `follow`."""
        marks = [mark_of(message) for message in history]
        return self.follow(marks, history.__getitem__, tools=tools, model=model, extra=extra)

    def follow(
        self,
        marks: Sequence[Hashable],
        message_at: Callable[[int], Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        model: str | None = None,
        extra: int = 0,
        beside: Sequence[Message] = (),
        output: int | None = None,
    ) -> Fitted:
        """Fit a request whose messages are read only where they are new.

        Args:
            marks: something per message that is equal if and only if the message is the same.
            message_at: the message at a place; the system prompt is one of them.
            tools: OpenAI-style definitions of the tools that are sent with it.
            model: name of the model, for its context and its tokenizer.
            extra: tokens of whatever else is sent.
            beside: messages that are sent whole and in another way, such as a system prompt.
            output: the longest answer that this call may have, if it is longer than usual.

        Raises:
            ContextOverflow: if what must be sent is larger than the model's context.
        """
        counter, sliding = self._window(model or "")
        extra += sum(map(counter.count_message, beside))
        extra += counter.count_tools(tools) + counter.chat.reply_priming
        if sliding is None:
            messages = tuple(message_at(place) for place in range(len(marks)))
            tokens = extra + sum(map(counter.count_message, messages))
            return Fitted(messages=messages, tokens=tokens, context_tokens=None)
        limit = sliding.settings.limit
        longer = max((output or 0) - self._reserve_output, 0)
        taken = self._reserve_output + longer + extra
        if taken >= limit:
            msg = (
                f"tools, system prompt and the room for the answer take {taken} of the "
                f"{limit} tokens that the model has; send fewer tools or lower reserve_output"
            )
            raise ContextOverflow(msg, needed=taken, limit=limit)
        view = sliding.follow(marks, message_at, beside=extra + longer)
        return Fitted(
            messages=view.messages,
            tokens=view.tokens + extra,
            context_tokens=limit,
            left_out=view.left_out,
            cuts=view.cuts,
            repairs=view.repairs,
        )

    def ready(self, model: str | None) -> Flow[None]:
        """Load what a model's tokens are counted with, where that is still to be done.

        It takes a third of a second, in which an event loop would stand still in `follow`.
        """
        if (model or "") not in self._windows:
            yield from Step(self._window, self._awindow, model or "")

    async def _awindow(self, model: str) -> None:
        await asyncio.to_thread(self._window, model)

    def _window(self, model: str) -> tuple[TokenCounter, SlidingWindow | None]:
        with self._lock:
            found = self._windows.get(model)
            if found is None:
                if len(self._windows) >= _MOST_MODELS:
                    self._windows.clear()
                found = self._windows[model] = self._made(model)
            return found

    def _made(self, model: str) -> tuple[TokenCounter, SlidingWindow | None]:
        counter = self._counter
        if counter is None:
            counter = TokenCounter.for_model(model) if model else TokenCounter()
        limit = self._context_tokens
        if limit is None and model:
            limit = self._registry.get(model).context_tokens
        if limit is None:
            return counter, None
        return counter, SlidingWindow(replace(self._options, max_tokens=limit, counter=counter))
