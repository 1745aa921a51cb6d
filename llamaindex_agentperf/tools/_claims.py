"""Where a tool finds what was made of its call before the agent asked for it."""

from __future__ import annotations

import threading
from collections import OrderedDict

from llama_index.core.tools import ToolOutput

from agentperf_core.flow import Flow
from agentperf_core.tools import Done, EarlyCalls
from agentperf_core.types import ToolCall
from llamaindex_agentperf._marks import run_id

__all__ = ["CLAIMS", "MOST_RUNS", "Claims"]

MOST_RUNS = 1024  # whose calls may still be asked for


class Claims:
    """The early calls of runs, by the run: tools are called in tasks of their own."""

    def __init__(self) -> None:
        self._by_run: OrderedDict[str | None, EarlyCalls[ToolOutput]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, run: str | None, calls: EarlyCalls[ToolOutput]) -> None:
        """Remember the early calls of a run's latest answer."""
        with self._lock:
            self._by_run.pop(run, None)
            self._by_run[run] = calls
            while len(self._by_run) > MOST_RUNS:
                self._by_run.popitem(last=False)

    def claim(self, call: ToolCall) -> Flow[Done[ToolOutput]] | None:
        """What was made of a call of the current run; `None` if nothing was."""
        if not self._by_run:
            return None
        found = self._by_run.get(run_id())
        return found.claim(call) if found is not None else None


CLAIMS = Claims()
