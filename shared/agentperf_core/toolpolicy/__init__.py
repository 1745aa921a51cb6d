"""What users declare of their tools, for the cache of results and for the executor."""

from agentperf_core.toolpolicy.declare import declared, policies_for, tool_policy
from agentperf_core.toolpolicy.policy import CacheScope, ToolPolicy
from agentperf_core.toolpolicy.substitute import Substitute

__all__ = ["CacheScope", "Substitute", "ToolPolicy", "declared", "policies_for", "tool_policy"]
