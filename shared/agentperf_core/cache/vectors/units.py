"""From whatever an encoder gives to unit vectors, or to the reason why not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from agentperf_core.cache.vectors.base import Vector, VectorError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["checked_vector", "unit_vectors"]

# Norms below this are no direction: float32 keeps seven digits.
_SMALLEST_NORM = 1e-12


def unit_vectors(given: Any, count: int, dim: int | None = None) -> list[Vector | VectorError]:
    """One unit vector per text, or what is wrong with it.

    Args:
        given: what the encoder returned: an array, a tensor on the CPU, lists of numbers, or an
            iterator of any of these.
        count: how many texts there were.
        dim: how many numbers a vector must have; `None` for any.

    Returns:
        `count` items. One text's zero or infinite vector is no fault of the others.

    Raises:
        VectorError: if the whole answer is not `count` vectors of one size.

    Example:
        >>> unit_vectors([[3.0, 4.0]], 1)[0].tolist()
        [0.6000000238418579, 0.800000011920929]
    """
    rows = _matrix(given, count)
    if dim is not None and rows.shape[1] != dim:
        msg = (
            f"an encoder keeps the size of its vectors, got {rows.shape[1]} numbers after {dim}; "
            "use one encoder per cache"
        )
        raise VectorError(msg, reason="size")
    return [_unit(row) for row in rows]


def checked_vector(vector: Any, dim: int) -> Vector:
    """The vector as contiguous float32.

    Raises:
        VectorError: if it is not one finite vector of `dim` numbers.
    """
    import numpy as np

    row = np.ascontiguousarray(vector, dtype=np.float32)
    if row.shape != (dim,):
        msg = f"this index holds vectors of {dim} numbers, got the shape {row.shape!r}"
        raise VectorError(msg, reason="size")
    # One product instead of isfinite(): any NaN or infinity ends up in it.
    if not np.isfinite(np.dot(row, row)):
        msg = "a vector must be finite, got NaN or infinity; look at the encoder"
        raise VectorError(msg, reason="not-finite")
    return row


def _matrix(given: Any, count: int) -> NDArray[np.float32]:
    import numpy as np

    if not hasattr(given, "__array__") and isinstance(given, Iterable):
        given = list[Any](given)  # pyright: ignore[reportUnknownArgumentType] - any encoder's answer
    try:
        rows = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        msg = f"an encoder returns vectors of one size, got {type(given).__name__} that is none"
        raise VectorError(msg, reason="not-numbers") from error
    if rows.ndim != 2 or len(rows) != count or rows.shape[1] == 0:
        msg = (
            f"an encoder returns one vector per text, got the shape {rows.shape!r} for {count} "
            "texts; it must take a list of texts"
        )
        raise VectorError(msg, reason="count")
    return rows


def _unit(row: NDArray[np.float32]) -> Vector | VectorError:
    import numpy as np

    # In float64: the squares of large float32 numbers overflow.
    norm = float(np.sqrt(np.dot(row.astype(np.float64), row.astype(np.float64))))
    if not np.isfinite(norm):
        return VectorError("the encoder gave NaN or infinity for this text", reason="not-finite")
    if norm < _SMALLEST_NORM:
        return VectorError("the encoder gave a zero vector for this text", reason="zero")
    unit = (row / norm).astype(np.float32)
    # Callers share it through a cache.
    unit.flags.writeable = False
    return unit
