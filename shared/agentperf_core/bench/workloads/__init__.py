"""Workloads that both frameworks run from one table."""

from agentperf_core.bench.workloads.desk import TOOL_POLICIES, SupportDesk
from agentperf_core.bench.workloads.desk_script import desk_reply
from agentperf_core.bench.workloads.plugins import DeskPlugins, desk_plugins, packaged_encoder
from agentperf_core.bench.workloads.scenario import (
    SCENARIO,
    SYSTEM_PROMPT,
    DeskAgent,
    DeskSetup,
    Played,
    Turn,
    desk_agents,
    play,
)

__all__ = [
    "SCENARIO",
    "SYSTEM_PROMPT",
    "TOOL_POLICIES",
    "DeskAgent",
    "DeskPlugins",
    "DeskSetup",
    "Played",
    "SupportDesk",
    "Turn",
    "desk_agents",
    "desk_plugins",
    "desk_reply",
    "packaged_encoder",
    "play",
]
