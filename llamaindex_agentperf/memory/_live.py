"""What a memory works with and JSON cannot hold: it goes along within a process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentperf_core.context import TrimmerPool, trim_settings
from llamaindex_agentperf._summaries import Model, Tokenize, counter_of, summarizer_of
from llamaindex_agentperf._windows import core_options

__all__ = ["Live"]


class Live:
    """The trimmer of a memory, also of those that it becomes when it is saved and loaded.

    Args:
        token_limit: see `SummaryTrimMemory`; so are the others.
        llm: as there.
        model_name: as there.
        tokenizer_fn: as there.
        options: as there.

    Attributes:
        pool: holds the trimmer.

    Raises:
        ConfigError: if a setting cannot mean anything.
    """

    def __init__(
        self,
        token_limit: int,
        llm: Model,
        *,
        model_name: str,
        tokenizer_fn: Tokenize | None,
        options: Mapping[str, Any],
    ) -> None:
        counter = counter_of(tokenizer_fn, model_name)
        given: dict[str, Any] = {"pin": None, "oversize": "cut", **options}
        given |= core_options(given["pin"], given["oversize"])
        given |= {"max_tokens": token_limit, "counter": counter}
        window, summary = trim_settings(summarizer_of(llm, counter), **given)
        self.pool = TrimmerPool(window, summary, conversations=1)
        self._llm = llm
        self._made_of = token_limit, model_name, tokenizer_fn, dict(options)

    def suits(
        self,
        token_limit: int,
        llm: Model,
        *,
        model_name: str,
        tokenizer_fn: Tokenize | None,
        options: Mapping[str, Any],
    ) -> bool:
        """Whether it was made of these settings; a loaded memory may have been given others."""
        same = self._llm is llm
        return same and self._made_of == (token_limit, model_name, tokenizer_fn, dict(options))
