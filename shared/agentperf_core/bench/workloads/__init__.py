"""Workloads that both frameworks run from one table."""

from agentperf_core.bench.workloads.desk import SupportDesk
from agentperf_core.bench.workloads.desk_script import desk_reply
from agentperf_core.bench.workloads.scenario import (
    SCENARIO,
    SYSTEM_PROMPT,
    DeskAgent,
    DeskSetup,
    Turn,
    desk_agents,
    play,
)

__all__ = [
    "SCENARIO",
    "SYSTEM_PROMPT",
    "DeskAgent",
    "DeskSetup",
    "SupportDesk",
    "Turn",
    "desk_agents",
    "desk_reply",
    "play",
]
