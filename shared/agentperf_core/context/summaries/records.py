"""What is known of a summary: its text, what it covers, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Any, TypeAlias

from agentperf_core.context.records import Cut
from agentperf_core.context.turns import Repair
from agentperf_core.errors import CodecError, ConfigError
from agentperf_core.types import Message, Usage

__all__ = [
    "Coverage",
    "Places",
    "Summary",
    "Trimmed",
    "digest_of",
    "each_place",
    "places_of",
    "require_message",
]

Places: TypeAlias = tuple[tuple[int, int], ...]
"""Places of messages as ranges, first included, last excluded, in order."""

HEADING = "Summary of the earlier part of this conversation, for reference:\n"


def places_of(places: Iterable[int]) -> Places:
    """Single places as ranges.

    Example:
        >>> places_of([4, 0, 1, 2])
        ((0, 3), (4, 5))
    """
    found: list[tuple[int, int]] = []
    for place in sorted(set(places)):
        if found and found[-1][1] == place:
            found[-1] = (found[-1][0], place + 1)
        else:
            found.append((place, place + 1))
    return tuple(found)


def each_place(places: Places) -> Iterator[int]:
    """Every single place of some ranges."""
    for first, end in places:
        yield from range(first, end)


def digest_of(messages: Iterable[Message]) -> str:
    """A fingerprint of what some messages say, by which an edited history is noticed."""
    found = blake2b(digest_size=16)
    for message in messages:
        calls = [(call.id, call.name, repr(call.arguments)) for call in message.tool_calls]
        said = (message.role, message.text, message.tool_call_id, calls)
        found.update(repr(said).encode("utf-8", "surrogatepass"))
    return found.hexdigest()


def require_message(message: object) -> None:
    """Check a message before it is noted: one without a text breaks every summary from then on.

    Raises:
        ConfigError: if it is none, or its text is no text.
    """
    text: object = message.text if isinstance(message, Message) else None
    if not isinstance(text, str):
        msg = f"a conversation takes Messages with a text, got {message!r}; say text='' for none"
        raise ConfigError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A summary of the earlier part of a conversation; the next one extends it.

    Attributes:
        text: what the model reads, without the heading.
        covers: the places of all messages that it tells of, those of earlier summaries included.
        tokens: what it costs as a message of the prompt.
        source_tokens: what the covered messages cost.
        digest: a fingerprint of the covered messages.
        calls: how many model calls were made for it and those that it extends.
        usage: what these calls used, `None` if none of them said.
        cost_usd: what they cost, `None` if a price is not known.
        model: who wrote it, `None` if nobody said.
        clipped: whether it was longer than it may be, and its middle was left out.
    """

    text: str
    covers: Places
    tokens: int
    source_tokens: int
    digest: str
    calls: int = 0
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    model: str | None = None
    clipped: bool = False

    def message(self) -> Message:
        """The summary as it stands in the prompt.

        Of the user and not of the system: words of users and tools, retold, must not command.
        """
        return Message(role="user", text=HEADING + self.text)

    def record(self) -> dict[str, Any]:
        """Plain JSON data, the text included; `Summary.of(record)` is equal again."""
        return {
            "text": self.text,
            "covers": [list(pair) for pair in self.covers],
            "tokens": self.tokens,
            "source_tokens": self.source_tokens,
            "digest": self.digest,
            "calls": self.calls,
            "usage": None if self.usage is None else self.usage.as_dict(),
            "cost_usd": None if self.cost_usd is None else str(self.cost_usd),
            "model": self.model,
            "clipped": self.clipped,
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Summary:
        """The summary of a `record()`.

        Raises:
            CodecError: if it is none.

        Example:
            >>> one = Summary(text="x", covers=((0, 2),), tokens=9, source_tokens=40, digest="d")
            >>> Summary.of(one.record()) == one
            True
        """
        try:
            fields = dict(record)
            covers = tuple((int(first), int(end)) for first, end in fields["covers"])
            usage, cost = fields["usage"], fields["cost_usd"]
            fields["covers"] = covers
            fields["usage"] = None if usage is None else Usage(**usage)
            fields["cost_usd"] = None if cost is None else Decimal(cost)
            return cls(**fields)
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            msg = f"a saved summary has the fields of Summary.record(), got {type(error).__name__}"
            raise CodecError(msg) from error


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of what left the window is in a summary.

    Attributes:
        evicted: messages that left the window so far.
        covered: those of them that the summary in the prompt tells of.
        ready: further ones in a summary that is written and waits for the next cut.
        pending: the others; they are kept, and will be summarised.
        tokens: what all that was evicted cost.
        covered_tokens: what the covered part of it cost.
    """

    evicted: int = 0
    covered: int = 0
    ready: int = 0
    pending: int = 0
    tokens: int = 0
    covered_tokens: int = 0

    @property
    def share(self) -> float:
        """Covered part of the evicted tokens; 1.0 if nothing was evicted."""
        return self.covered_tokens / self.tokens if self.tokens else 1.0

    def record(self) -> dict[str, Any]:
        """Plain JSON data."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**fields, "share": self.share}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed:
    """What a model is shown of a conversation: the window, and a summary of what left it.

    Attributes:
        messages: in order: those of the system, the summary, the window.
        tokens: what they cost, in the window's measure.
        left_out: how many of the messages are not among them.
        summary: the one among them; `None` if there is none yet.
        coverage: how much of what was left out it tells of.
        failed: why the last attempt at a summary gave none, as the name of an error.
        cuts: what was done to the window so far.
        repairs: what was wrong in what was added so far.
    """

    messages: Sequence[Message]
    tokens: int
    left_out: int
    summary: Summary | None
    coverage: Coverage
    failed: str | None = None
    cuts: Sequence[Cut] = ()
    repairs: Sequence[Repair] = ()

    def record(self) -> dict[str, Any]:
        """Plain JSON data for messages, spans and reports; without texts."""
        written = None if self.summary is None else self.summary.record()
        if written is not None:
            del written["text"], written["digest"]
        return {
            "tokens": self.tokens,
            "left_out": self.left_out,
            "summary": written,
            "coverage": self.coverage.record(),
            "failed": self.failed,
            "cuts": len(self.cuts),
            "repairs": [repair.kind for repair in self.repairs],
        }
