"""Vector indexes: exact for few vectors, a graph for many, Redis for many processes."""

from __future__ import annotations

from typing import Literal

from agentperf_core.cache.vectors.base import (
    RemoteMatch,
    RemoteVectorIndex,
    Vector,
    VectorError,
    VectorIndex,
)
from agentperf_core.cache.vectors.codec import decode_vector, encode_vector
from agentperf_core.cache.vectors.exact import ExactIndex
from agentperf_core.cache.vectors.growing import GrowingIndex
from agentperf_core.errors import ConfigError

__all__ = [
    "ExactIndex",
    "GrowingIndex",
    "RemoteMatch",
    "RemoteVectorIndex",
    "Vector",
    "VectorError",
    "VectorIndex",
    "decode_vector",
    "encode_vector",
    "new_index",
]


def new_index(
    dim: int,
    *,
    kind: Literal["auto", "exact", "graph"] = "auto",
    max_entries: int | None = None,
) -> VectorIndex:
    """A vector index for one scope of this process.

    Args:
        dim: how many numbers a vector has.
        kind: `"auto"` compares with every vector while there are few and builds a graph when there
            are many; `"exact"` never builds one, `"graph"` always does.
        max_entries: the oldest goes when there are more; `None` for no limit.

    Raises:
        ConfigError: if `kind` is unknown or a number is not positive.
        MissingExtra: if numpy is not installed, or usearch for `"graph"`.

    Example:
        >>> len(new_index(384))
        0
    """
    if kind == "exact":
        return ExactIndex(dim, max_entries=max_entries)
    if kind == "auto":
        return GrowingIndex(dim, max_entries=max_entries)
    if kind == "graph":
        return GrowingIndex(dim, border=0, max_entries=max_entries)
    msg = f'kind must be "auto", "exact" or "graph", got {kind!r}'
    raise ConfigError(msg)
