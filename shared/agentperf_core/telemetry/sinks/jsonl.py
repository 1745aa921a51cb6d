"""Runs as lines of a file: one JSON object per span, appended run by run."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from agentperf_core.telemetry.tracefile import trace_lines

if TYPE_CHECKING:
    from io import FileIO

    from agentperf_core.telemetry.spans import Trace

__all__ = ["JsonlSink"]


class JsonlSink:
    """Appends every finished run to a file that `LatencyReport.load` reads back.

    The lines hold names, times, tokens and error messages, never prompts; still only the owner may
    read a file that this sink creates (mode 0600). Each run is one append, so threads and processes
    may share the file.

    Args:
        path: the file; missing parent directories are created.

    Raises:
        OSError: if the parent directory cannot be created.

    Example:
        >>> import tempfile
        >>> from agentperf_core.telemetry import LatencyReport, Recorder
        >>> path = Path(tempfile.mkdtemp()) / "traces" / "today.jsonl"
        >>> recorder = Recorder(sinks=[JsonlSink(path)])
        >>> with recorder.span("agent", "support"):
        ...     pass
        >>> LatencyReport.load(path).runs
        1
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Re-entrant: the garbage collector may end an abandoned stream, and its span, in here.
        self._lock = threading.RLock()

    def emit(self, trace: Trace) -> None:
        """Append one run.

        Raises:
            OSError: if the file cannot be written; the recorder counts it and goes on.
        """
        text = "".join(f"{line}\n" for line in trace_lines(trace)).encode()
        with self._lock:
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                if _cut_off(file):
                    text = b"\n" + text
                while text:
                    text = text[file.write(text) or 0 :]


def _cut_off(file: FileIO) -> bool:
    """Whether the last writer died inside a line: the next run must not be glued to it."""
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"
