"""Tools: who runs when, under which limits, and what becomes of a failure."""

from agentperf_core.toolpolicy import Substitute, ToolPolicy, policies_for, tool_policy
from agentperf_core.tools.assemble import CallAssembler
from agentperf_core.tools.begun import Begun
from agentperf_core.tools.durations import Durations
from agentperf_core.tools.early import EarlyCalls, EarlyStats
from agentperf_core.tools.executor import ToolExecutor
from agentperf_core.tools.jobs import Done, ToolJob, ToolResults
from agentperf_core.tools.records import ToolFailure, ToolRun
from agentperf_core.tools.stats import ExecutorStats
from agentperf_core.tools.substitutes import SubstituteRegistry
from agentperf_core.tools.turns import Turns

__all__ = [
    "Begun",
    "CallAssembler",
    "Done",
    "Durations",
    "EarlyCalls",
    "EarlyStats",
    "ExecutorStats",
    "Substitute",
    "SubstituteRegistry",
    "ToolExecutor",
    "ToolFailure",
    "ToolJob",
    "ToolPolicy",
    "ToolResults",
    "ToolRun",
    "Turns",
    "policies_for",
    "tool_policy",
]
