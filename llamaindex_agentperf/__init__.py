"""LlamaIndex agents, faster, cheaper and measurable.

The classes load when they are first used: importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from agentperf_core.optional import require

if TYPE_CHECKING:
    from llamaindex_agentperf.instrumentation import (
        LatencyEventHandler,
        LatencySpanHandler,
        instrument,
    )
    from llamaindex_agentperf.llms.cached import CachedLLM

__all__ = ["CachedLLM", "LatencyEventHandler", "LatencySpanHandler", "instrument"]

_HOMES = {
    "CachedLLM": "llamaindex_agentperf.llms.cached",
    "LatencyEventHandler": "llamaindex_agentperf.instrumentation",
    "LatencySpanHandler": "llamaindex_agentperf.instrumentation",
    "instrument": "llamaindex_agentperf.instrumentation",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    require("llama_index.core", extra="llamaindex", purpose=f"llamaindex_agentperf.{name}")
    value: object = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
