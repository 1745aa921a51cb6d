"""What a memory works with and JSON cannot hold: it goes along within a process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from agentperf_core.context import TrimmerPool, trim_settings
from agentperf_core.errors import ConfigError, require_positive
from llamaindex_agentperf._held import loaded
from llamaindex_agentperf._summaries import Model, Tokenize, counter_of, summarizer_of
from llamaindex_agentperf._windows import core_options

__all__ = ["Live", "options_of"]


def options_of(saved: object) -> dict[str, Any]:
    """The options of a memory, as they were given or saved; those that were not saved are left out.

    Raises:
        ConfigError: if they are no mapping.
    """
    if not isinstance(saved, Mapping):
        msg = f"options must be a dict of settings by name, got {saved!r}; leave it out for none"
        raise ConfigError(msg)
    options = cast("Mapping[str, Any]", saved)
    found = {name: loaded(value) for name, value in options.items()}
    return {name: value for name, value in found.items() if value is not None}


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
        counter: counts tokens.

    Raises:
        ConfigError: if a setting cannot mean anything.
    """

    def __init__(
        self,
        token_limit: int | None,
        llm: Model,
        *,
        model_name: str,
        tokenizer_fn: Tokenize | None,
        options: Mapping[str, Any],
    ) -> None:
        require_positive(token_limit=token_limit)
        counter = self.counter = counter_of(tokenizer_fn, model_name)
        given: dict[str, Any] = {"pin": None, "oversize": "cut", **options}
        given |= core_options(given["pin"], given["oversize"])
        given |= {"max_tokens": token_limit, "counter": counter}
        window, summary = trim_settings(summarizer_of(llm, counter), **given)
        self.pool = TrimmerPool(window, summary, conversations=1)
        self._llm = llm
        self._made_of = token_limit, model_name, tokenizer_fn, dict(options)

    def suits(
        self,
        token_limit: int | None,
        llm: Model,
        *,
        model_name: str,
        tokenizer_fn: Tokenize | None,
        options: Mapping[str, Any],
    ) -> bool:
        """Whether it was made of these settings; a loaded memory may have been given others."""
        same = self._llm is llm
        return same and self._made_of == (token_limit, model_name, tokenizer_fn, dict(options))
