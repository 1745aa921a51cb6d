"""Runs as log lines: one per run, figures only."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agentperf_core.telemetry.figures import RunFigures
from agentperf_core.telemetry.report import _format as fmt

if TYPE_CHECKING:
    from agentperf_core.telemetry.spans import Trace

__all__ = ["LoggingSink"]


class LoggingSink:
    """Logs one line per finished run: time, calls, tokens, cost, how it ended.

    The line holds no prompt and no error message, only the error's class; names are stripped of
    control characters, so that a name cannot forge a line of its own.

    Args:
        logger: a logger or the name of one.
        level: the level to log at.

    Example:
        >>> from agentperf_core.clock import FakeClock
        >>> from agentperf_core.telemetry import Recorder
        >>> logger = logging.getLogger("doctest")
        >>> logger.setLevel(logging.INFO)
        >>> logger.handle = lambda record: print(record.getMessage())
        >>> recorder = Recorder(clock=FakeClock(), sinks=[LoggingSink(logger)])
        >>> with recorder.span("agent", "support"):
        ...     pass
        run 'support' ok: 0 s, 0 LLM calls, 0 cache hits, 0 tool calls, 0 tokens in, 0 out, $0
    """

    def __init__(
        self, logger: str | logging.Logger = "agentperf", *, level: int = logging.INFO
    ) -> None:
        self._logger = logging.getLogger(logger) if isinstance(logger, str) else logger
        self._level = level

    def emit(self, trace: Trace) -> None:
        """Log one run, if the logger is enabled for the level."""
        if not self._logger.isEnabledFor(self._level):
            return
        report = RunFigures((trace,))
        root = trace.root
        status = f"{root.status} ({fmt.error_type(root.error)})" if root.error else root.status
        self._logger.log(
            self._level,
            "run %r %s: %s, %s, %s, %s, %s in, %s, %s",
            fmt.clean(root.name, 80),
            status,
            fmt.seconds(trace.seconds),
            fmt.plural(len(report.llm_calls), "LLM call"),
            fmt.plural(len(report.cache_hits), "cache hit"),
            fmt.plural(len(report.tool_calls), "tool call"),
            fmt.plural(report.usage.input_tokens, "token"),
            fmt.output_tokens(report.usage),
            fmt.cost(report),
        )
