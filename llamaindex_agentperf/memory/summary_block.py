"""A block for LlamaIndex's own `Memory` that summarises what leaves its queue."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import BaseMemoryBlock
from pydantic import Field, PrivateAttr, field_serializer

from agentperf_core.context import Coverage, RollingSummary, SummarySettings
from agentperf_core.context.summaries.rolling import shorter
from agentperf_core.errors import ConfigError, require_positive
from agentperf_core.flow import arun
from llamaindex_agentperf._fields import require_fields
from llamaindex_agentperf._held import dumped, loaded
from llamaindex_agentperf._messages import from_core, to_core
from llamaindex_agentperf._summaries import (
    Tokenize,
    counter_of,
    dumped_model,
    summarizer_of,
)

__all__ = ["SummaryMemoryBlock"]


class SummaryMemoryBlock(BaseMemoryBlock[str]):
    """A running summary of what left the queue of LlamaIndex's `Memory`.

    It is written beside the conversation, and shown from the next read on after it is ready: no put
    and no read waits for it. If a summariser fails, is late or says nothing, the messages are kept
    here and tried again when more has left the queue. One block may serve many sessions; they share
    nothing.

    Args:
        name: how the block is called in the prompt.
        llm: who summarises: a model, or a function of core messages (see `Summarize`).
        summary_tokens: how long a summary may be.
        background: whether it is written beside; without it, the read after a flush waits.
        timeout_s: seconds that one call of the summariser may take.
        chunk_tokens: how much is given to one call; see `SummarySettings`.
        tokenizer_fn: counts tokens; default that of the model.
        saved: the summaries by session, as they were saved.

    Raises:
        ConfigError: if there is no `llm`, or a number cannot mean anything.

    Example:
        >>> import asyncio
        >>> block = SummaryMemoryBlock(
        ...     llm=lambda messages, previous, most: "The cat is called Miso.", background=False)
        >>> asyncio.run(block.aput([ChatMessage("My cat is called Miso.")]))
        >>> asyncio.run(block.aget())
        'The cat is called Miso.'
    """

    name: str = Field(default="summary", description="How the block is called in the prompt.")
    llm: Any = Field(default=None, description="Who summarises.")
    model_name: str = Field(default="", description="Whose tokens are counted.")
    summary_tokens: int = Field(default=512, description="How long a summary may be.")
    background: bool = Field(default=True, description="Whether it is written beside.")
    timeout_s: float = Field(default=60.0, description="Seconds of one call.")
    chunk_tokens: int = Field(default=8000, description="How much is given to one call.")
    saved: dict[str, Any] = Field(default_factory=dict, description="Summaries by session.")
    tokenizer_fn: Tokenize | None = Field(default=None, description="Counts tokens.")
    _sessions: dict[str, RollingSummary] = PrivateAttr()

    def __init__(self, **fields: Any) -> None:
        require_fields(type(self), fields)
        super().__init__(**{name: loaded(value) for name, value in fields.items()})
        if not self.model_name and hasattr(self.llm, "metadata"):
            self.model_name = self.llm.metadata.model_name
        self._sessions = {}
        self._made()  # a mistake shall not wait for the first message
        for session, kept in self.saved.items():
            self._restore(session, kept)

    def coverage(self, session_id: str = "") -> Coverage:
        """How much of what left the queue of a session is in its summary."""
        return self._of(session_id).coverage()

    def failed(self, session_id: str = "") -> str | None:
        """Why the last attempt gave no summary, as the name of an error."""
        return self._of(session_id).failed

    async def _aget(
        self, messages: list[ChatMessage] | None = None, session_id: str = "", **block_kwargs: Any
    ) -> str:
        rolling = self._of(session_id)
        summary = await arun(rolling.looked())
        await rolling.abegin()
        return "" if summary is None else summary.text

    async def _aput(self, messages: list[ChatMessage]) -> None:
        for message in messages:
            session = str(message.additional_kwargs.get("session_id") or "")
            self._of(session).put([to_core(message)])
        for rolling in list(self._sessions.values()):
            await rolling.abegin()

    async def atruncate(self, content: str, tokens_to_truncate: int) -> str | None:
        """Leave out the middle, as much as it takes; `None` if no summary is left.

        Without this, a `Memory` that is over its limit leaves the whole block out.
        """
        return shorter(content, tokens_to_truncate, counter_of(self.tokenizer_fn, self.model_name))

    def _restore(self, session: str, kept: Any) -> None:
        try:
            state, pending = kept["state"], [ChatMessage(**one) for one in kept["pending"]]
        except (KeyError, TypeError, ValueError) as error:
            msg = (
                f"saved holds the state and the pending messages of each session, got {kept!r} for "
                f"{session!r}; give what was saved, or leave it out"
            )
            raise ConfigError(msg) from error
        self._of(session).restore(state, map(to_core, pending))

    def _of(self, session: str) -> RollingSummary:
        found = self._sessions.get(session)
        if found is None:
            found = self._sessions.setdefault(session, self._made())
        return found

    def _made(self) -> RollingSummary:
        require_positive(summary_tokens=self.summary_tokens)
        counter = counter_of(self.tokenizer_fn, self.model_name)
        summarize = summarizer_of(self.llm, counter)
        if summarize is None:
            msg = "a summary block needs an llm that summarises, got None; give it a model"
            raise ConfigError(msg)
        settings = SummarySettings(
            summarize=summarize,
            tokens=self.summary_tokens,
            background=self.background,
            timeout_s=self.timeout_s,
            chunk_tokens=self.chunk_tokens,
        )
        return RollingSummary(settings, counter=counter)

    @field_serializer("llm")
    def _dump_llm(self, llm: Any) -> Any:
        return dumped_model(llm)

    @field_serializer("tokenizer_fn")
    def _dump_tokenizer(self, tokenizer_fn: Tokenize | None) -> Any:
        return dumped(tokenizer_fn)

    @field_serializer("saved")
    def _dump_saved(self, _: dict[str, Any]) -> dict[str, Any]:
        return {
            session: {
                "state": rolling.state(),
                "pending": [
                    from_core(message).model_dump(mode="json") for message in rolling.pending()
                ],
            }
            for session, rolling in self._sessions.items()
        }


SummaryMemoryBlock.__module__ = "llamaindex_agentperf"
