"""`instrument()`: record every LlamaIndex agent, engine and model call of this process.

LlamaIndex agents emit no tool events, so tools, retrievers and steps come from spans, and usage,
model names and chunk times from the LLM events. Both handlers sit on the root dispatcher: callback
managers are replaced by `Settings` and by engines.
"""

from __future__ import annotations

from inspect import BoundArguments
from typing import TYPE_CHECKING, Any, cast

from llama_index.core.instrumentation import get_dispatcher  # pyright: ignore[reportPrivateImportUsage] - its documented home
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.span import BaseSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from pydantic import Field

from agentperf_core.errors import require_instance
from agentperf_core.events import BUS
from agentperf_core.telemetry import Recorder
from llamaindex_agentperf._actions import ACTIONS
from llamaindex_agentperf._ends import WHERE
from llamaindex_agentperf._tracker import Tracker

if TYPE_CHECKING:
    from typing import Self

    from agentperf_core.telemetry import LatencyReport

__all__ = ["Instrumentation", "LatencyEventHandler", "LatencySpanHandler", "instrument"]


class LatencySpanHandler(BaseSpanHandler[BaseSpan]):
    """Hands LlamaIndex's spans to a `Recorder`; never raises, keeps nothing that has ended.

    Use `instrument()` unless you want the handlers on a dispatcher other than the root.

    Args:
        recorder: where the spans go; default one of its own.
    """

    # A field and not a private attribute: those cost a microsecond per access.
    tracker: Any = Field(default=None, exclude=True, repr=False)

    def __init__(self, recorder: Recorder | None = None) -> None:
        require_instance(Recorder, "leave it out for a new one", recorder=recorder)
        super().__init__()
        self.tracker = Tracker(recorder if recorder is not None else Recorder())

    @classmethod
    def class_name(cls) -> str:
        """Stable name of the handler."""
        return "LatencySpanHandler"

    @property
    def recorder(self) -> Recorder:
        """Where the spans go."""
        tracker: Tracker = self.tracker
        return tracker.recorder

    def span_enter(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        parent_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A span begins; replaces the base class's bookkeeping, which keeps every span."""
        try:
            self.tracker.enter(id_, bound_args, instance, parent_id)
        except Exception as error:
            BUS.fault(WHERE, error)

    def span_exit(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        result: Any | None = None,
        **kwargs: Any,
    ) -> None:
        """A span's function returned."""
        try:
            self.tracker.exit(id_, result)
        except Exception as error:
            BUS.fault(WHERE, error)

    def span_drop(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        err: BaseException | None = None,
        **kwargs: Any,
    ) -> None:
        """A span's function raised."""
        try:
            self.tracker.drop(id_, err)
        except Exception as error:
            BUS.fault(WHERE, error)

    def new_span(self, *args: Any, **kwargs: Any) -> None:
        """Not used: `span_enter` does it all."""

    def prepare_to_exit_span(self, *args: Any, **kwargs: Any) -> None:
        """Not used: `span_exit` does it all."""

    def prepare_to_drop_span(self, *args: Any, **kwargs: Any) -> None:
        """Not used: `span_drop` does it all."""

    def close(self) -> None:
        """End what is open; LlamaIndex calls this when its dispatcher shuts down."""
        self.tracker.close()


class LatencyEventHandler(BaseEventHandler):
    """Adds usage, model names, chunk times and cache hits to the spans of a `LatencySpanHandler`.

    Args:
        spans: the span handler on the same dispatcher.
    """

    tracker: Any = Field(default=None, exclude=True, repr=False)

    def __init__(self, spans: LatencySpanHandler) -> None:
        require_instance(
            LatencySpanHandler, "pass the one whose spans these belong to", spans=spans
        )
        super().__init__()
        self.tracker = spans.tracker

    @classmethod
    def class_name(cls) -> str:
        """Stable name of the handler."""
        return "LatencyEventHandler"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        """Take what a span needs from an event; the event itself is not kept."""
        action = ACTIONS.get(type(event).__name__)
        if action is not None:
            try:
                action(self.tracker, event)
            except Exception as error:
                BUS.fault(WHERE, error)


class Instrumentation:
    """What `instrument()` put up; a context manager that takes it down again.

    Attributes:
        recorder: where the spans go.
    """

    def __init__(self, spans: LatencySpanHandler, events: LatencyEventHandler) -> None:
        self.recorder = spans.recorder
        self._spans = spans
        self._events = events

    def report(self) -> LatencyReport:
        """A `LatencyReport` over the finished runs."""
        return self.recorder.report()

    def open_spans(self) -> int:
        """How many spans have begun and not ended; 0 when nothing runs."""
        tracker: Tracker = self._spans.tracker
        return tracker.open_spans()

    def uninstrument(self) -> None:
        """Take the handlers off; what is still running is closed as unfinished."""
        root = get_dispatcher()
        spans = cast("list[BaseSpanHandler[BaseSpan]]", root.span_handlers)  # pyright: ignore[reportUnknownMemberType] - untyped upstream
        root.span_handlers = [handler for handler in spans if handler is not self._spans]
        root.event_handlers = [h for h in root.event_handlers if h is not self._events]
        self._spans.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.uninstrument()


def instrument(*, recorder: Recorder | None = None) -> Instrumentation:
    """Record every agent, engine, model, tool and retriever call from now on.

    Each call adds handlers of its own; take them down with `uninstrument()` or use it as a context
    manager.

    Args:
        recorder: where the spans go; default a new one.

    Example:
        >>> from llama_index.core.llms.mock import MockLLM
        >>> with instrument() as instrumentation:
        ...     answer = MockLLM(max_tokens=3).complete("hello")
        >>> [span.name for span in instrumentation.report().llm_calls]
        ['MockLLM']
    """
    spans = LatencySpanHandler(recorder)
    events = LatencyEventHandler(spans)
    root = get_dispatcher()
    root.add_span_handler(spans)  # pyright: ignore[reportUnknownMemberType] - untyped upstream
    root.add_event_handler(events)
    return Instrumentation(spans, events)


for _public in (LatencyEventHandler, LatencySpanHandler, instrument):
    _public.__module__ = "llamaindex_agentperf"
