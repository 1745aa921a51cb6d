"""What `RedisVectorIndex` sends to the query engine, and how its answers read in both protocols."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from agentperf_core.cache.stores.redis_layout import Command
from agentperf_core.cache.vectors.base import RemoteMatch, Vector

__all__ = [
    "PUT",
    "Place",
    "count",
    "create",
    "is_complete",
    "knn_own",
    "knn_shared",
    "matches",
    "says",
    "total",
]

# The defaults of the engine (10 candidates) find the nearest vector in 95 of 100 searches.
_CANDIDATES = 100

# One command, so that no crash leaves an entry without its end.
PUT = """\
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'p', ARGV[2], 's', ARGV[3])
if ARGV[4] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return 1"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scope is: the index of all, its tag there, and the size of its vectors."""

    shared: str
    tag: str
    dim: int

    @property
    def own(self) -> str:
        """The name of its own index."""
        return f"{self.shared}:{self.tag}"

    def entry(self, ident: str) -> bytes:
        """The key of an entry."""
        return f"{self.own}:{ident}".encode("utf-8", "surrogatepass")


def knn_own(place: Place, query: Vector, k: int) -> Command:
    """The `k` nearest in the index of a scope's own."""
    return _knn(place.own, f"*=>[KNN {k} @v $q EF_RUNTIME {max(k, _CANDIDATES)} AS d]", query, k)


def knn_shared(place: Place, query: Vector, k: int) -> Command:
    """The `k` nearest with a scope's tag in the index of all."""
    return _knn(place.shared, f"(@s:{{{place.tag}}})=>[KNN {k} @v $q AS d]", query, k)


def create(name: str, prefix: str, kind: tuple[str, ...], dim: int) -> Command:
    """Make an index over the entries with a prefix; `kind` is the algorithm and what it has."""
    algorithm, *life = kind
    fields = ("TYPE", "FLOAT32", "DIM", str(dim), "DISTANCE_METRIC", "COSINE")
    return (
        *("FT.CREATE", name, "ON", "HASH", "PREFIX", "1", prefix, *life, "STOPWORDS", "0"),
        *("SCHEMA", "s", "TAG", "v", "VECTOR", algorithm, str(len(fields)), *fields),
    )


def count(place: Place) -> Command:
    """How many entries have a scope's tag."""
    every = f"@s:{{{place.tag}}}"
    return ("FT.SEARCH", place.shared, every, "LIMIT", "0", "0", "DIALECT", "2")


def _knn(name: str, wanted: str, query: Vector, k: int) -> Command:
    return (
        *("FT.SEARCH", name, wanted, "PARAMS", "2", "q", query.tobytes()),
        *("SORTBY", "d", "RETURN", "2", "d", "p", "LIMIT", "0", str(k)),
        *("DIALECT", "2"),
    )


def is_complete(info: Any) -> bool:
    """Whether an index has seen every entry that was there before it; from `FT.INFO`."""
    if isinstance(info, dict):
        found = cast("dict[bytes, Any]", info)
    else:
        found = dict[bytes, Any](zip(info[::2], info[1::2], strict=True))
    return float(found[b"percent_indexed"]) >= 1 and not int(found[b"indexing"])


def total(answer: Any) -> int:
    """How many a search found."""
    if isinstance(answer, dict):
        return int(cast("dict[bytes, Any]", answer)[b"total_results"])
    return int(answer[0])


def says(error: Exception, *phrases: str) -> bool:
    """Whether the server's words have one of these in them."""
    text = str(error).lower()
    return any(phrase in text for phrase in phrases)


def matches(answer: Any, prefix: int) -> Iterable[RemoteMatch]:
    """What a search found; `prefix` is how long the keys are before the ident."""
    for key, fields in _documents(answer):
        distance, payload = fields.get(b"d"), fields.get(b"p")
        # An entry whose time ended between the search and the reading of its fields has none.
        if distance is not None and payload is not None:
            cosine = min(1.0, max(-1.0, 1.0 - float(distance)))
            yield RemoteMatch(key[prefix:].decode("utf-8", "surrogatepass"), cosine, payload)


def _documents(answer: Any) -> Iterable[tuple[bytes, dict[bytes, bytes]]]:
    """Key and fields of each result, as RESP3 and as RESP2 have them."""
    if isinstance(answer, dict):
        results = cast("dict[bytes, Sequence[dict[bytes, Any]]]", answer)[b"results"]
        for found in results:
            yield found[b"id"], dict(found.get(b"extra_attributes") or {})
        return
    for key, flat in zip(answer[1::2], answer[2::2], strict=True):
        flat_fields: list[bytes] = flat or []
        yield key, dict(zip(flat_fields[::2], flat_fields[1::2], strict=True))
