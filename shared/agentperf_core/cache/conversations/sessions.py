"""Conversations by session and tenant, over any store, whole also while the store is down.

What a store that is down means:

- what is said is kept in hand, in order, and stored with the next step that finds the store again;
  if the first try was stored after all, it is not stored twice;
- a conversation that was read here before is read from hand;
- one that was not raises `ConversationUnavailable`: an agent that takes a lost history for an empty
  one does harm that nobody sees. `when_down="go_on"` reads what is in hand instead;
- nothing is archived, and who forgets or replaces something is told by the same error;
- what still waits when they are closed is told of, with its number.

Each outage is told once, as a fault of `cache.conversations`, and its end as a decision. Messages
that a store refuses while it answers are no outage: they are told of as a fault of
`cache.conversations.refused`, hold up none of those behind them, and are tried again by `close`.
"""

from __future__ import annotations

from typing import Self

from agentperf_core.breaker import Breaker
from agentperf_core.cache.conversations.base import ConversationStore, ConversationUnavailable
from agentperf_core.cache.conversations.given import require_store, require_text
from agentperf_core.cache.conversations.home import WhenDown
from agentperf_core.cache.conversations.keeping import Keeping
from agentperf_core.cache.conversations.memory import MemoryConversations
from agentperf_core.cache.conversations.session import Conversation, Said, prefix_of
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import ConfigError, require_positive
from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow, arun, run

__all__ = ["Conversation", "Conversations", "Said", "WhenDown"]


class Conversations(Keeping):
    """All conversations of a store; make one and share it. Safe under threads and event loops.

    Args:
        store: where they are kept; default in this process.
        when_down: what reading does when the store is down and nothing was read here before.
        in_hand: of how many conversations the last reading is remembered, for such times; those
            with messages that wait to be stored are remembered in any case.
        failures: how many failures in a row stop us from asking the store.
        open_s: seconds until it is asked again.
        clock: where the time comes from.
        bus: receives the faults, and decisions of the room `cache.conversations`.

    Raises:
        ConfigError: if an argument cannot mean anything.

    Example:
        >>> conversations = Conversations()
        >>> talk = conversations.of("session-7", tenant="acme")
        >>> talk.append([{"role": "user", "text": "My cat is called Miso."}])
        True
        >>> [said.record["text"] for said in talk.read()]
        ['My cat is called Miso.']
        >>> conversations.of("session-7", tenant="other").read()
        []
    """

    def __init__(
        self,
        store: ConversationStore | None = None,
        *,
        when_down: WhenDown = "raise",
        in_hand: int = 64,
        failures: int = 3,
        open_s: float = 5.0,
        clock: Clock = SYSTEM_CLOCK,
        bus: EventBus = BUS,
    ) -> None:
        require_positive(in_hand=in_hand)
        if when_down not in {"raise", "go_on"}:
            msg = f"when_down must be 'raise' or 'go_on', got {when_down!r}; 'raise' loses nothing"
            raise ConfigError(msg)
        super().__init__(
            MemoryConversations() if store is None else require_store(store),
            breaker=Breaker(failures=failures, open_s=open_s, clock=clock),
            bus=bus,
            most=in_hand,
        )
        self.when_down: WhenDown = when_down

    def __repr__(self) -> str:
        return f"Conversations({self.store!r})"

    def __deepcopy__(self, memo: object) -> Self:
        return self  # frameworks copy what holds it; a copy would be the same store

    def of(self, session: str, *, tenant: str = "") -> Conversation:
        """The conversation of a session; the same session of another tenant is another one.

        Raises:
            ConfigError: if a name is not text, or the session has none.
        """
        if not _is_text(session) or not session or not _is_text(tenant):
            msg = (
                f"a conversation has a session and a tenant, both text, got {session!r} and "
                f"{tenant!r}; name the session as your program does"
            )
            raise ConfigError(msg)
        return Conversation(self, session, tenant)

    def sessions(self, *, tenant: str = "") -> list[str]:
        """The sessions of a tenant that have messages, sorted; asks the store as it is."""
        return run(self._sessions(tenant))

    async def asessions(self, *, tenant: str = "") -> list[str]:
        """Like `sessions`."""
        return await arun(self._sessions(tenant))

    def _sessions(self, tenant: str) -> Flow[list[str]]:
        require_text("leave it out for those of nobody", tenant=tenant)
        prefix = prefix_of(tenant)
        found = yield from self.asked(self.store.names(prefix))
        if found is None:
            msg = "sessions cannot be listed while their store does not answer; try again later"
            raise ConversationUnavailable(msg)
        return sorted(name.removeprefix(prefix) for name in found[0])


def _is_text(value: object) -> bool:
    return isinstance(value, str)
