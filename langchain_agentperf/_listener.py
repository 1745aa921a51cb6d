"""The hooks of `BaseCallbackHandler`: every run becomes a span of a recorder.

The way of a call is short: a hook keeps a few facts, and `_spans` tells what they mean when the run
is read. It runs once in a hundred microseconds of the framework's, with cold caches: what counts is
how many functions and objects it touches, not how much it computes. Arguments of frequent events
are named one by one, also those that nobody reads: one without a name is compared with every name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk, LLMResult

from agentperf_core.telemetry import Recorder
from langchain_agentperf import _events, _spans
from langchain_agentperf._answers import MARK
from langchain_agentperf._streams import Streams

__all__ = ["Listener"]


class Listener(BaseCallbackHandler):
    """Records the runs that it is told of."""

    # Called in the loop, not in a thread per event, which costs ten times the work done here.
    run_inline = True

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder
        self._streams = Streams()

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        run_type: str | None = None,
        **event: Any,
    ) -> None:
        """Open an agent or a chain span."""
        named = name or _events.name_of(serialized)
        asked = (named, tags, metadata, parent_run_id)
        self.recorder.start_lazily(run_id, parent_run_id, _spans.chain, asked)

    def on_chain_end(
        self,
        outputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **event: Any,
    ) -> None:
        """Close the span."""
        self.recorder.end_lazily(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **event: Any) -> None:
        """Close the span with what was raised."""
        self._fail(run_id, error)

    def on_chat_model_start(  # noqa: PLR0913 - what LangChain hands over
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        invocation_params: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        batch_size: int = 1,
        **event: Any,
    ) -> None:
        """Open the span of a chat model."""
        named = name or serialized.get("name") or _events.name_of(serialized)
        params = invocation_params or {}
        model = params.get("model") or params.get("model_name")
        model = model if isinstance(model, str) else None
        history = messages[0] if messages else ()
        last = history[-1].content if history else ""
        said = hash(last) if isinstance(last, str) else _events.hash_of(last)
        asked = (named, tags, metadata, model, len(history), said)
        self.recorder.start_lazily(run_id, parent_run_id, _spans.model, asked)

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        invocation_params: Mapping[str, Any] | None = None,
        **event: Any,
    ) -> None:
        """Open the span of a completion model."""
        named = name or _events.name_of(serialized)
        params = invocation_params or {}
        model = params.get("model") or params.get("model_name")
        model = model if isinstance(model, str) else None
        asked = (named, tags, metadata, model, _events.hash_of(prompts[0] if prompts else ""))
        self.recorder.start_lazily(run_id, parent_run_id, _spans.model, asked)

    def on_llm_new_token(
        self,
        token: str | list[str | dict[str, Any]],
        *,
        chunk: GenerationChunk | ChatGenerationChunk | None = None,
        run_id: UUID,
        **event: Any,
    ) -> None:
        """Count a chunk, once, if it carries anything."""
        if token or _events.carries(chunk):
            self._chunk(run_id, chunk, "token")

    def on_stream_event(self, event: Mapping[str, Any], *, run_id: UUID, **rest: Any) -> None:
        """Count a chunk of the event protocol."""
        if event.get("event") == "content-block-delta":
            self._chunk(run_id, event, "event")

    def on_llm_end(
        self,
        response: LLMResult,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **event: Any,
    ) -> None:
        """Close the model's span with its usage; an answer from a cache becomes a cache span."""
        if self._streams.open:
            self._streams.close(run_id)
        self.recorder.end_lazily(run_id, _spans.answer, (_events.answered(response),))

    def on_llm_error(
        self,
        error: BaseException,
        *,
        run_id: UUID,
        response: LLMResult | None = None,
        **event: Any,
    ) -> None:
        """Close the model's span with what was raised; a stream that broke off was paid for."""
        self._fail(run_id, error, _events.answered(response) if response is not None else None)

    def on_retry(self, retry_state: Any, *, run_id: UUID, **event: Any) -> None:
        """Note which attempt comes next."""
        self.recorder.annotate(run_id, attempt=retry_state.attempt_number + 1)

    def on_tool_start(  # noqa: PLR0913 - what LangChain hands over
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        name: str | None = None,
        tool_call_id: str | None = None,
        color: str | None = None,
        **event: Any,
    ) -> None:
        """Open a tool's span."""
        named = name or serialized.get("name") or _events.name_of(serialized)
        given = _events.hash_of(inputs if inputs is not None else input_str)
        asked = (named, tags, metadata, given, tool_call_id)
        self.recorder.start_lazily(run_id, parent_run_id, _spans.tool, asked)

    def on_tool_end(
        self,
        output: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        color: str | None = None,
        name: str | None = None,
        **event: Any,
    ) -> None:
        """Close the tool's span; an error result that the tool made itself is an error too."""
        failed = getattr(output, "status", None) == "error"
        error = "the tool answered with an error" if failed else None
        said = event.get(MARK)  # by the pack, which has answered in its place
        self.recorder.end_lazily(run_id, _spans.answered_for if said else None, (said,), error)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **event: Any) -> None:
        """Close the tool's span with what was raised."""
        self._fail(run_id, error)

    def on_retriever_start(
        self,
        serialized: dict[str, Any],
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **event: Any,
    ) -> None:
        """Open a retriever's span."""
        named = name or _events.name_of(serialized)
        asked = (named, tags, metadata, _events.hash_of(query))
        self.recorder.start_lazily(run_id, parent_run_id, _spans.retriever, asked)

    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **event: Any) -> None:
        """Close the retriever's span."""
        self.recorder.end_lazily(run_id, _spans.retrieved, (len(documents),))

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **event: Any) -> None:
        """Close the retriever's span with what was raised."""
        self._fail(run_id, error)

    def _chunk(self, run_id: UUID, chunk: object, source: Literal["token", "event"]) -> None:
        if self.recorder.is_open(run_id) and self._streams.is_new(run_id, chunk, source):
            self.recorder.chunk(run_id)

    def _fail(
        self, run_id: UUID, error: BaseException, answered: _events.Answered | None = None
    ) -> None:
        left = (answered, self._streams.close(run_id))
        if _events.steers(error):
            self.recorder.end_lazily(run_id, _spans.broken, left, None, "cancelled")
        else:
            self.recorder.end_lazily(run_id, _spans.broken, left, error)


for _kind in ("agent", "chain", "chat_model", "llm", "retriever"):
    # LangChain asks ahead of every event; the base class answers with Python code.
    setattr(Listener, f"ignore_{_kind}", False)
