"""What somebody gave, checked before any store is asked, so that all of them agree on it.

A store would take a mistake for something else: an outage, a state that nobody reads, all messages.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar, cast

from agentperf_core.cache.conversations.base import BATCH_ID, Batch, ConversationStore, State
from agentperf_core.cache.conversations.codec import pack
from agentperf_core.errors import ConfigError, require_number

__all__ = [
    "batch_of",
    "require_messages",
    "require_state",
    "require_store",
    "require_text",
    "whole",
]

T = TypeVar("T")

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
    packed = tuple(map(_packed, _listed("records", Mapping, records)))
    return Batch(secrets.token_hex(BATCH_ID // 2), packed, cast("State", state))


def require_messages(kind: type[T], messages: object) -> list[T]:
    """What an adapter was given as messages, if they are.

    Args:
        kind: the framework's class of messages.
        messages: a list of them.

    Raises:
        ConfigError: if these are none, or a single one.

    Example:
        >>> require_messages(int, (1, 2))
        [1, 2]
    """
    found = list(_listed("messages", kind, messages))
    for one in found:
        if not isinstance(one, kind):
            msg = f"a message must be a {kind.__name__}, got {_shown(one)}; make one of it"
            raise ConfigError(msg)
    return cast("list[T]", found)


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


def _listed(name: str, kind: type, given: object) -> Iterable[object]:
    # One of the kind itself may be iterable: mappings are, and so are models of pydantic.
    if not isinstance(given, Iterable) or isinstance(given, (str, bytes, kind)):
        shown = _shown(cast("object", given))
        msg = f"{name} must be a list of {kind.__name__}, got {shown}; put one into a list"
        raise ConfigError(msg)
    return cast("Iterable[object]", given)


def _packed(record: object) -> bytes:
    if not isinstance(record, Mapping):
        msg = f"a record must be a mapping, got {_shown(record)}; write {{'text': ...}}"
        raise ConfigError(msg)
    return pack(cast("Mapping[str, Any]", record))


def _shown(value: object) -> str:
    """Its kind alone: it may be what somebody said, or hold a password."""
    if value is None:
        return "None"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"
