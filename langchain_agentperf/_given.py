"""Messages as somebody gives them to a function: in any of LangChain's forms, or by mistake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_messages

from agentperf_core.errors import ConfigError

__all__ = ["messages_of"]


def messages_of(given: Any) -> list[BaseMessage]:
    """The messages, converted as LangChain does it.

    LangChain walks over whatever it gets: of an agent's state it reads the keys as what users say,
    of one text its letters, of one message its fields. All three are refused here.

    Args:
        given: a list of messages or of what stands for one, or a prompt's value.

    Raises:
        ConfigError: if it is something else, or holds something else.

    Example:
        >>> [message.type for message in messages_of([("user", "Hi!"), ("ai", "Hello!")])]
        ['human', 'ai']
    """
    kind = type(given).__name__
    if isinstance(given, Mapping) and "messages" in given:
        msg = "messages are a list, got a mapping that has them; pass state['messages']"
        raise ConfigError(msg)
    if given is None or isinstance(given, str | bytes | Mapping | BaseMessage):
        msg = f"messages are a list, got one {kind!r}; put it in a list: [...]"
        raise ConfigError(msg)
    try:
        return convert_to_messages(given)
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        msg = (
            f"messages are a list of what LangChain takes for one, got {kind!r} "
            f"({type(error).__name__}); give messages, (role, text) pairs or texts"
        )
        raise ConfigError(msg) from error
