"""Arguments of classes that are pydantic models: pydantic ignores those that it does not know."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from agentperf_core.errors import ConfigError

__all__ = ["known_fields"]


def known_fields(cls: type[BaseModel], fields: Iterable[str]) -> None:
    """Check that arguments are fields of a class, so that none is misspelt and ignored.

    Args:
        cls: of what is being made.
        fields: the names that were given; `class_name`, which LlamaIndex saves, is one of any.

    Raises:
        ConfigError: naming those that are not.
    """
    unknown = set(fields) - cls.model_fields.keys() - {"class_name"}
    if unknown:
        msg = f"arguments must be fields of {cls.__name__}, got {sorted(unknown)!r}; "
        raise ConfigError(msg + "see its docstring")
