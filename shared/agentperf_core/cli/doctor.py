"""`doctor`: what is installed, what it will use, and what is missing."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from agentperf_core import __version__
from agentperf_core.accounting import TokenCounter
from agentperf_core.bench.servers import (
    RedisNodes,
    RedisServer,
    ServerUnavailable,
    plain_redis,
    redis_cluster,
    redis_stack,
)
from agentperf_core.optional import require
from agentperf_core.telemetry.report.table import table

if TYPE_CHECKING:
    from agentperf_core.cli._types import Commands

__all__ = ["register"]

_PACKAGES = {
    "langchain": "langchain",
    "langchain-core": "langchain",
    "langgraph": "langchain",
    "langchain-openai": "openai",
    "llama-index-core": "llamaindex",
    "llama-index-llms-openai": "llamaindex",
    "openai": "openai",
    "redis": "redis",
    "tiktoken": "tokens",
    "genai-prices": "pricing",
    "numpy": "semantic",
    "sentence-transformers": "embeddings",
    "torch": "local",
    "transformers": "local",
    "opentelemetry-api": "otel",
    "prometheus-client": "prometheus",
}


def register(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("doctor", help="versions, HTTP stack, tokenizers, Redis, GPU")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    del options
    print(f"agentperf-pack {__version__}, Python {platform.python_version()}\n")
    rows = [
        [name, _version(name) or f"missing (extra: {extra})"] for name, extra in _PACKAGES.items()
    ]
    print(table(["package", "version"], rows))
    print()
    checks: dict[str, Callable[[], str]] = {
        "HTTP stack": _http,
        "tokenizers": _tokenizers,
        "Redis": _redis,
        "redis-server": lambda: _starts(plain_redis()),
        "query engine": lambda: _starts(redis_stack()),
        "Redis Cluster": lambda: _starts(redis_cluster()),
        "GPU": _gpu,
    }
    print(table(["part", "state"], [[part, _safely(check)] for part, check in checks.items()]))
    return 0


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _safely(check: Callable[[], str]) -> str:
    """A broken installation is what a doctor is called for, so no check may end the visit."""
    try:
        return check()
    except Exception as error:
        return f"failed: {type(error).__name__}: {error}"


def _http() -> str:
    openai = _version("openai")
    if openai is None:
        return "openai is not installed"
    base: type[Any] = require("openai", extra="openai").OpenAI
    # The SDK's default client subclasses the HTTP library that it was built on.
    library = next(
        (
            cls.__module__.partition(".")[0]
            for cls in require("openai", extra="openai").DefaultHttpxClient.__mro__
            if cls.__module__.startswith("httpx")
        ),
        "an unknown library",
    )
    http2 = (
        "HTTP/2 possible (h2 is installed)" if find_spec("h2") else "HTTP/1.1 only (extra: http2)"
    )
    return f"{base.__name__} {openai} on {library} {_version(library) or ''}, {http2}"


def _tokenizers() -> str:
    models = ("gpt-4o-mini", "gpt-4")
    counters = {model: TokenCounter.for_model(model) for model in models}
    return ", ".join(f"{model}: {counter.method}" for model, counter in counters.items())


def _redis() -> str:
    if _version("redis") is None:
        return "redis-py is not installed (extra: redis); caches live in memory"
    url = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
    redis = require("redis", extra="redis")
    client = redis.Redis.from_url(url, socket_connect_timeout=0.5, socket_timeout=0.5)
    try:
        info = client.info("server")
        modules = ", ".join(str(module["name"]) for module in info.get("modules", ())) or "none"
        return f"server {info['redis_version']}, modules: {modules}"
    except redis.RedisError as error:
        return f"not reachable ({type(error).__name__}; set REDIS_URL); caches live in memory"
    finally:
        client.close()


def _starts(server: AbstractContextManager[RedisServer | RedisNodes]) -> str:
    """What tests and benchmarks start for themselves; caches use the server of `REDIS_URL`."""
    try:
        with server as running:
            nodes = running.nodes if isinstance(running, RedisNodes) else (running,)
            shown = f"{len(nodes)} nodes of {nodes[0].version}" if nodes[1:] else nodes[0].version
            return f"{shown} starts here, for tests and benchmarks"
    except ServerUnavailable as error:
        return f"cannot start here (only tests and benchmarks need it): {error}"


def _gpu() -> str:
    if _version("torch") is None:
        return "torch is not installed (extra: local)"
    torch = require("torch", extra="local")
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} sees no CUDA device"
    return f"torch {torch.__version__}: {torch.cuda.get_device_name(0)}"
