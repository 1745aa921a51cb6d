"""`python -m agentperf_core demo | bench | report | cache | doctor`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from agentperf_core import __version__
from agentperf_core.cli import bench, cache, demo, doctor, report
from agentperf_core.errors import AgentPerfError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 fine, 1 failed, 2 wrong arguments."""
    parser = argparse.ArgumentParser(
        prog="agentperf-pack", description="Measure agents and make them faster and cheaper."
    )
    parser.add_argument("--version", action="version", version=f"agentperf-pack {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (demo, bench, report, cache, doctor):
        command.register(commands)
    options = parser.parse_args(argv)
    try:
        return options.run(options)
    except AgentPerfError as error:
        print(f"agentperf-pack: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
