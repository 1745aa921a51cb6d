"""Our window in the replay: with and without what left it being brought back."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np
from _memory_data import COUNTER, PRIMING, Talk
from _memory_score import Make, Method
from _semantic import minilm

from agentperf_core.cache.embedding.embedders import as_embedder
from agentperf_core.context import RecallSettings, SlidingWindow, View, WindowSettings
from agentperf_core.flow import run
from agentperf_core.types import Message


class Ours:
    """`SlidingWindow` with default settings.

    Args:
        talk: the conversation.
        budget: tokens of a prompt.
        recall: whether and when earlier messages come back.
        embed: vectors of texts, to search by meaning, too.
    """

    def __init__(
        self, talk: Talk, budget: int, *, recall: str | None = None, embed: Any = None
    ) -> None:
        self._history = talk.messages
        self._marks: list[Hashable] = []
        self._asking = False
        settings = WindowSettings(max_tokens=budget, reserve=PRIMING, counter=COUNTER)
        recalling = recall and RecallSettings(
            when="auto" if recall == "auto" else lambda _: self._asking,
            embed=embed,
            date=lambda message: str(message.origin) if message.origin else None,
        )
        self._window = SlidingWindow(settings, recall=recalling or None)

    def add(self, at: int) -> None:
        self._marks.append(at)

    def prompt(self) -> View:
        return self._window.follow(self._marks, self._history.__getitem__)

    def asked(self, question: Message) -> tuple[View, Message]:
        self._asking = True
        look = self._window.show(
            self._marks,
            self._history.__getitem__,
            beside=COUNTER.count_message(question),
            question=question.text,
        )
        found = run(look)
        self._asking = False
        return found, question

    def shown(self, prompt: View | tuple[View, Message]) -> Sequence[Message]:
        if isinstance(prompt, View):
            return prompt.messages
        return [*prompt[0].messages, prompt[1]]

    def own_cpu_s(self) -> None:
        return None


class Remembered:
    """An encoder whose vectors are kept: budgets share them, and so does nobody's CPU time."""

    def __init__(self, model: str | None) -> None:
        self._embedder = as_embedder(model or minilm())
        self._known: dict[str, Sequence[float]] = {}

    def __call__(self, texts: Sequence[str]) -> list[Sequence[float]]:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        for at in range(0, len(new), 64):
            batch = new[at : at + 64]
            vectors = self._embedder.embed(batch)
            self._known.update(zip(batch, np.asarray(vectors).tolist(), strict=True))
        return [self._known[text] for text in texts]


def methods(*, embeddings: bool, model: str | None = None) -> dict[str, Make]:
    """Our rows; with embeddings by MiniLM from its package, or by another encoder."""
    found: dict[str, Make] = {
        "ours": partial(Ours, recall="asked"),
        "ours, recall by its own words": partial(Ours, recall="auto"),
        "ours, no recall": Ours,
    }
    if embeddings:
        found["ours, embeddings"] = partial(Ours, recall="asked", embed=Remembered(model))
    return found


_: type[Method] = Ours
