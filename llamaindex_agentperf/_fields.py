"""Arguments of pydantic models: pydantic drops what it does not know, and a typo with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from agentperf_core.errors import ConfigError

__all__ = ["require_fields"]


def require_fields(
    kind: type[BaseModel], given: Mapping[str, Any], hint: str = "see its docstring"
) -> None:
    """Check that all arguments are fields of a class; `class_name`, as it is saved, passes.

    Args:
        kind: the class.
        given: the arguments.
        hint: the way out, as the end of the sentence.

    Raises:
        ConfigError: naming those that are not.
    """
    unknown = given.keys() - kind.model_fields.keys() - {"class_name"}
    if unknown:
        msg = f"arguments must be fields of {kind.__name__}, got {sorted(unknown)!r}; {hint}"
        raise ConfigError(msg)
