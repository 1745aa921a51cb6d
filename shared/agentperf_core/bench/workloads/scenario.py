"""One table of user turns that drives both frameworks, with the counts that must come out.

An adapter joins by an entry point in the group `agentperf.demo` that names a `DeskAgent` class; the
core finds it there and so never imports a framework.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Protocol

from agentperf_core.bench.endpoint import Provider
from agentperf_core.bench.workloads.desk import SupportDesk
from agentperf_core.bench.workloads.plugins import DeskPlugins
from agentperf_core.events import BUS, DecisionMade, Event
from agentperf_core.telemetry import LatencyReport

__all__ = [
    "SCENARIO",
    "SYSTEM_PROMPT",
    "DeskAgent",
    "DeskSetup",
    "Played",
    "Turn",
    "desk_agents",
    "play",
]

SYSTEM_PROMPT = (
    "You are the support desk of a small shop for home goods. Look facts up with your tools, never "
    "guess an order's state, and open a ticket when something arrived broken. Be brief and kind. "
    "You know by heart: a new password comes by 'Forgot password' on the sign-in page; we take "
    "credit cards, PayPal and bank transfers; things can be returned for free for 30 days."
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that a user says.

    Attributes:
        session: the conversation it belongs to; a new name is a new conversation.
        text: what the user says.
        llm_calls: model calls that an agent without a cache makes.
        tool_calls: tool calls that its answers ask for, cached or not.
        exact: model calls of these that the exact tier answers.
        normalised: those that the tier of normalised wordings answers.
        semantic: those that the semantic tier answers, where there is an encoder.
        tools_served: tool calls that a cache of tool results answers.
        like: the earlier question that this one puts in other words, or seems to.
    """

    session: str
    text: str
    llm_calls: int
    tool_calls: int
    exact: int = 0
    normalised: int = 0
    semantic: int = 0
    tools_served: int = 0
    like: str = ""

    def left(self, *, encoder: bool) -> int:
        """Model calls that are left with the caches, with or without an encoder."""
        served = self.exact + self.normalised + (self.semantic if encoder else 0)
        return self.llm_calls - served


_REFUND = "How long does a refund take?"
_NORWAY = "Do you ship to Norway?"
_ANA = "Where is my order? My address is ana@example.com"
_BEN = "My teapot arrived broken, please open a ticket. I am ben@example.com"
_CARLA = "Where is my order? My address is carla@example.com"
_PASSWORD = "How do I reset my password?"  # noqa: S105 - a question
_PAY = "Which payment methods do you accept?"
_RETURN = "Can I return a lamp after 20 days?"

SCENARIO: tuple[Turn, ...] = (
    Turn("chat-01", _ANA, 4, 3),
    Turn("chat-02", _REFUND, 2, 1),
    Turn("chat-03", _NORWAY, 2, 1),
    Turn("chat-04", _REFUND, 2, 1, exact=2, tools_served=1),
    Turn("chat-05", _BEN, 3, 2),
    Turn("chat-06", _ANA, 4, 3, exact=4, tools_served=3),
    Turn("chat-03", "Can I return opened items?", 2, 1),
    Turn("chat-07", _NORWAY, 2, 1, exact=2, tools_served=1),
    Turn("chat-08", _CARLA, 4, 3),
    Turn("chat-09", _REFUND, 2, 1, exact=2, tools_served=1),
    Turn("chat-10", _CARLA, 4, 3, exact=4, tools_served=3),
    Turn("chat-05", "Thank you.", 1, 0),
    Turn("chat-11", _PASSWORD, 1, 0),
    Turn("chat-12", _PAY, 1, 0),
    Turn("chat-13", _RETURN, 1, 0),
    Turn("chat-14", "how do I reset my password, please", 1, 0, normalised=1, like=_PASSWORD),
    Turn("chat-15", "I forgot my password, how do I reset it?", 1, 0, semantic=1, like=_PASSWORD),
    Turn("chat-16", "Which payment methods are accepted?", 1, 0, semantic=1, like=_PAY),
    Turn("chat-17", "Can I return a lamp after 40 days?", 1, 0, like=_RETURN),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskSetup:
    """What an agent of the desk is built from.

    Attributes:
        tools: the desk's tools as plain functions.
        model: the model's name.
        provider: where requests go.
        plugins: the caches; without, the agent is measured and nothing else changes.
    """

    tools: Sequence[Callable[..., str]]
    model: str
    provider: Provider
    plugins: DeskPlugins | None


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


@dataclass(frozen=True, slots=True)
class Played:
    """What one run of the scenario gave.

    Attributes:
        answers: the agent's answers, a turn each.
        decisions: what the caches decided, turn by turn.
        report: the recorded runs, one per turn.
    """

    answers: tuple[str, ...]
    decisions: tuple[tuple[DecisionMade, ...], ...]
    report: LatencyReport


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
    plugins: DeskPlugins | None,
) -> Played:
    """Let a fresh agent take every turn, one after the other."""
    setup = DeskSetup(tools=desk.tools, model=model, provider=provider, plugins=plugins)
    agent = kind(setup)
    heard: list[DecisionMade] = []
    answers: list[str] = []
    decisions: list[tuple[DecisionMade, ...]] = []

    def listen(event: Event) -> None:
        if isinstance(event, DecisionMade) and event.room in {"cache", "tool_cache"}:
            heard.append(event)

    unsubscribe = BUS.subscribe(listen)
    try:
        for turn in SCENARIO:
            answers.append(await agent.ask(turn.session, turn.text))
            decisions.append(tuple(heard))
            heard.clear()
            if plugins is not None:
                # What is learnt from an answer is learnt behind it, long before people type again.
                await asyncio.to_thread(plugins.settle)
        return Played(tuple(answers), tuple(decisions), agent.report())
    finally:
        unsubscribe()
        await agent.close()
