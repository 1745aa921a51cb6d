"""Histories for `RunnableWithMessageHistory` that show a window of another history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage

from agentperf_core.accounting import TokenCounter
from agentperf_core.cache.conversations.given import require_messages
from agentperf_core.context import SlidingWindow, Trimmed, TrimmerPool, trim_settings
from agentperf_core.errors import require_instance
from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.types import Message
from langchain_agentperf._messages import from_core
from langchain_agentperf._summaries import Model, exact_counter, summarizer_of, windowed
from langchain_agentperf._windows import marks_of, reader

__all__ = ["SummarizingChatMessageHistory", "WindowedChatMessageHistory"]


class _Shown(BaseChatMessageHistory):
    """Keeps all messages in another history, and shows what `_view` makes of them."""

    def __init__(self, history: BaseChatMessageHistory | None) -> None:
        super().__init__()
        require_instance(
            BaseChatMessageHistory, "leave it out to keep it in memory", history=history
        )
        self.history = history if history is not None else _InMemory()

    @property
    def messages(self) -> list[BaseMessage]:  # pyright: ignore[reportIncompatibleVariableOverride] - a property also in LangChain's own histories
        """What a model is to be shown."""
        return run(self._read())

    async def aget_messages(self) -> list[BaseMessage]:
        """Like `messages`."""
        return await arun(self._read())

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add to the whole history.

        Raises:
            ConfigError: if these are no messages: they would stay, and no reading would succeed.
        """
        self.history.add_messages(require_messages(BaseMessage, messages))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Like `add_messages`."""
        await self.history.aadd_messages(require_messages(BaseMessage, messages))

    def clear(self) -> None:
        """Forget the whole history."""
        self.history.clear()

    async def aclear(self) -> None:
        """Like `clear`."""
        await self.history.aclear()

    def _read(self) -> Flow[list[BaseMessage]]:
        history = self.history
        found = yield from Step(lambda: history.messages, history.aget_messages)
        shown = yield from self._view(found)
        return [from_core(message) for message in shown]

    def _view(self, found: Sequence[BaseMessage]) -> Flow[Sequence[Message]]:
        raise NotImplementedError


class _InMemory(BaseChatMessageHistory):
    """LangChain's own warns of its end at the first use."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[BaseMessage] = []

    async def aget_messages(self) -> list[BaseMessage]:
        return self.messages

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        self.messages.extend(messages)

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        self.messages.extend(messages)

    def clear(self) -> None:
        self.messages = []

    async def aclear(self) -> None:
        self.messages = []


class WindowedChatMessageHistory(_Shown):
    """A window of another history, cut seldom and deep so that the prompt's beginning stays.

    For programs that still use `RunnableWithMessageHistory`; agents take a middleware.

    Args:
        history: where the messages are kept, all of them; default in memory.
        max_tokens: what the shown messages may cost; or `max_messages` in `options`.
        counter: counts tokens; default OpenAI's `o200k_base`.
        **options: further fields of `WindowSettings`, such as `keep_turns`, `low` and `reserve`.

    Raises:
        ConfigError: if a number cannot mean anything, or an option does not exist.

    Example:
        >>> history = WindowedChatMessageHistory(max_messages=4)
        >>> for number in range(5):
        ...     history.add_user_message(str(number))
        >>> [message.content for message in history.messages]
        ['3', '4']
    """

    def __init__(
        self,
        history: BaseChatMessageHistory | None = None,
        *,
        max_tokens: int | None = None,
        counter: TokenCounter | None = None,
        **options: Any,
    ) -> None:
        super().__init__(history)
        counter = exact_counter(counter)
        options = windowed({**options, "max_tokens": max_tokens, "counter": counter})
        window, _ = trim_settings(None, **options)
        self._window = SlidingWindow(window, conversations=1)

    def _view(self, found: Sequence[BaseMessage]) -> Flow[Sequence[Message]]:
        view = yield from self._window.show(marks_of(found), reader(found))
        return view.messages


