"""A vector as bytes, for stores that keep it beside the entry.

The form: one byte version, one byte kind of number, two bytes size, the numbers, all little-endian.
float16 halves the room; of unit vectors it changes a cosine by less than 0.001.
"""

from __future__ import annotations

import struct
from typing import Literal

from agentperf_core.cache.vectors.base import Vector
from agentperf_core.errors import CodecError, ConfigError
from agentperf_core.optional import require

__all__ = ["decode_vector", "encode_vector"]

_HEAD = struct.Struct("<BBH")
_VERSION = 1
_KINDS = {"f2": 2, "f4": 4}


def encode_vector(vector: Vector, *, kind: Literal["f2", "f4"] = "f2") -> bytes:
    """The bytes of a vector.

    Args:
        vector: one axis, at most 65535 numbers.
        kind: `"f2"` for float16, `"f4"` for float32.

    Raises:
        ConfigError: if `kind` is unknown or the vector has no size that can be kept.

    Example:
        >>> import numpy
        >>> len(encode_vector(numpy.ones(384, numpy.float32)))
        772
    """
    np = require("numpy", extra="semantic", purpose="a vector in a store")
    size = _KINDS.get(kind)
    if size is None:
        msg = f"a vector is kept as one of {sorted(_KINDS)}, got {kind!r}"
        raise ConfigError(msg)
    if vector.ndim != 1 or not 0 < len(vector) <= 0xFFFF:
        msg = f"a vector has one axis of 1 to 65535 numbers, got the shape {vector.shape!r}"
        raise ConfigError(msg)
    numbers: bytes = np.ascontiguousarray(vector, dtype=f"<{kind}").tobytes()
    return _HEAD.pack(_VERSION, size, len(vector)) + numbers


def decode_vector(data: bytes) -> Vector:
    """The vector of `encode_vector`'s bytes, as float32.

    Raises:
        CodecError: if they are cut off, of another version, or not ours; or not finite.

    Example:
        >>> import numpy
        >>> decode_vector(encode_vector(numpy.array([0.5, -1], numpy.float32))).tolist()
        [0.5, -1.0]
    """
    np = require("numpy", extra="semantic", purpose="a vector in a store")
    if len(data) <= _HEAD.size:
        msg = f"a vector is at least {_HEAD.size + 1} bytes, got {len(data)}; drop the entry"
        raise CodecError(msg)
    version, size, count = _HEAD.unpack_from(data)
    if version != _VERSION or size not in _KINDS.values():
        msg = f"a vector of version {_VERSION} was expected, got {version}/{size}; drop the entry"
        raise CodecError(msg)
    if len(data) != _HEAD.size + count * size:
        msg = f"a vector of {count} numbers was expected, got {len(data)} bytes; drop the entry"
        raise CodecError(msg)
    vector: Vector = np.frombuffer(data, dtype=f"<f{size}", offset=_HEAD.size).astype(np.float32)
    if not np.isfinite(vector).all():
        msg = "a vector must be finite, got NaN or infinity; drop the entry"
        raise CodecError(msg)
    return vector
