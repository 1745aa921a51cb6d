"""`LatencyReport`: where the time and the money of one or more runs went."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentperf_core.telemetry import tracefile
from agentperf_core.telemetry.diagnosis import diagnose
from agentperf_core.telemetry.figures import RunFigures
from agentperf_core.telemetry.findings import Finding, Thresholds
from agentperf_core.telemetry.report import html, text

__all__ = ["LatencyReport"]


@dataclass(frozen=True)
class LatencyReport(RunFigures):
    """Breakdown, critical path, percentiles, tokens and cost of recorded runs.

    `str(report)` is a plain table; in a notebook it shows itself as a waterfall.

    Args:
        traces: the runs, oldest first; any number, also none.

    Example:
        >>> from agentperf_core.telemetry import Recorder
        >>> recorder = Recorder()
        >>> with recorder.span("agent", "support"):
        ...     pass
        >>> recorder.report().runs
        1
    """

    def diagnose(self, thresholds: Thresholds | None = None, **options: Any) -> list[Finding]:
        """Advice with figures; see `diagnose`."""
        return diagnose(self, thresholds, **options)

    def to_json(self) -> str:
        """The runs as JSON, one span per line; `from_json` gives an equal report back."""
        return tracefile.dumps(self.traces)

    @classmethod
    def from_json(cls, text: str | bytes) -> LatencyReport:
        """Read what `to_json` or the JSONL sink wrote.

        Raises:
            TraceFileError: if a line cannot be read; `.kept` holds the runs before it.
        """
        return cls(tracefile.loads(text))

    def save_json(self, path: str | Path) -> Path:
        """Write `to_json()` to a file and return its path."""
        target = Path(path)
        target.write_text(self.to_json(), encoding="utf-8")
        return target

    @classmethod
    def load(cls, path: str | Path) -> LatencyReport:
        """Read a trace file.

        Raises:
            TraceFileError: if a line cannot be read; it names the file and the line, and `.kept`
                holds the runs before it.
            OSError: if the file cannot be opened.
        """
        return cls(tracefile.load(Path(path)))

    def to_html(self, *, title: str = "Latency report") -> str:
        """A self-contained page: breakdown, waterfall (inline SVG) and advice; no JavaScript."""
        return html.render_page(self, title=title)

    def save_html(self, path: str | Path, *, title: str = "Latency report") -> Path:
        """Write `to_html()` to a file and return its path."""
        target = Path(path)
        target.write_text(self.to_html(title=title), encoding="utf-8")
        return target

    def __str__(self) -> str:
        return text.render(self)

    def _repr_html_(self) -> str:
        return html.render_fragment(self)
