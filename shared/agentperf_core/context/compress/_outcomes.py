"""What becomes of a text after a strategy has had its turn: its result, or the text as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.compress.records import Applied, Compressed, Outcome, Reduced, Task
from agentperf_core.errors import AgentPerfError
from agentperf_core.events import DecisionMade, EventBus

__all__ = ["after", "before", "tell"]


def before(
    texts: Sequence[str], costs: Sequence[int], query: str, target: int, counter: TokenCounter
) -> list[tuple[Task, Compressed]]:
    """What is to be done with each text, and its result while nothing has been done.

    Args:
        texts: the texts.
        costs: what each of them costs.
        query: what they are read for.
        target: what they may cost together.
        counter: counts tokens.
    """
    total = sum(costs)
    found: list[tuple[Task, Compressed]] = []
    for text, cost in zip(texts, costs, strict=True):
        share = max(target * cost // total, 1) if total else target
        task = Task(text=text, tokens=share, query=query, counter=counter)
        found.append((task, Compressed(text=text, before=cost, tokens=cost, target=share)))
    return found


def after(
    one: Compressed,
    result: Reduced | Exception,
    *,
    strategy: str,
    counter: TokenCounter,
    alone: bool,
) -> Compressed:
    """The text after one more strategy, with what the strategy did.

    Args:
        one: the text so far.
        result: what the strategy made of it, or what it raised.
        strategy: its name.
        counter: counts tokens.
        alone: whether it is the only text, so that it must not become empty.
    """
    outcome: Outcome = "applied"
    text, tokens, reason = one.text, one.tokens, ""
    if isinstance(result, Exception):
        # The type only, unless the words are ours: a message may quote the text.
        words = f": {result}" if isinstance(result, AgentPerfError) else ""
        outcome, reason = "failed", f"it raised {type(result).__name__}{words}"
    elif result.refused:
        outcome, reason = "refused", result.refused
    elif alone and not result.text.strip():
        outcome, reason = "refused", "nothing was left"
    else:
        text, reason = result.text, result.degraded
        tokens = one.tokens if text == one.text else counter.count_text(text)
        if tokens >= one.tokens:
            outcome, text, tokens = "kept", one.text, one.tokens
    removed = result.removed if outcome == "applied" and isinstance(result, Reduced) else ()
    step = Applied(
        strategy=strategy,
        outcome=outcome,
        reason=reason,
        before=one.tokens,
        after=tokens,
        removed=removed,
    )
    return replace(one, text=text, tokens=tokens, steps=(*one.steps, step))


def tell(bus: EventBus, found: Sequence[Compressed]) -> None:
    """Say what became of the texts, where anybody listens."""
    if not bus.listening:
        return
    for one in found:
        if one.steps:
            bus.emit(
                DecisionMade(
                    room="context",
                    outcome="compressed" if one.tokens < one.before else "kept",
                    reason=f"{one.before} tokens became {one.tokens} of at most {one.target}",
                    details=one.record(),
                )
            )
