"""Workloads that both frameworks run from one table."""

from agentperf_core.bench.workloads.desk import SupportDesk
from agentperf_core.bench.workloads.desk_script import desk_reply
from agentperf_core.bench.workloads.scenario import (
    SCENARIO,
    SYSTEM_PROMPT,
    DeskAgent,
    Turn,
    desk_agents,
    play,
)

__all__ = [
    "SCENARIO",
    "SYSTEM_PROMPT",
    "DeskAgent",
    "SupportDesk",
    "Turn",
    "desk_agents",
    "desk_reply",
    "play",
]
