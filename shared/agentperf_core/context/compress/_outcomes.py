"""What becomes of a text after a strategy has had its turn: its result, or the text as it was."""

from __future__ import annotations

from dataclasses import replace

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.compress.records import Applied, Compressed, Outcome, Reduced
from agentperf_core.errors import AgentPerfError

__all__ = ["after"]


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
        tokens = counter.count_text(text)
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
