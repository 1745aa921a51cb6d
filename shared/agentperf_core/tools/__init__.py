"""Tools: who runs when, under which limits, and what becomes of a failure."""

from agentperf_core.toolpolicy import Substitute, ToolPolicy, policies_for, tool_policy
from agentperf_core.tools.assemble import CallAssembler
from agentperf_core.tools.begun import Begun
from agentperf_core.tools.dataflow import PlanTools
from agentperf_core.tools.durations import Durations
from agentperf_core.tools.early import EarlyCalls, EarlyStats
from agentperf_core.tools.executor import ToolExecutor
from agentperf_core.tools.graph import ToolGraph
from agentperf_core.tools.jobs import Done, ToolJob, ToolResults
from agentperf_core.tools.plan import Plan, PlannedCall
from agentperf_core.tools.prefetch.budget import PrefetchBudget
from agentperf_core.tools.prefetch.learning.learn import learn_rules
from agentperf_core.tools.prefetch.learning.runs import run_of_messages
from agentperf_core.tools.prefetch.prediction import Predictor, model_predictor
from agentperf_core.tools.prefetch.prefetcher import Prefetcher
from agentperf_core.tools.prefetch.rules import PrefetchRule, rules_from_json, rules_to_json
from agentperf_core.tools.prefetch.stats import PrefetchStats
from agentperf_core.tools.records import ToolFailure, ToolRun
from agentperf_core.tools.stats import ExecutorStats
from agentperf_core.tools.substitutes import SubstituteRegistry
from agentperf_core.tools.turns import Turns
from agentperf_core.tools.warm import Warmed, WarmUpReport

__all__ = [
    "Begun",
    "CallAssembler",
    "Done",
    "Durations",
    "EarlyCalls",
    "EarlyStats",
    "ExecutorStats",
    "Plan",
    "PlanTools",
    "PlannedCall",
    "Predictor",
    "PrefetchBudget",
    "PrefetchRule",
    "PrefetchStats",
    "Prefetcher",
    "Substitute",
    "SubstituteRegistry",
    "ToolExecutor",
    "ToolFailure",
    "ToolGraph",
    "ToolJob",
    "ToolPolicy",
    "ToolResults",
    "ToolRun",
    "Turns",
    "WarmUpReport",
    "Warmed",
    "learn_rules",
    "model_predictor",
    "policies_for",
    "rules_from_json",
    "rules_to_json",
    "run_of_messages",
    "tool_policy",
]
