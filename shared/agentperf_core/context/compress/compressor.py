"""`Compressor`: strategies in order, until the text fits; each text once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.compress._checks import checked_text, checked_texts, require_tokens
from agentperf_core.context.compress._memo import Memo, key_of
from agentperf_core.context.compress._outcomes import after, before, tell
from agentperf_core.context.compress.cleanup import CleanUp
from agentperf_core.context.compress.extract import AsyncEmbed, Extractive
from agentperf_core.context.compress.records import Compressed, Reduced, Task
from agentperf_core.context.compress.strategy import (
    JointStrategy,
    Strategy,
    as_strategies,
    computed,
)
from agentperf_core.context.compress.structured import Structured
from agentperf_core.context.recall import Embed
from agentperf_core.errors import (
    ConfigError,
    require_instance,
    require_number,
    require_positive,
)
from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow, arun, run

__all__ = ["Compressor"]


class Compressor:
    """Makes texts shorter: each strategy in turn, while the target is not reached.

    A strategy that fails, returns nothing or makes it longer leaves the text as it was, and the
    result says so. What has been compressed once is remembered, failures too: a text that was sent
    is sent again letter for letter, so that the provider's prompt cache keeps its prefix. Of a text
    of more than 250,000 characters, passages are chosen by a quick look, and the result says so.

    Args:
        strategies: `Strategy` objects, or functions of text, tokens and query; default clean-up,
            then JSON, then the sentences that matter.
        ratio: how many times smaller a text should become, where no target is given.
        max_tokens: what a text may cost at most, whatever the ratio says.
        min_tokens: texts below are left as they are.
        counter: counts tokens; default the estimate, see `TokenCounter`.
        memo_bytes: size of the memory for results in bytes; 0 turns it off.
        bus: where faults go.

    Attributes:
        counter: the counter in use.

    Raises:
        ConfigError: if the strategies are no list with one in it, the ratio is below 1, or another
            number cannot mean anything.

    Example:
        >>> words = TokenCounter(lambda text: len(text.split()))
        >>> compressor = Compressor(ratio=2, counter=words)
        >>> text = "Our shop is in Oslo. It opens at nine. We sell shoes. Returns take 30 days."
        >>> found = compressor.compress(text, query="How long do returns take?")
        >>> found.text, found.before, found.tokens
        ('We sell shoes. Returns take 30 days.', 16, 7)
    """

    def __init__(
        self,
        strategies: Sequence[Strategy | Callable[[str, int, str], Any]] | None = None,
        *,
        ratio: float = 3.0,
        max_tokens: int | None = None,
        min_tokens: int = 0,
        counter: TokenCounter | None = None,
        memo_bytes: int = 2**24,
        bus: EventBus = BUS,
    ) -> None:
        require_number("leave it out for 3", ratio=ratio)
        require_positive(ratio=ratio)
        require_tokens(max_tokens=max_tokens)
        require_instance(TokenCounter, "use TokenCounter.for_model(...)", counter=counter)
        if ratio < 1:
            msg = f"ratio says how many times smaller, at least 1, got {ratio!r}; 3 suits most"
            raise ConfigError(msg)
        hint = "leave it out for the default"
        require_number(hint, whole=True, min_tokens=min_tokens, memo_bytes=memo_bytes)
        if strategies is None:
            strategies = (CleanUp(), Structured(), Extractive(bus=bus))
        self._strategies = as_strategies(strategies)
        self._ratio = ratio
        self._max_tokens = max_tokens
        self._min_tokens = min_tokens
        self.counter = counter if counter is not None else TokenCounter()
        self._memo = Memo(memo_bytes)
        self._bus = bus

    @classmethod
    def with_embedder(
        cls, embed: Embed | None = None, *, aembed: AsyncEmbed | None = None, **options: Any
    ) -> Compressor:
        """The usual strategies with an embedder, which finds what is said in other words.

        Args:
            embed: vectors of texts.
            aembed: the same for async callers; default `embed` in a thread.
            **options: as the constructor takes them, but for `strategies`.

        Raises:
            ConfigError: if no embedder is given.
        """
        if embed is None and aembed is None:
            msg = (
                "an embedder is a function from texts to vectors, got none; give embed= or aembed="
            )
            raise ConfigError(msg)
        extractive = Extractive(embed=embed, aembed=aembed, bus=options.get("bus", BUS))
        return cls((CleanUp(), Structured(prose=extractive), extractive), **options)

    def compress(self, text: str, *, query: str = "", tokens: int | None = None) -> Compressed:
        """Make one text shorter.

        Args:
            text: the text.
            query: what it is read for.
            tokens: what it may cost; default what `ratio` and `max_tokens` make of it.

        Raises:
            ConfigError: if the text is none, or `tokens` is no whole number above 0.
        """
        return run(self.compressing([text], query=query, tokens=tokens))[0]

    async def acompress(
        self, text: str, *, query: str = "", tokens: int | None = None
    ) -> Compressed:
        """Like `compress`."""
        return (await arun(self.compressing([text], query=query, tokens=tokens)))[0]

    def compress_all(
        self, texts: Sequence[str], *, query: str = "", tokens: int | None = None
    ) -> list[Compressed]:
        """Make several texts shorter that are read together, such as retrieved documents.

        They share the target, and one that says nothing for the query may become empty.

        Args:
            texts: the texts, in order.
            query: what they are read for.
            tokens: what they may cost together; default what `ratio` and `max_tokens` make of all.

        Raises:
            ConfigError: if the texts are no list of texts, or `tokens` is no whole number above 0.
        """
        return run(self.compressing(texts, query=query, tokens=tokens))

    async def acompress_all(
        self, texts: Sequence[str], *, query: str = "", tokens: int | None = None
    ) -> list[Compressed]:
        """Like `compress_all`."""
        return await arun(self.compressing(texts, query=query, tokens=tokens))

    def compressing(
        self, texts: Sequence[str], *, query: str = "", tokens: int | None = None
    ) -> Flow[list[Compressed]]:
        """The flow behind the four, for callers that are flows themselves."""
        require_tokens(tokens=tokens)
        texts, query = checked_texts(texts), checked_text(query, "query")
        key = key_of(texts, query, tokens)
        found = self._memo.get(key)
        if found is None:
            found = yield from self._compressed(texts, query, tokens)
            found = self._memo.put(key, found)
        return list(found)

    def _compressed(
        self, texts: Sequence[str], query: str, tokens: int | None
    ) -> Flow[list[Compressed]]:
        size = sum(map(len, texts))
        costs = yield from computed(self._counted, size, texts)
        total = sum(costs)
        target = tokens if tokens is not None else self._target(total)
        pairs = before(texts, costs, query, target, self.counter)
        tasks, found = [task for task, _ in pairs], [one for _, one in pairs]
        if total < self._min_tokens:
            return found
        for strategy in self._strategies:
            now = sum(one.tokens for one in found)
            if now <= target:
                break
            tasks = [replace(task, text=one.text) for task, one in zip(tasks, found, strict=True)]
            made = yield from self._made(strategy, tasks, target)
            found = yield from computed(self._after, size, strategy.name, found, made)
        tell(self._bus, found)
        return found

    def _counted(self, texts: Sequence[str]) -> list[int]:
        return [self.counter.count_text(text) for text in texts]

    def _target(self, total: int) -> int:
        target = max(int(total / self._ratio), 1)
        return target if self._max_tokens is None else min(target, self._max_tokens)

    def _made(
        self, strategy: Strategy, tasks: list[Task], target: int
    ) -> Flow[list[Reduced | Exception]]:
        """What one strategy makes of the texts, or what it raises."""
        made: list[Reduced | Exception] = []
        if len(tasks) > 1 and isinstance(strategy, JointStrategy):
            try:
                made += yield from strategy.compress_all(tasks, target)
            except Exception as error:
                made += [error] * len(tasks)
        else:
            for task in tasks:
                try:
                    made.append((yield from strategy.compress(task)))
                except Exception as error:
                    made.append(error)
        if len(made) != len(tasks):
            made = [ValueError(f"{len(made)} results for {len(tasks)} texts")] * len(tasks)
        errors = [one for one in made if isinstance(one, Exception)]
        if errors:
            self._bus.fault("context.compress", errors[0])
        return made

    def _after(
        self, strategy: str, found: Sequence[Compressed], made: Sequence[Reduced | Exception]
    ) -> list[Compressed]:
        alone = len(found) == 1
        return [
            after(one, result, strategy=strategy, counter=self.counter, alone=alone)
            for one, result in zip(found, made, strict=True)
        ]
