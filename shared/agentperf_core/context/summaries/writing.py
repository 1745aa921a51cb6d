"""Writing a summary: in one call, or part by part where the span is long.

All of the span goes through a call: a summary of the newest tenth of it would pass for the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.oversize import shortened
from agentperf_core.context.summaries.bounded import call
from agentperf_core.context.summaries.chat import rendered
from agentperf_core.context.summaries.records import HEADING
from agentperf_core.context.summaries.settings import SummarySettings, Written
from agentperf_core.errors import AgentPerfError
from agentperf_core.flow import Flow
from agentperf_core.types import Message, Usage

__all__ = ["Bill", "NoSummary", "Writer"]

_PART = 4  # a part's summary is at most a quarter of a part, so that summaries of parts get fewer


class NoSummary(AgentPerfError):  # noqa: N818 - what happened
    """A summariser gave nothing that is a summary."""


@dataclass(slots=True)
class Bill:
    """What summarising has cost.

    Attributes:
        calls: how many calls were answered.
        usage: what they used; `None` if none said.
        cost_usd: what they cost; `None` as long as a price is not known.
        priced: whether every one had a price.
        model: who answered last, if they said.
    """

    calls: int = 0
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    priced: bool = True
    model: str | None = None

    def add(self, written: Written, settings: SummarySettings) -> None:
        """Add one call."""
        self.calls += 1
        self.model = written.model or self.model
        cost = None
        if written.usage is not None:
            self.usage = written.usage if self.usage is None else self.usage + written.usage
            if written.model:
                cost = settings.prices.price(written.usage, written.model)
        self._add_cost(cost)

    def extend(
        self, calls: int, usage: Usage | None, cost_usd: Decimal | None, model: str | None
    ) -> None:
        """Add what an earlier summary has cost."""
        if not calls:
            return
        self.calls += calls
        self.model = self.model or model
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage + usage
        self._add_cost(cost_usd)

    def _add_cost(self, cost: Decimal | None) -> None:
        # A sum with an unknown part is not known.
        self.priced = self.priced and cost is not None
        known = (self.cost_usd or Decimal(0)) + (cost or Decimal(0))
        self.cost_usd = known if self.priced else None


@dataclass(slots=True)
class Writer:
    """Writes one summary.

    Args:
        settings: who writes, and in which pieces.
        counter: counts tokens.
        tokens: what the summary may cost as a message.
        bill: told of every call.

    Attributes:
        clipped: whether an answer was longer than it may be.
    """

    settings: SummarySettings
    counter: TokenCounter
    tokens: int
    bill: Bill = field(default_factory=Bill)
    clipped: bool = False

    def write(self, messages: Sequence[Message], previous: str | None) -> Flow[str]:
        """The summary of some messages that extends the one before.

        Raises:
            NoSummary: if the summariser answers with nothing or with something else than text.
            TimeoutError: if it takes too long.
        """
        room = self.tokens - self._frame()
        size = self.settings.chunk_tokens
        taken = self.counter.count_text(previous) if previous else 0
        parts = list(self._parts(messages, max(size - taken, size // 2)))
        while len(parts) > 1:
            summaries: list[Message] = []
            for number, part in enumerate(parts, 1):
                text = yield from self._ask(part, None, min(room, size // _PART))
                summaries.append(Message(role="assistant", name=f"part {number}", text=text))
            parts = list(self._parts(summaries, max(size - taken, size // 2)))
        return (yield from self._ask(parts[0] if parts else (), previous, room))

    def cost(self, text: str) -> int:
        """What a summary costs in the prompt."""
        return self.counter.count_message(Message(role="user", text=HEADING + text))

    def _frame(self) -> int:
        return self.cost("") + 1

    def _ask(self, messages: Sequence[Message], previous: str | None, room: int) -> Flow[str]:
        settings = self.settings
        answer: object = yield from call(
            settings.summarize, messages, previous, room, settings.timeout_s
        )
        written = Written(text=answer) if isinstance(answer, str) else answer
        if not isinstance(written, Written) or not isinstance(written.text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users' functions give anything
            msg = f"a summariser answers with text or Written, got {type(answer).__name__!r}"
            raise NoSummary(msg + "; return one of them")
        self.bill.add(written, settings)
        if not written.text.strip():
            msg = "the summariser answered with nothing; the messages are kept and asked for again"
            raise NoSummary(msg)
        return self._fitting(written.text.strip(), room)

    def _fitting(self, text: str, room: int) -> str:
        """The text, without its middle if it is too long."""
        most = room + self._frame()
        aim = room
        found = text
        while self.cost(found) > most:
            self.clipped = True
            if aim <= 0:
                msg = f"a summary of {room} tokens is asked for, and its heading alone is longer"
                raise NoSummary(msg + "; give more tokens")
            found = shortened(Message(role="user", text=text), aim, self.counter).text.strip()
            aim -= max(room // 8, 1)
        return found

    def _parts(self, messages: Sequence[Message], size: int) -> Iterator[Sequence[Message]]:
        """The messages in parts that fit one call."""
        part: list[Message] = []
        total = 0
        for message in messages:
            for piece, cost in self._pieces(message, size):
                if part and total + cost > size:
                    yield part
                    part, total = [], 0
                part.append(piece)
                total += cost
        if part:
            yield part

    def _pieces(self, message: Message, size: int) -> Iterator[tuple[Message, int]]:
        """A message, or pieces of one that is too large for a call."""
        # Counting ten megabytes takes seconds: what has more characters than any part is not tried.
        if len(message.text) <= 16 * size:
            cost = self.counter.count_message(message)
            if cost <= size:
                yield message, cost
                return
        whole = replace(message, text=rendered(message), tool_calls=(), blocks=(), origin=None)
        step = max(2 * size, 1)
        for at in range(0, len(whole.text), step):
            yield from self._halved(replace(whole, text=whole.text[at : at + step]), size)

    def _halved(self, piece: Message, size: int) -> Iterator[tuple[Message, int]]:
        cost = self.counter.count_message(piece)
        if cost <= size or len(piece.text) < 2:
            yield piece, cost
            return
        middle = len(piece.text) // 2
        for text in (piece.text[:middle], piece.text[middle:]):
            yield from self._halved(replace(piece, text=text), size)
