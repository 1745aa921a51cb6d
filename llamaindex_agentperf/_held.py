"""What has no JSON form, held by this process: a workflow saves its memory between any two runs."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, cast
from uuid import uuid4

__all__ = ["dumped", "is_json", "loaded"]

_REF = "agentperf_ref"
_MOST = 256
_process = uuid4().hex
_held: OrderedDict[str, object] = OrderedDict()
_lock = threading.Lock()


def dumped(value: object, saved: Mapping[str, Any] | None = None) -> Any:
    """A value in JSON form: itself, or where it is held in this process.

    Args:
        value: anything.
        saved: what else is saved of it, for other processes.

    Example:
        >>> dumped(3), loaded(dumped(print)) is print
        (3, True)
    """
    if saved is None and is_json(value):
        return value
    ref = f"{_process}-{id(value)}"
    with _lock:
        _held[ref] = value  # held, so that its id stays its own
        _held.move_to_end(ref)
        while len(_held) > _MOST:
            _held.popitem(last=False)
    return {**(saved or {}), _REF: ref}


def loaded(value: object) -> Any:
    """What was `dumped`, if this process holds it; else what was saved, and `None` for nothing."""
    if not isinstance(value, Mapping):
        return value
    fields = dict(cast("Mapping[str, Any]", value))
    if _REF not in fields:
        return fields
    found = _held.get(str(fields.pop(_REF)))
    return found if found is not None else fields or None


def is_json(value: object) -> bool:
    """Whether a value has a JSON form."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
