"""One table of user turns that drives both frameworks, with the counts that must come out.

An adapter joins by an entry point in the group `agentperf.demo` that names a `DeskAgent` class; the
core finds it there and so never imports a framework.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Protocol

from agentperf_core.bench.endpoint import Provider
from agentperf_core.bench.workloads.desk import SupportDesk
from agentperf_core.telemetry import LatencyReport

__all__ = [
    "SCENARIO",
    "SYSTEM_PROMPT",
    "DeskAgent",
    "DeskSetup",
    "Turn",
    "desk_agents",
    "play",
]

SYSTEM_PROMPT = (
    "You are the support desk of a small shop for home goods. Look facts up with your tools, never "
    "guess an order's state, and open a ticket when something arrived broken. Be brief and kind."
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that a user says.

    Attributes:
        session: the conversation it belongs to; a new name is a new conversation.
        text: what the user says.
        llm_calls: model calls that an agent without a cache makes.
        cached_llm_calls: model calls that are left with an exact cache.
        tool_calls: tool calls of both, since a cached answer still runs its tools.
    """

    session: str
    text: str
    llm_calls: int
    cached_llm_calls: int
    tool_calls: int


_REFUND = "How long does a refund take?"
_NORWAY = "Do you ship to Norway?"
_ANA = "Where is my order? My address is ana@example.com"
_CARLA = "Where is my order? My address is carla@example.com"

SCENARIO: tuple[Turn, ...] = (
    Turn("chat-01", _ANA, 4, 4, 3),
    Turn("chat-02", _REFUND, 2, 2, 1),
    Turn("chat-03", _NORWAY, 2, 2, 1),
    Turn("chat-04", _REFUND, 2, 0, 1),
    Turn(
        "chat-05",
        "My teapot arrived broken, please open a ticket. I am ben@example.com",
        3,
        3,
        2,
    ),
    Turn("chat-06", _ANA, 4, 0, 3),
    Turn("chat-03", "Can I return opened items?", 2, 2, 1),
    Turn("chat-07", _NORWAY, 2, 0, 1),
    Turn("chat-08", _CARLA, 4, 4, 3),
    Turn("chat-09", _REFUND, 2, 0, 1),
    Turn("chat-10", _CARLA, 4, 0, 3),
    Turn("chat-05", "Thank you.", 1, 1, 0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskSetup:
    """What an agent of the desk is built from.

    Attributes:
        tools: the desk's tools as plain functions.
        model: the model's name.
        provider: where requests go.
        plugins: whether to cache; without, the agent is measured and nothing else changes.
    """

    tools: Sequence[Callable[..., str]]
    model: str
    provider: Provider
    plugins: bool


class DeskAgent(Protocol):
    """What an adapter implements to take part in the demo."""

    def __init__(self, setup: DeskSetup) -> None:
        """Build the agent."""
        ...

    async def ask(self, session: str, text: str) -> str:
        """Say something in a conversation and return the answer."""
        ...

    def report(self) -> LatencyReport:
        """What was recorded so far."""
        ...

    async def close(self) -> None:
        """Release clients and handlers."""
        ...


def desk_agents() -> dict[str, type[DeskAgent]]:
    """The demo agents of the adapters that are installed, by framework name.

    A framework that is not installed is left out.
    """
    found: dict[str, type[DeskAgent]] = {}
    for point in sorted(entry_points(group="agentperf.demo"), key=lambda point: point.name):
        try:
            found[point.name] = point.load()
        except ImportError:
            continue
    return found


async def play(
    kind: type[DeskAgent],
    desk: SupportDesk,
    *,
    provider: Provider,
    model: str = "gpt-4o-mini",
    plugins: bool,
) -> tuple[list[str], LatencyReport]:
    """Let a fresh agent take every turn; the answers in order, and what was recorded."""
    setup = DeskSetup(tools=desk.tools, model=model, provider=provider, plugins=plugins)
    agent = kind(setup)
    try:
        answers = [await agent.ask(turn.session, turn.text) for turn in SCENARIO]
        return answers, agent.report()
    finally:
        await agent.close()
