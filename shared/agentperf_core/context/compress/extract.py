"""The sentences of a text that matter for a query, letter for letter and in their order."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from agentperf_core.context.compress import _scoring
from agentperf_core.context.compress._checks import checked_text
from agentperf_core.context.compress._json import parsed
from agentperf_core.context.compress._long import Look, asked, looked_at, taken_whole, unread
from agentperf_core.context.compress._passages import (
    Passages,
    only_part,
    passages_of,
    removed_of,
    texts_of,
)
from agentperf_core.context.compress._picking import picked
from agentperf_core.context.compress.records import Reduced, Task
from agentperf_core.context.compress.strategy import computed
from agentperf_core.context.recall import Embed
from agentperf_core.errors import ConfigError, require_callable, require_number
from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow, Step

__all__ = ["AsyncEmbed", "Extractive"]

AsyncEmbed: TypeAlias = Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]]]
"""Like `Embed`, awaited."""

_WORDS_SHARE = 0.5  # of the best lexical score, beside a cosine
_FACTS_SHARE = 0.02  # enough to decide between units that are worth the same
_FOLLOWS = 0.5  # of its predecessor's worth, for a sentence that takes something back
_MOST_EMBEDDED = 256  # units of one call; the best by words
_CORRECTS = re.compile(
    r"(?:however|but|yet|except|unless|not|no longer|aber|jedoch|mais|cependant|pero|sin embargo"
    r"|ma|tuttavia|mas|\u043d\u043e|\u043e\u0434\u043d\u0430\u043a\u043e)\b"
    r"|\u4f46|\u7136\u800c|\u3057\u304b\u3057|\u305f\u3060\u3057|\ud558\uc9c0\ub9cc|\uadf8\ub7ec\ub098",
    re.IGNORECASE,
)


class Extractive:
    """Keeps whole sentences, lines, blocks of code and tables, as many as the target has room for.

    What a unit is worth is BM25 against the query, with `embed` the cosine besides, and a little
    more for numbers, names and negations. A sentence that takes something back ("However, not ...")
    goes with the one before it. Without a query, what the text speaks of most counts. Code comes
    before everything else where all of it takes at most half of the room. Nothing is reworded.

    Args:
        embed: vectors of texts; one that fails is done without, and the result says so.
        aembed: the same for async callers; default `embed` in a thread.
        diversity: what a unit loses that repeats a chosen one, as a share of the best worth.
        protect: a pattern; units that hold it are chosen before any other.
        gap: put where something is left out between two units, such as `" [...]"`.
        bus: where faults go.

    Raises:
        ConfigError: if `diversity` is not between 0 and 1, `protect` is no pattern, or another
            argument is of another kind.

    Example:
        >>> from agentperf_core.accounting.tokens import TokenCounter
        >>> from agentperf_core.flow import run
        >>> text = "Our shop is in Oslo. It opens at nine. We sell shoes. Returns take 30 days."
        >>> words = TokenCounter(lambda text: len(text.split()))
        >>> task = Task(text=text, tokens=8, query="How long do returns take?", counter=words)
        >>> run(Extractive().compress(task)).text
        'We sell shoes. Returns take 30 days.'
    """

    name = "extractive"

    def __init__(
        self,
        *,
        embed: Embed | None = None,
        aembed: AsyncEmbed | None = None,
        diversity: float = 0.2,
        protect: str | re.Pattern[str] | None = None,
        gap: str = "",
        bus: EventBus = BUS,
    ) -> None:
        require_callable("give a function from texts to vectors", embed=embed, aembed=aembed)
        require_number("leave it out for the default", diversity=diversity)
        if diversity > 1:
            msg = f"diversity is between 0 and 1, got {diversity!r}; leave it out for the default"
            raise ConfigError(msg)
        self._embed = embed
        self._aembed = aembed
        self._diversity = diversity
        self._protect = _pattern(protect)
        self._gap = checked_text(gap, "gap")
        self._bus = bus

    def compress(self, task: Task) -> Flow[Reduced]:
        """The best units of one text; JSON comes back as it is."""
        return (yield from self.compress_all([task], task.tokens))[0]

    def compress_all(self, tasks: Sequence[Task], tokens: int) -> Flow[list[Reduced]]:
        """The best units of several texts, chosen against one another; JSON comes back as it is.

        Of texts that are too long to be read closely, the passages that share most words with the
        query are read, or taken whole where there is room for more of them than can be read.
        """
        size = sum(len(task.text) for task in tasks)
        prose = yield from computed(_prose_of, size, tasks)
        found = [Reduced(task.text) for task in tasks]
        if not prose:
            return found
        some = [tasks[at] for at in prose]
        look = yield from computed(looked_at, size, some, tokens)
        if look.whole:
            chosen = yield from computed(
                lambda: taken_whole(some, look, tokens, gap=self._gap), size
            )
        else:
            chosen = yield from self._read(some, look, tokens, size)
        for at, reduced in zip(prose, chosen, strict=True):
            found[at] = reduced
        return found

    def _read(
        self, tasks: Sequence[Task], look: Look, tokens: int, size: int
    ) -> Flow[list[Reduced]]:
        """The best units of what is read closely."""
        passages = yield from computed(passages_of, size, tasks, look)
        query = asked(tasks[0].query)
        scores = yield from computed(
            _scoring.by_words, size, passages.says, passages.paragraphs, query
        )
        degraded = [look.degraded] if look.degraded else []
        if (self._embed is not None or self._aembed is not None) and query:
            try:
                scores = yield from self._with_meaning(passages, scores, query)
            except Exception as error:
                self._bus.fault("context.compress.embed", error)
                name = type(error).__name__
                degraded.append(f"the embedder failed ({name}), words alone decided")
        chosen = yield from computed(self._chosen, size, tasks, passages, scores, tokens)
        return [
            Reduced(
                reduced.text,
                reduced.removed + unread(spans, len(task.text)),
                degraded="; ".join(degraded),
            )
            for task, reduced, spans in zip(tasks, chosen, look.spans(len(tasks)), strict=True)
        ]

    def _with_meaning(
        self, passages: Passages, words: Sequence[float], query: str
    ) -> Flow[list[float]]:
        order = sorted(range(len(words)), key=lambda at: -words[at])[:_MOST_EMBEDDED]
        texts = [query, *(passages.says[at] for at in order)]
        vectors = yield from Step(self._vectors, self._avectors, texts)
        if len(vectors) != len(texts):
            msg = f"an embedder returns a vector per text, got {len(vectors)} for {len(texts)}"
            raise ValueError(msg)
        cosines = yield from computed(
            _scoring.by_meaning, sum(map(len, vectors)), vectors[1:], vectors[0]
        )
        scores = [_WORDS_SHARE * word for word in words]
        for at, cosine in zip(order, cosines, strict=True):
            scores[at] += cosine
        return scores

    def _vectors(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        if self._embed is None:
            msg = "this embedder is async only; use acompress()"
            raise TypeError(msg)
        return self._embed(texts)

    async def _avectors(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        if self._aembed is not None:
            return await self._aembed(texts)
        return await asyncio.to_thread(self._vectors, texts)

    def _chosen(
        self, tasks: Sequence[Task], passages: Passages, scores: Sequence[float], tokens: int
    ) -> list[Reduced]:
        says, units = passages.says, passages.units
        worth = [
            score + _FACTS_SHARE * _scoring.facts_bonus(text)
            for score, text in zip(scores, says, strict=True)
        ]
        for at in range(1, len(worth)):
            if units[at].kind == "prose" and _CORRECTS.match(says[at]):
                worth[at] = max(worth[at], _FOLLOWS * worth[at - 1])
        order = picked(
            says,
            worth,
            passages.costs,
            tokens,
            diversity=self._diversity,
            first=self._protected(passages, worth, tokens),
        )
        counter = tasks[0].counter
        while order:
            texts = texts_of(passages, order, gap=self._gap)
            over = sum(counter.count_text(text) for text in texts if text) - tokens
            if over <= 0:
                return [
                    Reduced(text, removed_of(passages, order, owner))
                    for owner, text in enumerate(texts)
                ]
            while order and over > 0:
                over -= max(passages.costs[order.pop()], 1)
        return only_part(passages, worth, tokens, counter)

    def _protected(self, passages: Passages, worth: Sequence[float], tokens: int) -> list[int]:
        protect = self._protect
        must = [
            at
            for at, text in enumerate(passages.says)
            if protect is not None and protect.search(text)
        ]
        held = set(must)
        code = [
            at for at, unit in enumerate(passages.units) if unit.kind == "code" and at not in held
        ]
        if sum(passages.costs[at] for at in code) * 2 <= tokens:
            must += code
        return sorted(must, key=lambda at: -worth[at])


def _pattern(protect: str | re.Pattern[str] | None) -> re.Pattern[str] | None:
    if protect is None or isinstance(protect, re.Pattern):
        return protect
    try:
        return re.compile(checked_text(protect, "protect"))
    except re.error as error:
        msg = f"protect is a regular expression, got {protect!r} ({error}); see re.escape()"
        raise ConfigError(msg) from error


def _prose_of(tasks: Sequence[Task]) -> list[int]:
    return [at for at, task in enumerate(tasks) if parsed(task.text) is None]
