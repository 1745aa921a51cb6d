"""Which function a tool calls: two tools of one name must not share results by accident.

A name says it for a function that can be imported. A closure, a bound method, a partial and a
callable object carry something that no name shows (a connection, a customer's database), so each
gets an identity of its own, which holds as long as this process.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any
from uuid import uuid4

__all__ = ["function_identity"]

# Defaults of these types are in the key of a call; others may be anything.
_PLAIN = (str, int, float, bool, type(None))


def function_identity(function: Callable[..., Any], *, named: bool = False) -> str:
    """Module and name of a function, and a salt where these do not tell what it does.

    Args:
        function: whatever a tool calls.
        named: whether somebody else says which one it is, so that it needs no salt.

    Example:
        >>> from agentperf_core.cache.toolresults.cache import inherited
        >>> function_identity(inherited)
        'agentperf_core.cache.toolresults.types:inherited'
        >>> function_identity({}.get) == function_identity({}.get)
        False
    """
    name = _name(function)
    if _importable(function):
        return name
    if isinstance(function, FunctionType) and not _carries(function):
        # One name may stand for several functions inside of another.
        return f"{name}:{function.__code__.co_firstlineno}"
    return name if named else f"{name}#{_salt(_holder(function))}"


def _name(function: Callable[..., Any]) -> str:
    if isinstance(function, partial):
        return f"partial of {_name(function.func)}"
    if isinstance(function, (FunctionType, MethodType, BuiltinFunctionType, type)):
        return f"{function.__module__}:{function.__qualname__}"
    kind = type(function)
    return f"{kind.__module__}:{kind.__qualname__}"


def _importable(function: Callable[..., Any]) -> bool:
    """Whether its name leads to it; a class method is made anew, but of the same two parts."""
    module, path = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    found: object = sys.modules.get(module) if isinstance(module, str) else None
    for part in path.split("."):
        found = getattr(found, part, None)
    if isinstance(function, MethodType):
        of_class = isinstance(function.__self__, type) and isinstance(found, MethodType)
        return of_class and found == function
    return found is function


def _carries(function: FunctionType) -> bool:
    """Whether it holds values of its own, of which its code says nothing."""
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return bool(function.__closure__) or not all(isinstance(d, _PLAIN) for d in defaults)


def _holder(function: Callable[..., Any]) -> object:
    """What holds those values: a bound method is made anew whenever it is looked up."""
    owner = getattr(function, "__self__", None)
    return function if owner is None or isinstance(owner, ModuleType) else owner


# By address, since objects that are equal may do different things; a dead one frees its address.
_salts: dict[int, tuple[weakref.ref[object], str]] = {}
# Two threads that ask first must not draw two salts. Re-entrant for the garbage collector.
_lock = threading.RLock()


def _salt(holder: object) -> str:
    with _lock:
        found = _salts.get(id(holder))
        if found is not None and found[0]() is holder:
            return found[1]
        address, salt = id(holder), uuid4().hex
        with suppress(TypeError):  # an object without weak references gets another salt every time
            _salts[address] = weakref.ref(holder, lambda gone: _forget(address, gone)), salt
        return salt


def _forget(address: int, gone: weakref.ref[object]) -> None:
    found = _salts.get(address)
    if found is not None and found[0] is gone:
        del _salts[address]