class SummarizingChatMessageHistory(_Shown):
    """A window of another history with a summary of what left it.

    For programs that still use `RunnableWithMessageHistory`; agents take `SummaryTrimMiddleware`,
    where it is said when summaries are written. Here they are begun when the messages are read.

    Where histories are made anew for every call, as `RunnableWithMessageHistory` does it, let
    `per_session` make them: it remembers what was summarised.

    Args:
        model: who summarises: a chat model, its name, or a function of core messages (see
            `Summarize`); `None` to drop what leaves the window.
        history: where the messages are kept, all of them; default in memory.
        max_tokens: what the shown messages may cost, the summary among them.
        keep_turns: how many turns a cut leaves; default what makes 60 % of the room (`low`).
        counter: counts tokens; default OpenAI's `o200k_base`.
        **options: further fields of `WindowSettings` and `SummarySettings`, such as
            `summary_tokens`, `background` and `timeout_s`.

    Attributes:
        shown: what was read last, with the summary and its coverage; `None` before.

    Raises:
        ConfigError: if a number cannot mean anything, or an option does not exist.

    Example:
        >>> from langchain_core.language_models import FakeListChatModel
        >>> model = FakeListChatModel(responses=["They count."])
        >>> history = SummarizingChatMessageHistory(model, max_messages=5, background=False)
        >>> for number in range(5):
        ...     history.add_user_message(str(number))
        >>> [message.content.splitlines()[-1] for message in history.messages]
        ['They count.', '3', '4']
    """

    def __init__(
        self,
        model: Model,
        history: BaseChatMessageHistory | None = None,
        *,
        max_tokens: int | None = None,
        keep_turns: int | None = None,
        counter: TokenCounter | None = None,
        **options: Any,
    ) -> None:
        options |= {"max_tokens": max_tokens, "keep_turns": keep_turns}
        self._begin(history, _pool_of(model, counter, **options))

    def _begin(
        self, history: BaseChatMessageHistory | None, pool: TrimmerPool, key: str | None = None
    ) -> None:
        _Shown.__init__(self, history)
        self._pool = pool
        self._key = key
        self.shown: Trimmed | None = None

    @classmethod
    def per_session(
        cls,
        histories: Callable[[str], BaseChatMessageHistory],
        model: Model,
        *,
        counter: TokenCounter | None = None,
        **options: Any,
    ) -> Callable[[str], SummarizingChatMessageHistory]:
        """A function of the session's id for `RunnableWithMessageHistory`.

        Args:
            histories: makes the history in which the messages of a session are kept.
            model: see the class; so are the others.
            counter: see the class.
            **options: see the class.

        Raises:
            ConfigError: see the class.

        Example:
            >>> from langchain_core.language_models import FakeListChatModel
            >>> kept = WindowedChatMessageHistory(max_messages=100)
            >>> model = FakeListChatModel(responses=["They count."])
            >>> history = SummarizingChatMessageHistory.per_session(
            ...     lambda session_id: kept, model, max_tokens=4000)
            >>> history("session-1").messages
            []
        """
        pool = _pool_of(model, counter, **options)
        return lambda session_id: _OfSession(histories(session_id), pool, session_id)

    def _view(self, found: Sequence[BaseMessage]) -> Flow[Sequence[Message]]:
        marks, read = marks_of(found), reader(found)
        self.shown = yield from self._pool.before_question(marks, read, key=self._key)
        return self.shown.messages


class _OfSession(SummarizingChatMessageHistory):
    """One of many that share what was summarised."""

    def __init__(self, history: BaseChatMessageHistory, pool: TrimmerPool, key: str) -> None:
        self._begin(history, pool, key)


def _pool_of(model: Model, counter: TokenCounter | None, **options: Any) -> TrimmerPool:
    counter = exact_counter(counter)
    options = windowed({**options, "counter": counter})
    window, summary = trim_settings(summarizer_of(model, counter), **options)
    return TrimmerPool(window, summary)


SummarizingChatMessageHistory.__module__ = "langchain_agentperf"
WindowedChatMessageHistory.__module__ = "langchain_agentperf"
