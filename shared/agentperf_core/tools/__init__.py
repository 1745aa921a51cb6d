"""Tools: who runs when, under which limits, and what becomes of a failure."""

from agentperf_core.toolpolicy import Substitute, ToolPolicy, policies_for, tool_policy
from agentperf_core.tools.dataflow import PlanTools
from agentperf_core.tools.durations import Durations
from agentperf_core.tools.executor import ToolExecutor
from agentperf_core.tools.graph import ToolGraph
from agentperf_core.tools.jobs import Done, ToolJob, ToolResults
from agentperf_core.tools.plan import Plan, PlannedCall
from agentperf_core.tools.records import ToolFailure, ToolRun
from agentperf_core.tools.stats import ExecutorStats

__all__ = [
    "Done",
    "Durations",
    "ExecutorStats",
    "Plan",
    "PlanTools",
    "PlannedCall",
    "Substitute",
    "ToolExecutor",
    "ToolFailure",
    "ToolGraph",
    "ToolJob",
    "ToolPolicy",
    "ToolResults",
    "ToolRun",
    "policies_for",
    "tool_policy",
]
