"""The vector protocols: what is near to a vector, in this process or in a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from agentperf_core.errors import AgentPerfError
from agentperf_core.flow import Flow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["RemoteMatch", "RemoteVectorIndex", "Vector", "VectorError", "VectorIndex"]

Vector: TypeAlias = "NDArray[np.float32]"
"""One vector: float32, one axis. Indexes want it of length 1, so that a product is a cosine."""


class VectorError(AgentPerfError, ValueError):
    """A vector, or what should have become one, cannot be used: to a cache, a miss.

    Attributes:
        reason: one word to count by: `"size"`, `"count"`, `"not-finite"`, `"zero"`, `"not-numbers"`
            (what an encoder gave), `"failed"` (it raised), `"too-long"` (it would read only a part
            of the text), `"busy"` (too many texts wait), `"timeout"`, `"stopped"`.
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class VectorIndex(Protocol):
    """Unit vectors by number, in this process; safe under threads, and fast enough to not wait for.

    One index holds one scope: everything that must match exactly is compared before any vector is.
    """

    def __len__(self) -> int:
        """How many vectors there are."""
        ...

    def add(self, ident: int, vector: Vector) -> int | None:
        """Add a unit vector, in place of what the number had; found from now on.

        Returns:
            The number that had to go because the index is full, else `None`.

        Raises:
            VectorError: if it has the wrong size or is not finite.
        """
        ...

    def remove(self, ident: int) -> None:
        """Forget a number; one that is not there is no error."""
        ...

    def search(self, vector: Vector, k: int) -> list[tuple[int, float]]:
        """The `k` nearest, or as many as there are, with their cosines, best first.

        Raises:
            VectorError: if it has the wrong size or is not finite.
        """
        ...


class RemoteMatch(NamedTuple):
    """An entry of a server's index.

    Attributes:
        ident: what it was added under.
        cosine: how alike it is, 1 for equal.
        payload: the bytes that were added with it.
    """

    ident: str
    cosine: float
    payload: bytes


class RemoteVectorIndex(Protocol):
    """Unit vectors in a server, by scope; every method is a flow, for sync and async callers.

    A server that cannot be reached raises what its client raises: who uses the index guards it.
    """

    def available(self, dim: int) -> Flow[str | None]:
        """Why the server cannot search vectors of `dim` numbers, or `None` if it can."""
        ...

    def add(
        self,
        scope: str,
        ident: str,
        vector: Vector,
        *,
        payload: bytes,
        ttl_s: float | None,
        tags: Sequence[str] = (),
    ) -> Flow[None]:
        """Add a unit vector, in place of what `ident` had in this scope.

        Args:
            scope: what must match exactly; any text.
            ident: what to remove it by; any text.
            vector: of length 1.
            payload: comes back with a match.
            ttl_s: seconds to keep it; `None` for as long as there is room.
            tags: what a store that the index belongs to forgets it by.
        """
        ...

    def remove(self, scope: str, ident: str, *, dim: int) -> Flow[None]:
        """Forget an entry whose vector had `dim` numbers; one that is not there is no error."""
        ...

    def search(self, scope: str, vector: Vector, k: int) -> Flow[list[RemoteMatch]]:
        """The `k` nearest of a scope, or as many as there are, best first."""
        ...

    def clear(self) -> Flow[int]:
        """Forget every entry of this index and nothing else; how many there were."""
        ...
