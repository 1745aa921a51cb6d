r"""A pytest plug-in: llama-index-core's own tests, with our tools and agents swapped in.

Nothing of theirs is kept here. In a checkout of their repository, in `llama-index-core`:

    PYTHONPATH=$PACK/tests/conformance SWAP=agents python -m pytest -p swap_llamaindex_tools \
        -o asyncio_mode=auto -W ignore tests/agent tests/tools tests/llms/test_predict_and_call.py

`SWAP` says what is swapped: `tools` makes a `ManagedTool` of every `FunctionTool`, `agents` makes
every `FunctionAgent` and `AgentWorkflow` a parallel one, `both` does both, and `none` is their own
run. The outcome is in `benchmarks/RESULTS.md`.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import Any, cast

import llama_index.core.agent.workflow as home
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.tools import FunctionTool

from llamaindex_agentperf import ManagedTool, ParallelAgentWorkflow, ParallelFunctionAgent

SWAP = os.environ.get("SWAP", "none")
SEEN: Counter[str] = Counter()


class CountedAgent(ParallelFunctionAgent):
    """A parallel agent that says that it was used."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        SEEN["agents"] += 1
        super().__init__(*args, **kwargs)


class CountedWorkflow(ParallelAgentWorkflow):
    """A parallel workflow that says that it was used."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        SEEN["workflows"] += 1
        super().__init__(*args, **kwargs)


def _managed(cls: type[FunctionTool], *args: Any, **kwargs: Any) -> FunctionTool:
    made: FunctionTool = _from_defaults(cls, *args, **kwargs)
    if cls is not FunctionTool:
        return made
    SEEN["tools"] += 1
    return ManagedTool(made)


_from_defaults: Any = cast("Any", FunctionTool.from_defaults).__func__

if SWAP in {"tools", "both"}:
    FunctionTool.from_defaults = classmethod(_managed)  # type: ignore[method-assign]
if SWAP in {"agents", "both"}:
    swapped: dict[type, type] = {FunctionAgent: CountedAgent, AgentWorkflow: CountedWorkflow}
    for module in [m for name, m in sys.modules.items() if name.startswith(home.__name__)]:
        for name, value in [*vars(module).items()]:
            if isinstance(value, type) and value in swapped:
                setattr(module, name, swapped[value])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was swapped."""
    for what, times in sorted(SEEN.items()):
        terminalreporter.write_line(f"swap {SWAP}: {times} x {what}")
