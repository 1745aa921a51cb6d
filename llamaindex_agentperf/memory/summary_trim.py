"""A memory that shows a window with a summary of what left it."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.llm import LLM
from llama_index.core.memory import BaseMemory
from pydantic import Field, PrivateAttr, field_serializer

from agentperf_core.context import (
    ContextOverflow,
    SummarizingTrimmer,
    Trimmed,
    TrimmerPool,
    trim_settings,
)
from agentperf_core.flow import Flow, arun, run
from llamaindex_agentperf._held import dumped, loaded
from llamaindex_agentperf._messages import from_core
from llamaindex_agentperf._summaries import (
    Model,
    Tokenize,
    counter_of,
    dumped_model,
    summarizer_of,
)
from llamaindex_agentperf._windows import core_options, marks_of, reader

__all__ = ["SummaryTrimMemory"]

_SHARE = 0.75  # of the context, as in LlamaIndex's own memories
_USUAL = 3000


class SummaryTrimMemory(BaseMemory):
    """Keeps a whole conversation; shows a window of it, and a summary of what left the window.

    The window is cut seldom and deep, on borders of turns, so that the prompt cache of the provider
    keeps finding the beginning of the prompt. The summary is written beside the conversation, after
    messages are put, of what the next cut will drop, and takes its place at that cut: nobody waits
    for it. If a summariser fails, is late or says nothing, the messages are kept and tried again.

    Saved as JSON (`to_dict`, a workflow's `Context`) it goes on where it was. In another process,
    a model that LlamaIndex cannot load by its name, or a function, gives way to `Settings.llm`, a
    tokenizer to that of `model_name`, and other functions to the defaults.

    Args:
        token_limit: what the shown messages may cost, the summary among them.
        llm: who summarises: a model, or a function of core messages (see `Summarize`); `None` to
            drop what leaves the window.
        model_name: whose tokens are counted; default OpenAI's `o200k_base`.
        options: further fields of `WindowSettings` and `SummarySettings`, such as `keep_turns`,
            `summary_tokens`, `background`, `timeout_s` and `low`.
        messages: the conversation.
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

    token_limit: int = Field(description="What the shown messages may cost.")
    llm: Any = Field(default=None, description="Who summarises.")
    model_name: str = Field(default="", description="Whose tokens are counted.")
    options: dict[str, Any] = Field(default_factory=dict, description="Further settings.")
    messages: list[ChatMessage] = Field(
        default_factory=list[ChatMessage], description="The conversation."
    )
    summaries: dict[str, Any] = Field(default_factory=dict, description="As they were saved.")
    tokenizer_fn: Tokenize | None = Field(default=None, description="Counts tokens.")
    live: Any = Field(default=None, description="Where this process works on the summaries.")
    _marks: list[Hashable] = PrivateAttr()
    _lock: Any = PrivateAttr()

    def __init__(self, **fields: Any) -> None:
        options = {name: loaded(value) for name, value in fields.get("options", {}).items()}
        fields["options"] = {name: value for name, value in options.items() if value is not None}
        super().__init__(**{name: loaded(value) for name, value in fields.items()})
        self._lock = threading.Lock()
        self._marks = marks_of(self.messages)
        if not isinstance(self.live, _Live) or not self.live.suits(self):
            self._begin()

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
            token_limit: default three quarters of the model's context, or 3000 without a model.
            tokenizer_fn: counts tokens; default that of the model.
            **options: see `options` of the class.

        Raises:
            ConfigError: see the class.
        """
        name = ""
        if isinstance(llm, LLM):
            token_limit = token_limit or int(llm.metadata.context_window * _SHARE)
            name = llm.metadata.model_name
        return cls(
            token_limit=token_limit or _USUAL,
            llm=llm,
            model_name=name,
            options=options,
            messages=list(chat_history or ()),
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

    def get_all(self) -> list[ChatMessage]:
        """The whole conversation."""
        return list(self.messages)

    async def aget_all(self) -> list[ChatMessage]:
        """Like `get_all`."""
        return list(self.messages)

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
        with self._lock:
            self.messages = list(messages)
            self._marks = marks_of(messages)

    async def aset(self, messages: list[ChatMessage]) -> None:
        """Like `set`."""
        self.set(messages)

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self.messages, self._marks, self.summaries = [], [], {}
            self._begin()

    async def areset(self) -> None:
        """Like `reset`."""
        self.reset()

    def shown(self) -> Trimmed:
        """What `get` shows, with the summary, its coverage and its cost.

        Raises:
            ContextOverflow: if the last turn does not fit.
        """
        return self._trimmer().view()

    def _begin(self) -> None:
        counter = counter_of(self.tokenizer_fn, self.model_name)
        options: dict[str, Any] = self.options
        given: dict[str, Any] = {"pin": None, "oversize": "cut", **options}
        options = {**options, **core_options(given["pin"], given["oversize"])}
        window, summary = trim_settings(
            summarizer_of(self.llm, counter),
            max_tokens=self.token_limit,
            counter=counter,
            **options,
        )
        self.live = _Live(TrimmerPool(window, summary, conversations=1), self)

    def _trimmer(self, beside: int = 0) -> SummarizingTrimmer:
        pool: TrimmerPool = self.live.pool
        with self._lock:
            return pool.follow(
                self._marks,
                reader(self.messages),
                key="memory",
                beside=beside,
                state=self.summaries,
            )

    def _look(self, initial_token_count: int = 0, **_: Any) -> Flow[Trimmed]:
        beside = self.live.pool.possible(initial_token_count)
        return (yield from self._trimmer(beside).looked())

    def _put(self, messages: Sequence[ChatMessage]) -> Flow[None]:
        with self._lock:
            self.messages.extend(messages)
            self._marks.extend(marks_of(messages))
        try:
            trimmer = self._trimmer()
        except ContextOverflow:
            return  # who reads is told; what was said is kept
        yield from trimmer.work()

    @field_serializer("llm")
    def _dump_llm(self, llm: Model) -> Any:
        return dumped_model(llm)

    @field_serializer("live")
    def _dump_live(self, live: object) -> Any:
        return dumped(live)

    @field_serializer("options")
    def _dump_options(self, options: dict[str, Any]) -> dict[str, Any]:
        return {name: dumped(value) for name, value in options.items()}

    @field_serializer("tokenizer_fn")
    def _dump_tokenizer(self, tokenizer_fn: Tokenize | None) -> Any:
        return dumped(tokenizer_fn)

    @field_serializer("messages")
    def _dump_messages(self, messages: list[ChatMessage]) -> list[dict[str, Any]]:
        return [message.model_dump(mode="json") for message in messages]

    @field_serializer("summaries")
    def _dump_summaries(self, summaries: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._trimmer().state()
        except ContextOverflow:
            return summaries


class _Live:
    """The pool of a memory, also of those that it becomes when it is saved and loaded."""

    def __init__(self, pool: TrimmerPool, memory: SummaryTrimMemory) -> None:
        self.pool = pool
        self._made_of = self._settings(memory)

    def suits(self, memory: SummaryTrimMemory) -> bool:
        """Whether a memory has the settings that the pool was made of."""
        return self._made_of == self._settings(memory)

    def _settings(self, memory: SummaryTrimMemory) -> tuple[object, ...]:
        return memory.token_limit, memory.model_name, memory.tokenizer_fn, dict(memory.options)


def _shown(view: Trimmed) -> list[ChatMessage]:
    return [from_core(message) for message in view.messages]


SummaryTrimMemory.__module__ = "llamaindex_agentperf"
