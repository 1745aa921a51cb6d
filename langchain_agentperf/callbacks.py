"""The latency callback: records every run of LangChain and LangGraph as a span tree."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk, LLMResult

from agentperf_core.errors import require_instance
from agentperf_core.events import BUS
from agentperf_core.telemetry import LatencyReport, Recorder, SpanKind
from agentperf_core.types import Usage
from langchain_agentperf import _events, _hooks
from langchain_agentperf._open_runs import OpenRuns

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["LatencyCallbackHandler", "latency_callback"]


class LatencyCallbackHandler(BaseCallbackHandler):
    """Records where the time and the money of agents, chains and models go.

    One handler serves sync and async code and any number of runs at once. Give it to a run in
    `config={"callbacks": [handler]}`, or use it as a context manager and it sees every run inside;
    both at once record once. It keeps times, names, tokens and digests, never a prompt or an
    answer. The hooks (`on_...`) are those of `BaseCallbackHandler`.

    What it cannot see: a stream that was given up and whose generator nobody closed stays open
    until the interpreter collects it, and a model that reports no usage has unknown cost.

    Args:
        recorder: where runs are kept; by default a `Recorder` of its own.

    Raises:
        ConfigError: if `recorder` is something else.

    Attributes:
        recorder: the recorder in use.

    Example:
        >>> from langchain_core.runnables import RunnableLambda
        >>> with LatencyCallbackHandler() as handler:
        ...     RunnableLambda(str.upper).invoke("hi")
        'HI'
        >>> handler.report().runs
        1
    """

    # Called in the loop instead of in a thread per event, which costs ten times the work done here.
    run_inline = True
    raise_error = False

    def __init__(self, *, recorder: Recorder | None = None) -> None:
        require_instance(Recorder, "leave it out for a new one", recorder=recorder)
        super().__init__()
        self.recorder = recorder if recorder is not None else Recorder()
        self._open = OpenRuns()

    def report(self) -> LatencyReport:
        """The finished runs that the recorder still keeps."""
        return self.recorder.report()

    def __enter__(self) -> Self:
        """See every run of this context from here on; blocks may nest, and share a handler."""
        _hooks.enter(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _hooks.leave(self)

    def on_chain_start(self, serialized: dict[str, Any] | None, inputs: Any, **event: Any) -> None:
        """Open an agent or a chain span."""
        name = _events.name_of(serialized, event)
        self._start(event, _events.chain_kind(name, event), name)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **event: Any) -> None:
        """Close the span."""
        self._open.close(run_id)
        self.recorder.end(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **event: Any) -> None:
        """Close the span with what was raised."""
        self._fail(run_id, error)

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **event: Any
    ) -> None:
        """Open the span of a chat model."""
        history = messages[0] if messages else []
        last: object = history[-1].content if history else ""
        model = _events.model_of(serialized, event)
        asked = _events.digest(f"{model.name}\0{len(history)}\0{_events.text_of(last)}")
        self._start(event, SpanKind.LLM, model.name, asked, model)

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], **event: Any) -> None:
        """Open the span of a completion model."""
        model = _events.model_of(serialized, event)
        asked = _events.digest(f"{model.name}\0{prompts[0] if prompts else ''}")
        self._start(event, SpanKind.LLM, model.name, asked, model)

    def on_llm_new_token(
        self,
        token: str | list[str | dict[str, Any]],
        *,
        chunk: GenerationChunk | ChatGenerationChunk | None = None,
        run_id: UUID,
        **event: Any,
    ) -> None:
        """Count a chunk, once, if it carries anything."""
        if (token or _events.carries(chunk)) and self._open.is_new(run_id, chunk, "token"):
            self.recorder.chunk(run_id)

    def on_stream_event(self, event: Mapping[str, Any], *, run_id: UUID, **rest: Any) -> None:
        """Count a chunk of the event protocol."""
        delta = event.get("event") == "content-block-delta"
        if delta and self._open.is_new(run_id, event, "event"):
            self.recorder.chunk(run_id)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **event: Any) -> None:
        """Close the model's span with its usage; an answer from a cache becomes a cache span."""
        self._open.close(run_id)
        try:
            found = _events.Outcome.of(response)
        except Exception as error:  # an integration's own figures, or a mark that is not ours
            BUS.fault("langchain.callback", error)
            found = _events.Outcome()
        if found.finish_reason is not None:
            self.recorder.annotate(run_id, finish_reason=found.finish_reason)
        self.recorder.end(run_id, usage=found.usage, model=found.model, cache=found.cache)

    def on_llm_error(
        self,
        error: BaseException,
        *,
        run_id: UUID,
        response: LLMResult | None = None,
        **event: Any,
    ) -> None:
        """Close the model's span with what was raised.

        A stream that broke off was paid for: without a report, its output is counted in chunks.
        """
        usage = _events.Outcome.of(response).usage if response is not None else None
        self._fail(run_id, error, usage)

    def on_retry(self, retry_state: Any, *, run_id: UUID, **event: Any) -> None:
        """Note which attempt comes next."""
        self.recorder.annotate(run_id, attempt=retry_state.attempt_number + 1)

    def on_tool_start(self, serialized: dict[str, Any], input_str: str, **event: Any) -> None:
        """Open a tool's span."""
        inputs = event.get("inputs")
        asked = _events.digest(inputs if inputs is not None else input_str)
        self._start(event, SpanKind.TOOL, _events.name_of(serialized, event), asked)

    def on_tool_end(self, output: Any, *, run_id: UUID, **event: Any) -> None:
        """Close the tool's span; an error result that the tool made itself is an error too."""
        self._open.close(run_id)
        failed = getattr(output, "status", None) == "error"
        self.recorder.end(run_id, error="the tool answered with an error" if failed else None)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **event: Any) -> None:
        """Close the tool's span with what was raised."""
        self._fail(run_id, error)

    def on_retriever_start(self, serialized: dict[str, Any], query: str, **event: Any) -> None:
        """Open a retriever's span."""
        name = _events.name_of(serialized, event)
        self._start(event, SpanKind.RETRIEVER, name, _events.digest(query))

    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **event: Any) -> None:
        """Close the retriever's span."""
        self._open.close(run_id)
        self.recorder.annotate(run_id, documents=len(documents))
        self.recorder.end(run_id)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **event: Any) -> None:
        """Close the retriever's span with what was raised."""
        self._fail(run_id, error)

    def _start(
        self,
        event: Mapping[str, Any],
        kind: SpanKind,
        name: str,
        asked: str | None = None,
        model: _events.Model = _events.NO_MODEL,
    ) -> None:
        run_id: UUID = event["run_id"]
        if not self._open.begin(run_id):
            return
        noted = _events.noted(event)
        if asked is not None:
            noted["input_hash"] = asked
        self.recorder.start(
            run_id,
            kind,
            name,
            parent_id=event.get("parent_run_id"),
            model=model.model,
            provider=model.provider,
            attributes=noted,
        )

    def _fail(self, run_id: UUID, error: BaseException, usage: Usage | None = None) -> None:
        usage = usage or _events.estimate(self._open.close(run_id))
        if _events.steers(error):
            self.recorder.end(run_id, usage=usage, status="cancelled")
        else:
            self.recorder.end(run_id, usage=usage, error=error)


@contextmanager
def latency_callback(*, recorder: Recorder | None = None) -> Generator[LatencyCallbackHandler]:
    """Record every run inside a `with` block.

    Args:
        recorder: where runs are kept; by default one of its own.

    Example:
        >>> from langchain_core.runnables import RunnableLambda
        >>> with latency_callback() as handler:
        ...     RunnableLambda(str.upper).invoke("hi")
        'HI'
        >>> [span.name for span in handler.report().traces[0].spans]
        ['upper']
    """
    with LatencyCallbackHandler(recorder=recorder) as handler:
        yield handler
