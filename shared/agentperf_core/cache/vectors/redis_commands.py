"""What `RedisVectorIndex` sends to the query engine, and how its answers read in both protocols."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from agentperf_core.cache.stores.redis_layout import (
    Command,
    Layout,
    framed,
    milliseconds,
    unframed,
)
from agentperf_core.cache.vectors.base import RemoteMatch, Vector
from agentperf_core.errors import CodecError

__all__ = [
    "Place",
    "count",
    "create",
    "is_complete",
    "knn_own",
    "knn_shared",
    "matches",
    "put",
    "says",
    "total",
]

# The defaults of the engine (10 candidates) find the nearest vector in 95 of 100 searches.
_CANDIDATES = 100

# One command, so that no crash leaves an entry without its end.
_PUT = """\
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'p', ARGV[2], 's', ARGV[3])
if ARGV[4] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return 1"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scope is: the index of all, its tag there, and the size of its vectors.

    Attributes:
        layout: what entries are called in Redis.
        name: what the keys of the entries begin with.
        tag: the scope's.
        dim: how many numbers a vector has.
    """

    layout: Layout
    name: str
    tag: str
    dim: int

    @property
    def shared(self) -> str:
        """The index of all scopes."""
        return self.layout.name(f"{self.name}{self.dim}").decode()

    @property
    def own(self) -> str:
        """The index of this scope alone."""
        return f"{self.shared}:{self.tag}"

    def key(self, ident: str) -> str:
        """The key of an entry."""
        return f"{self.name}{self.dim}:{self.tag}:{ident}"


def put(
    place: Place,
    ident: str,
    vector: Vector,
    payload: bytes,
    *,
    ttl_s: float | None,
    tags: Sequence[str],
) -> Command:
    """Keep an entry with its vector."""
    name = place.layout.name(place.key(ident))
    ends = "" if ttl_s is None else milliseconds(ttl_s)
    return ("EVAL", _PUT, 1, name, vector.tobytes(), framed(payload, tags), place.tag, ends)


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


def matches(answer: Any, place: Place) -> Iterable[RemoteMatch]:
    """What a search found in a scope."""
    prefix = len(place.layout.name(place.key("")))
    for key, fields in _documents(answer):
        distance, payload = fields.get(b"d"), fields.get(b"p")
        # An entry whose time ended between the search and the reading of its fields has none, and
        # what anybody else has put there is none of ours.
        if distance is None or payload is None:
            continue
        with suppress(CodecError):
            found = unframed(payload)
            cosine = min(1.0, max(-1.0, 1.0 - float(distance)))
            yield RemoteMatch(key[prefix:].decode("utf-8", "surrogatepass"), cosine, found)


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
