"""`Compressor`: strategies in order, until the text fits; each text once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.compress._memo import Memo
from agentperf_core.context.compress._outcomes import after
from agentperf_core.context.compress.cleanup import CleanUp
from agentperf_core.context.compress.extract import AsyncEmbed, Extractive
from agentperf_core.context.compress.records import Compressed, Reduced, Task
from agentperf_core.context.compress.strategy import JointStrategy, Strategy, as_strategy
from agentperf_core.context.compress.structured import Structured
from agentperf_core.context.recall import Embed
from agentperf_core.errors import ConfigError, require_instance, require_positive
from agentperf_core.events import BUS, DecisionMade, EventBus
from agentperf_core.flow import Flow, arun, run

__all__ = ["Compressor"]


class Compressor:
    """Makes texts shorter: each strategy in turn, while the target is not reached.

    A strategy that fails, returns nothing or makes it longer leaves the text as it was, and the
    result says so. What has been compressed once is remembered, failures too: a text that was sent
    is sent again letter for letter, so that the provider's prompt cache keeps its prefix.

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
        ConfigError: if there is no strategy, the ratio is below 1, or another number cannot mean
            anything.

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
        require_positive(ratio=ratio, max_tokens=max_tokens)
        require_instance(TokenCounter, "use TokenCounter.for_model(...)", counter=counter)
        if ratio < 1:
            msg = f"ratio says how many times smaller, at least 1, got {ratio!r}; 3 suits most"
            raise ConfigError(msg)
        if min_tokens < 0 or memo_bytes < 0:
            msg = (
                f"min_tokens and memo_bytes must be >= 0, got {min_tokens!r} and {memo_bytes!r}; "
                "leave them out for the defaults"
            )
            raise ConfigError(msg)
        if strategies is None:
            strategies = (CleanUp(), Structured(), Extractive(bus=bus))
        if not strategies:
            msg = f"a compressor needs a strategy, got {strategies!r}; leave it out for the usual"
            raise ConfigError(msg)
        self._strategies = [as_strategy(strategy) for strategy in strategies]
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
        require_positive(tokens=tokens)
        key = (tuple(texts), query, tokens)
        found = self._memo.get(key)
        if found is None:
            found = yield from self._compressed(texts, query, tokens)
            found = self._memo.put(key, found)
        return list(found)

    def _compressed(
        self, texts: Sequence[str], query: str, tokens: int | None
    ) -> Flow[list[Compressed]]:
        costs = [self.counter.count_text(text) for text in texts]
        total = sum(costs)
        target = tokens if tokens is not None else self._target(total)
        tasks = [
            Task(
                text=text,
                tokens=_share(target, cost, total),
                query=query,
                counter=self.counter,
            )
            for text, cost in zip(texts, costs, strict=True)
        ]
        found = [
            Compressed(text=task.text, before=cost, tokens=cost, target=task.tokens)
            for task, cost in zip(tasks, costs, strict=True)
        ]
        if total < self._min_tokens:
            return found
        for strategy in self._strategies:
            now = sum(one.tokens for one in found)
            if now <= target:
                break
            tasks = [replace(task, text=one.text) for task, one in zip(tasks, found, strict=True)]
            found = yield from self._applied(strategy, tasks, found, target)
        self._tell(found)
        return found

    def _tell(self, found: Sequence[Compressed]) -> None:
        if not self._bus.listening:
            return
        for one in found:
            if one.steps:
                self._bus.emit(
                    DecisionMade(
                        room="context",
                        outcome="compressed" if one.tokens < one.before else "kept",
                        reason=f"{one.before} tokens became {one.tokens} of at most {one.target}",
                        details=one.record(),
                    )
                )

    def _target(self, total: int) -> int:
        target = max(int(total / self._ratio), 1)
        return target if self._max_tokens is None else min(target, self._max_tokens)

    def _applied(
        self, strategy: Strategy, tasks: list[Task], found: list[Compressed], target: int
    ) -> Flow[list[Compressed]]:
        """What one strategy makes of the texts."""
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
        return [
            after(
                one,
                result,
                strategy=strategy.name,
                counter=self.counter,
                alone=len(tasks) == 1,
            )
            for one, result in zip(found, made, strict=True)
        ]


def _share(target: int, cost: int, total: int) -> int:
    return max(target * cost // total, 1) if total else target
