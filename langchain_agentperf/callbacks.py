"""The latency callback: records every run of LangChain and LangGraph as a span tree."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from agentperf_core.errors import require_instance
from agentperf_core.telemetry import LatencyReport, Recorder
from langchain_agentperf import _hooks
from langchain_agentperf._listener import Listener

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["LatencyCallbackHandler", "latency_callback"]


class LatencyCallbackHandler(Listener):
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

    def __init__(self, *, recorder: Recorder | None = None) -> None:
        require_instance(Recorder, "leave it out for a new one", recorder=recorder)
        super().__init__(recorder if recorder is not None else Recorder())

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
