"""What a compression is asked for and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from agentperf_core.accounting.tokens import TokenCounter

__all__ = ["Applied", "Compressed", "Outcome", "Reduced", "Removed", "Task"]

Outcome: TypeAlias = Literal["applied", "kept", "refused", "failed"]

_CHARACTERS = 8  # more than a token has in nearly all text


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One text to make shorter.

    Attributes:
        text: the text.
        tokens: what the result may cost.
        query: what the text is read for; empty if nobody knows.
        counter: counts tokens.
    """

    text: str
    tokens: int
    query: str = ""
    counter: TokenCounter

    @property
    def over(self) -> bool:
        """Whether the text costs more than it may."""
        return not self.fits(self.text)

    def fits(self, text: str) -> bool:
        """Whether a text costs no more than it may."""
        # Where the beginning is too much by itself, as it mostly is of megabytes, the rest, which
        # takes a tokenizer seconds, need not be counted.
        most = self.tokens * _CHARACTERS
        if len(text) > most and self.counter.count_text(text[:most]) > self.tokens:
            return False
        return self.counter.count_text(text) <= self.tokens


@dataclass(frozen=True, slots=True)
class Removed:
    """What was taken out of a text, by kind.

    Attributes:
        kind: such as `"sentence"`, `"politeness"`, `"row"`.
        pieces: the pieces themselves, in order; of what has no text of its own, or
            megabytes of it, a description.
    """

    kind: str
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reduced:
    """A shorter text.

    Attributes:
        text: what is left.
        removed: what was taken out; nothing for a text in other words.
        refused: why the strategy's own result was not taken; the text is the given one then.
        degraded: what a strategy did without, such as an embedder that failed.
    """

    text: str
    removed: tuple[Removed, ...] = ()
    refused: str = ""
    degraded: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """One strategy's turn.

    Attributes:
        strategy: its name.
        outcome: `"applied"`; `"kept"`, where it found nothing to do; `"refused"`, where its result
            lacked something that is protected; `"failed"`. The text changes only with the first.
        reason: why it failed or was refused, or what it did without, such as an embedder; one
            sentence for a person, without any of the text. Empty if all went well.
        before: tokens of the text that it was given.
        after: tokens of what it left.
        removed: what it took out.
    """

    strategy: str
    outcome: Outcome
    reason: str = ""
    before: int
    after: int
    removed: tuple[Removed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """A text after all strategies, and what each of them did.

    Attributes:
        text: what to send; the original if nothing helped.
        before: tokens of the original.
        tokens: tokens of `text`.
        target: what it should cost; of texts that share a target, its share by size.
        steps: the strategies that had a turn, in order.
    """

    text: str
    before: int
    tokens: int
    target: int
    steps: tuple[Applied, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the target was reached."""
        return self.tokens <= self.target

    @property
    def ratio(self) -> float:
        """How many times smaller the text is; 1.0 if it is unchanged."""
        return self.before / self.tokens if self.tokens else float(max(self.before, 1))

    @property
    def removed(self) -> tuple[Removed, ...]:
        """What was taken out, over all strategies."""
        return tuple(one for step in self.steps for one in step.removed)

    @property
    def faults(self) -> tuple[str, ...]:
        """What failed, was refused or was done without on the way, as sentences."""
        return tuple(f"{step.strategy}: {step.reason}" for step in self.steps if step.reason)

    def record(self) -> dict[str, Any]:
        """Plain JSON data: numbers and kinds, and nothing of the text."""
        return {
            "before": self.before,
            "tokens": self.tokens,
            "target": self.target,
            "steps": [
                {
                    "strategy": step.strategy,
                    "outcome": step.outcome,
                    "reason": step.reason,
                    "before": step.before,
                    "after": step.after,
                    "removed": {one.kind: len(one.pieces) for one in step.removed},
                }
                for step in self.steps
            ],
        }
