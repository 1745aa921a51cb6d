"""`report TRACE.json`: print a saved trace, and write its page if asked."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from agentperf_core.errors import TraceFileError
from agentperf_core.telemetry import LatencyReport, Trace

if TYPE_CHECKING:
    from agentperf_core.cli._types import Commands

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("report", help="show a saved trace")
    parser.add_argument("trace", type=Path, help="file written by save_json() or the JSONL sink")
    parser.add_argument("--html", type=Path, help="also write the waterfall page to this file")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    status = 0
    try:
        report = LatencyReport.load(options.trace)
    except OSError as error:
        print(f"agentperf-pack: cannot read {options.trace}: {error.strerror}", file=sys.stderr)
        return 1
    except TraceFileError as error:
        print(f"agentperf-pack: {error}", file=sys.stderr)
        report = LatencyReport(cast("tuple[Trace, ...]", error.kept))
        status = 1
    print(report)
    if options.html is not None:
        report.save_html(options.html, title=options.trace.name)
        print(f"wrote {options.html}")
    return status
