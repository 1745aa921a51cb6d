"""What somebody gave, checked before any store is asked, so that all of them agree on it.

A store would take a mistake for something else: an outage, a state that nobody reads, all messages.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from agentperf_core.cache.conversations.base import BATCH_ID, Batch, ConversationStore, State
from agentperf_core.cache.conversations.codec import pack
from agentperf_core.errors import ConfigError, require_number

__all__ = ["batch_of", "require_state", "require_store", "require_text", "whole"]

_STATES: Final[tuple[State, ...]] = ("active", "archived")
_MOST = 10**16 - 1  # no id is larger, and every store can count so far


def batch_of(records: object, state: object) -> Batch:
    """Records as a batch of their own.

    Raises:
        ConfigError: if they are no records, or the state is none.
        CodecError: if a record is not plain JSON data.
    """
    if state is None:
        state = "None"  # leaving it open is for those who read
    require_state(state)
    if not isinstance(records, Iterable) or isinstance(records, str | bytes | Mapping):
        shown = _shown(cast("object", records))
        msg = f"records must be a list of mappings, got {shown}; put one into a list"
        raise ConfigError(msg)
    packed = tuple(map(_packed, cast("Iterable[object]", records)))
    return Batch(secrets.token_hex(BATCH_ID // 2), packed, cast("State", state))


def require_state(state: object) -> None:
    """Check that a state is one, or `None` for all of them.

    Raises:
        ConfigError: if it is not.
    """
    if state is not None and state not in _STATES:
        msg = f"state must be 'active' or 'archived', got {state!r}; leave it out for the default"
        raise ConfigError(msg)


def whole(**value: object) -> int:
    """One number of messages, or of one, by its name; cut to what every store can count.

    Raises:
        ConfigError: if it is no whole number, or below 0.

    Example:
        >>> whole(limit=3)
        3
    """
    require_number("count messages from 0", whole=True, **cast("dict[str, Any]", value))
    (number,) = value.values()
    return min(cast("int", number), _MOST)


def require_text(hint: str, **values: object) -> None:
    """Check that values are text; `None` is none.

    Raises:
        ConfigError: naming the first one that is not.
    """
    for name, value in values.items():
        if not isinstance(value, str):
            msg = f"{name} must be text, got {value!r}; {hint}"
            raise ConfigError(msg)


def require_store(given: object) -> ConversationStore:
    """What was given as a store, if it is one.

    Raises:
        ConfigError: if it is not.
    """
    wanted = ("append", "read", "names")
    if isinstance(given, type) or not all(callable(getattr(given, name, None)) for name in wanted):
        msg = (
            f"conversations are Conversations, a store of them or an address, got "
            f"{_shown(given)}; use open_conversations('sqlite:chats.db')"
        )
        raise ConfigError(msg)
    return cast("ConversationStore", given)


def _packed(record: object) -> bytes:
    if not isinstance(record, Mapping):
        msg = f"a record must be a mapping, got {_shown(record)}; write {{'text': ...}}"
        raise ConfigError(msg)
    return pack(cast("Mapping[str, Any]", record))


def _shown(value: object) -> str:
    """Its kind alone: it may be what somebody said, or hold a password."""
    return "None" if value is None else f"a {type(value).__name__}"
