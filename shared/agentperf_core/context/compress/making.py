"""A compressor out of what a class of an adapter was given, and the check of what it is given."""

from __future__ import annotations

from typing import Any

from agentperf_core.context.compress._checks import require_all, require_one
from agentperf_core.context.compress.compressor import Compressor
from agentperf_core.context.compress.extract import AsyncEmbed
from agentperf_core.context.recall import Embed
from agentperf_core.errors import ConfigError, require_instance

__all__ = ["compressor_from", "require_all", "require_one"]


def compressor_from(
    compressor: Compressor | None,
    embedder: tuple[Embed, AsyncEmbed] | None,
    options: dict[str, Any],
    *,
    name: str,
) -> Compressor:
    """The compressor that was given, or one of the other arguments.

    Args:
        compressor: a whole one.
        embedder: gives vectors of texts, sync and async.
        options: settings of `Compressor`.
        name: what the adapter calls the embedder.

    Raises:
        ConfigError: if both were given, or `compressor` is none.

    Example:
        >>> isinstance(compressor_from(None, None, {"ratio": 2}, name="embed"), Compressor)
        True
    """
    require_instance(Compressor, "write for instance Compressor(ratio=3)", compressor=compressor)
    if compressor is not None:
        if embedder is not None or options:
            names = [*([name] if embedder is not None else []), *options]
            msg = f"a compressor brings its own settings, got {names!r} besides; give them to it"
            raise ConfigError(msg)
        return compressor
    if embedder is None:
        return Compressor(**options)
    embed, aembed = embedder
    return Compressor.with_embedder(embed, aembed=aembed, **options)
