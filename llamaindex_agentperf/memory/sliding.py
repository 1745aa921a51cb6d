"""A memory that shows a window of the conversation, which the provider's prompt cache survives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.llm import LLM
from pydantic import Field, PrivateAttr

from agentperf_core.accounting import TokenCounter
from agentperf_core.context import Recalled, SlidingWindow, WindowSettings
from agentperf_core.errors import ConfigError, require_callable, require_instance
from agentperf_core.flow import Flow, arun, run
from llamaindex_agentperf._fields import require_fields
from llamaindex_agentperf._summaries import counter_of
from llamaindex_agentperf._windows import (
    Oversize,
    Pin,
    Recalling,
    core_options,
    core_recall,
    saved_recall,
)
from llamaindex_agentperf.memory._kept import KeptMemory
from llamaindex_agentperf.memory._talk import Talk
from llamaindex_agentperf.profiles import model_profile

__all__ = ["SlidingWindowMemory"]

DEFAULT_TOKEN_LIMIT = 30_000
_OF_CONTEXT = 0.75  # as in `ChatMemoryBuffer`: the rest is for tools and the answer


class SlidingWindowMemory(KeptMemory):
    """A drop-in for `ChatMemoryBuffer` and `Memory`: keeps everything, shows what fits.

    Nothing is cut until the window is full; then it is cut down to `low` in one step, on the
    borders of turns: old tool results are cleared first, then the oldest turns dropped, then the
    middle of one long turn is left out. Between two cuts every prompt begins with the one before,
    so that the provider's prompt cache finds it. A tool call and its results stay together; calls,
    their arguments and reasoning are counted; the system prompt and the last question stay in.

    With `recall`, what has left the window is searched when the user asks for something, and the
    best of it is shown behind the question, for this turn only; it is never put into the memory.

    Every method has an awaited form of its own that blocks nobody. The memory lives in a workflow's
    `Context` as JSON, messages included; functions (`pin`, `oversize`, `counter`, those of
    `recall`) are not saved, and are given again as keywords of `from_dict`.

    Args:
        token_limit: what the messages may cost; this or `message_limit`.
        message_limit: how many messages there may be.
        low: share of the room that is left full by a cut.
        reserve: tokens (or messages) kept free for what stands beside the conversation.
        keep_results: how many of the latest tool results are never cleared.
        recall: `"auto"` brings back what a question needs, `"always"` looks after everything that
            the user says, `"tool"` leaves it to the model (see `recall_tool`); or a
            `RecallSettings`. Dates are read from `additional_kwargs["date"]` unless it says where.
        model: name of the model whose tokens are counted; default gpt-4o.
        chat_history: the messages so far.
        pin: which messages are never cut.
        oversize: what is done with a message that is too large by itself, see `Oversize`.
        counter: counts tokens in place of the model's.

    Raises:
        ConfigError: if there is not exactly one bound, or a value cannot mean anything.

    Example:
        >>> memory = SlidingWindowMemory.from_defaults(token_limit=60)
        >>> for number in range(9):
        ...     memory.put(ChatMessage(role="user", content=f"number {number}"))
        >>> [message.content for message in memory.get()][-1], len(memory.get_all())
        ('number 8', 9)
        >>> len(memory.get()) < 9
        True
    """

    token_limit: int | None = Field(default=None, description="What the messages may cost.")
    message_limit: int | None = Field(default=None, description="How many there may be.")
    low: float = Field(default=0.6, description="Share of the room that a cut leaves full.")
    reserve: int = Field(default=0, description="Kept free for what stands beside.")
    keep_results: int = Field(default=3, description="Latest tool results that stay.")
    recall: dict[str, Any] | None = Field(default=None, description="What is brought back.")
    model: str | None = Field(default=None, description="Whose tokens are counted.")
    _given: dict[str, Any] = PrivateAttr(default_factory=dict[str, Any])
    _talk: Talk | None = PrivateAttr(default=None)

    def __init__(
        self,
        *,
        recall: Recalling = None,
        pin: Pin = None,
        oversize: Oversize = "cut",
        counter: TokenCounter | None = None,
        **fields: Any,
    ) -> None:
        require_fields(type(self), fields)
        settings = core_recall(recall)
        saved = None if settings is None else saved_recall(settings)
        merged: dict[str, Any] = {"recall": saved, **fields}
        super().__init__(**merged)
        self._given = {"counter": counter, "recall": settings, **core_options(pin, oversize)}
        self._own()  # settings that mean nothing shall not wait for the first call

    @classmethod
    def class_name(cls) -> str:
        """Stable name in serialised form."""
        return "agentperf_sliding_window_memory"

    @classmethod
    def from_defaults(  # pyright: ignore[reportIncompatibleMethodOverride] - as all of LlamaIndex's memories do
        cls,
        chat_history: Sequence[ChatMessage] | None = None,
        llm: LLM | None = None,
        token_limit: int | None = None,
        tokenizer_fn: Callable[[str], Sequence[Any]] | None = None,
        **options: Any,
    ) -> SlidingWindowMemory:
        """Make one as `ChatMemoryBuffer` is made.

        Args:
            chat_history: the messages so far.
            llm: the model: the limit is three quarters of its context, and its tokens are counted.
            token_limit: the limit, where it is another.
            tokenizer_fn: counts a text's tokens in place of the model's tokenizer.
            options: other arguments of the class.
        """
        require_instance(LLM, "give token_limit= where there is none", llm=llm)
        require_callable("it takes a text and returns its tokens", tokenizer_fn=tokenizer_fn)
        if llm is not None:
            profile = model_profile(llm)
            options.setdefault("model", profile.name)
            context = profile.context_tokens or llm.metadata.context_window
            if token_limit is None and options.get("message_limit") is None:
                token_limit = int(context * _OF_CONTEXT)
        if tokenizer_fn is not None:
            options["counter"] = counter_of(tokenizer_fn, "")
        if token_limit is None and options.get("message_limit") is None:
            token_limit = DEFAULT_TOKEN_LIMIT
        return cls(token_limit=token_limit, chat_history=[*(chat_history or ())], **options)

    @property
    def record(self) -> dict[str, Any]:
        """What the last `get` did: tokens, messages left out, cuts, repairs, what was recalled."""
        return self._own().record

    def get(
        self,
        input: str | ChatMessage | None = None,  # noqa: A002 - the framework's own signature
        initial_token_count: int = 0,
        **kwargs: Any,
    ) -> list[ChatMessage]:
        """What to show the model now.

        Args:
            input: what is asked, for recall; default what the user said last.
            initial_token_count: tokens of the rest of the request. If it leaves less than an eighth
                of the limit, the conversation gets that eighth, and `record` says `"short_by"`.
            kwargs: not used.

        Raises:
            ContextOverflow: if what must stay is larger than the limit.
        """
        return run(self._look(input, initial_token_count))

    async def aget(
        self,
        input: str | ChatMessage | None = None,  # noqa: A002 - the framework's own signature
        initial_token_count: int = 0,
        **kwargs: Any,
    ) -> list[ChatMessage]:
        """Like `get`."""
        return await arun(self._look(input, initial_token_count))

    def find(self, question: str, *, max_tokens: int) -> Flow[Recalled | None]:
        """Search what is not shown any more.

        Args:
            question: what is asked.
            max_tokens: what the found text may cost.

        Raises:
            ConfigError: if this memory recalls nothing.
        """
        if self.recall is None:
            msg = "only a memory with recall= can be searched, got recall=None; give recall='tool'"
            raise ConfigError(msg)
        return self._own().find(question, max_tokens)

    def _look(self, asked: str | ChatMessage | None, beside: int) -> Flow[list[ChatMessage]]:
        question = asked.content if isinstance(asked, ChatMessage) else asked
        return self._own().look(question or None, beside)

    def _own(self) -> Talk:
        private = self.__pydantic_private__ or {}
        talk: Talk | None = private.get("_talk")
        if talk is None:  # new, or loaded from a pickle, which has no windows
            self._talk = talk = Talk(self._window(private.get("_given") or {}), self.chat_history)
        return talk

    def _window(self, given: dict[str, Any]) -> SlidingWindow:
        counter = given.get("counter") or counter_of(None, self.model or "")
        settings = WindowSettings(
            max_tokens=self.token_limit,
            max_messages=self.message_limit,
            low=self.low,
            reserve=self.reserve,
            keep_results=self.keep_results,
            counter=counter,
            pin=given.get("pin"),
            oversize=given.get("oversize", "cut"),
        )
        recall = given.get("recall") or core_recall(self.recall)
        return SlidingWindow(settings, recall=recall, conversations=1)


SlidingWindowMemory.__module__ = "llamaindex_agentperf"
