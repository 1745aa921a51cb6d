"""Handlers that LangChain adds to every run of a context.

`register_configure_hook` keeps what it is given for ever, and each hook holds one handler.
LangChain registers a new one at every `with`; here a slot is made per depth of nesting and used
again.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.context import register_configure_hook

__all__ = ["enter", "leave"]

_slots: list[ContextVar[BaseCallbackHandler | None]] = []
_lock = threading.Lock()


def enter(handler: BaseCallbackHandler) -> None:
    """Add a handler to every run of this context."""
    for slot in _slots:
        if slot.get() is None:
            slot.set(handler)
            return
    with _lock:
        added = ContextVar[BaseCallbackHandler | None](
            f"agentperf_handler_{len(_slots)}", default=None
        )
        register_configure_hook(added, inheritable=True)
        _slots.append(added)
    added.set(handler)


def leave(handler: BaseCallbackHandler) -> None:
    """Undo the latest `enter` of a handler in this context."""
    for slot in reversed(_slots):
        if slot.get() is handler:
            slot.set(None)
            return
