"""LangChain agents: faster, cheaper and measurable, without a rewrite.

Every name is loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_agentperf.caches import ExactCache
    from langchain_agentperf.callbacks import LatencyCallbackHandler, latency_callback
    from langchain_agentperf.middleware.response_cache import ResponseCacheMiddleware

__all__ = [
    "ExactCache",
    "LatencyCallbackHandler",
    "ResponseCacheMiddleware",
    "latency_callback",
]

_HOMES = {
    "ExactCache": "caches",
    "LatencyCallbackHandler": "callbacks",
    "ResponseCacheMiddleware": "middleware.response_cache",
    "latency_callback": "callbacks",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = _load(f"{__name__}.{home}", name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _load(module: str, name: str) -> object:
    try:
        found: object = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"langchain", "langchain_core", "langgraph"}:
            raise
        from agentperf_core.errors import MissingExtra

        msg = f"{name} needs {missing!r}: pip install 'agentperf-pack[langchain]'"
        raise MissingExtra(msg, module=missing, extra="langchain") from error
    # Users see `langchain_agentperf.ExactCache`, wherever the class lives.
    found.__module__ = __name__
    return found
