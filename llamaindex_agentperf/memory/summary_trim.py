"""A memory that shows a window with a summary of what left it."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.llm import LLM
from pydantic import Field, PrivateAttr, field_serializer

from agentperf_core.context import SummarizingTrimmer, Trimmed, TrimmerPool
from agentperf_core.flow import Flow, arun, run
from llamaindex_agentperf._fields import require_fields
from llamaindex_agentperf._held import dumped, loaded
from llamaindex_agentperf._messages import from_core
from llamaindex_agentperf._summaries import Counted, Model, Tokenize, dumped_model, given
from llamaindex_agentperf._windows import marks_of, reader
from llamaindex_agentperf.memory._kept import KeptMemory, require_messages
from llamaindex_agentperf.memory._live import Live, options_of

__all__ = ["SummaryTrimMemory"]

_SHARE = 0.75  # of the context, as in LlamaIndex's own memories
_USUAL = 3000


class SummaryTrimMemory(KeptMemory):
    """Keeps a whole conversation; shows a window of it, and a summary of what left the window.

    The window is cut seldom and deep, on borders of turns, so that the prompt cache of the provider
    keeps finding the beginning of the prompt. The summary is written beside the conversation, after
    messages are put, of what the next cut will drop, and takes its place at that cut: nobody waits
    for it. If a summariser fails, is late or says nothing, the messages are kept and tried again.

    Saved as JSON (`to_dict`, a workflow's `Context`) it goes on where it was. In another process,
    a model that LlamaIndex cannot load by its name, or a function, gives way to `Settings.llm`, a
    tokenizer to that of `model_name`, and other functions to the defaults.

    Args:
        token_limit: what the shown messages may cost, the summary among them; `None` where
            `options` bounds their number (`max_messages`).
        llm: who summarises: a model, or a function of core messages (see `Summarize`); `None` to
            drop what leaves the window.
        model_name: whose tokens are counted; default OpenAI's `o200k_base`.
        options: further fields of `WindowSettings` and `SummarySettings`, such as `keep_turns`,
            `summary_tokens`, `background`, `timeout_s` and `low`.
        chat_history: the conversation.
        summaries: as they were saved.
        tokenizer_fn: counts instead, as in LlamaIndex: the tokens of a text.
        live: not to be given: what a memory that was saved and loaded has in common with the one
            that it was, such as a summary that is being written.

    Raises:
        ConfigError: if a number cannot mean anything, or an option does not exist.

    Example:
        >>> from llama_index.core.llms.mock import MockLLM
        >>> memory = SummaryTrimMemory.from_defaults(llm=MockLLM(), token_limit=4000)
        >>> memory.put(ChatMessage("My cat is called Miso."))
        >>> [message.content for message in memory.get()]
        ['My cat is called Miso.']
    """

    token_limit: int | None = Field(default=None, description="What the shown messages may cost.")
    llm: Any = Field(default=None, description="Who summarises.")
    model_name: str = Field(default="", description="Whose tokens are counted.")
    options: dict[str, Any] = Field(default_factory=dict, description="Further settings.")
    summaries: dict[str, Any] = Field(default_factory=dict, description="As they were saved.")
    tokenizer_fn: Tokenize | None = Field(default=None, description="Counts tokens.")
    live: Any = Field(default=None, description="Where this process works on the summaries.")
    _marks: list[Hashable] = PrivateAttr()
    _lock: Any = PrivateAttr()

    def __init__(self, **fields: Any) -> None:
        require_fields(type(self), fields, "settings of the window and its summary go into options")
        fields["options"] = options_of(fields.get("options", {}))
        super().__init__(**{name: loaded(value) for name, value in fields.items()})
        self._lock = threading.Lock()
        self._marks = marks_of(self.chat_history)
        live = self.live
        if not isinstance(live, Live) or not live.suits(**self._settings()):
            self._begin()
        if self.tokenizer_fn is None:
            self.tokenizer_fn = Counted(self.live.counter)

    @classmethod
    def from_defaults(  # pyright: ignore[reportIncompatibleMethodOverride] - as LlamaIndex's own memories
        cls,
        chat_history: Sequence[ChatMessage] | None = None,
        llm: Model = None,
        token_limit: int | None = None,
        tokenizer_fn: Tokenize | None = None,
        **options: Any,
    ) -> SummaryTrimMemory:
        """A memory with LlamaIndex's usual arguments.

        Args:
            chat_history: the conversation so far.
            llm: who summarises.
            token_limit: default three quarters of the model's context, or 3000 without a model;
                none beside `max_messages`.
            tokenizer_fn: counts tokens; default that of the model.
            **options: see `options` of the class.

        Raises:
            ConfigError: see the class.
        """
        bounded = token_limit is not None or options.get("max_messages") is not None
        name, usual = "", _USUAL
        if isinstance(llm, LLM):
            usual = int(llm.metadata.context_window * _SHARE)
            name = llm.metadata.model_name
        return cls(
            token_limit=token_limit if bounded else usual,
            llm=llm,
            model_name=name,
            options=options,
            chat_history=list(chat_history or ()),
            tokenizer_fn=tokenizer_fn,
        )

    @classmethod
    def class_name(cls) -> str:
        """Stable name in serialised form."""
        return "agentperf_summary_trim_memory"

    def get(self, input: str | None = None, **kwargs: Any) -> list[ChatMessage]:  # noqa: A002 - the framework's own name
        """What a model is to be shown.

        Args:
            input: what is asked; makes no difference here.
            **kwargs: `initial_token_count`, what the prompt holds besides; an eighth of the limit
                stays for the conversation in any case. Others are ignored.

        Raises:
            ContextOverflow: if the last turn does not fit.
        """
        return _shown(run(self._look(**kwargs)))

    async def aget(self, input: str | None = None, **kwargs: Any) -> list[ChatMessage]:  # noqa: A002 - as above
        """Like `get`."""
        return _shown(await arun(self._look(**kwargs)))

    def put(self, message: ChatMessage) -> None:
        """Add a message, and begin the summary that is due."""
        self.put_messages([message])

    async def aput(self, message: ChatMessage) -> None:
        """Like `put`."""
        await self.aput_messages([message])

    def put_messages(self, messages: list[ChatMessage]) -> None:
        """Add messages, and begin the summary that is due."""
        run(self._put(messages))

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """Like `put_messages`."""
        await arun(self._put(messages))

    def set(self, messages: list[ChatMessage]) -> None:
        """Have another conversation; one that goes on where this one is keeps its summary."""
        require_messages(messages)
        with self._lock:
            self.chat_history = list(messages)
            self._marks = marks_of(messages)

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self.chat_history, self._marks, self.summaries = [], [], {}
            self._begin()

    def shown(self) -> Trimmed:
        """What `get` shows, with the summary, its coverage and its cost.

        Raises:
            ContextOverflow: if the last turn does not fit.
        """
        return self._trimmer().view()

    def _begin(self) -> None:
        self.live = Live(**self._settings())

    def _settings(self) -> dict[str, Any]:
        return {
            "token_limit": self.token_limit,
            "llm": self.llm,
            "model_name": self.model_name,
            "tokenizer_fn": given(self.tokenizer_fn),
            "options": self.options,
        }

    def _trimmer(self, beside: int = 0, *, must_fit: bool = True) -> SummarizingTrimmer:
        pool: TrimmerPool = self.live.pool
        with self._lock:
            return pool.follow(
                self._marks,
                reader(self.chat_history),
                key="memory",
                beside=beside,
                state=self.summaries,
                must_fit=must_fit,
            )

    def _look(self, initial_token_count: int = 0, **_: Any) -> Flow[Trimmed]:
        beside = self.live.pool.possible(initial_token_count)
        return (yield from self._trimmer(beside).looked())

    def _put(self, messages: Sequence[ChatMessage]) -> Flow[None]:
        require_messages(messages)
        with self._lock:
            self.chat_history.extend(messages)
            self._marks.extend(marks_of(messages))
        # One that does not fit is told to who reads.
        yield from self._trimmer(must_fit=False).work()

    @field_serializer("llm")
    def _dump_llm(self, llm: Model) -> Any:
        return dumped_model(llm)

    @field_serializer("options")
    def _dump_options(self, options: dict[str, Any]) -> dict[str, Any]:
        return {name: dumped(value) for name, value in options.items()}

    @field_serializer("live", "tokenizer_fn")
    def _dump_held(self, value: object) -> Any:
        return dumped(given(value))

    @field_serializer("summaries")
    def _dump_summaries(self, _: dict[str, Any]) -> dict[str, Any]:
        return self._trimmer(must_fit=False).state()


def _shown(view: Trimmed) -> list[ChatMessage]:
    return [from_core(message) for message in view.messages]


SummaryTrimMemory.__module__ = "llamaindex_agentperf"
