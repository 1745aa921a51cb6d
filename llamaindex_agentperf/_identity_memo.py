"""A model's identity, kept as long as its fields are what they were."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from types import BuiltinFunctionType, FunctionType, NoneType
from typing import Any, cast

from llama_index.core.llms.llm import LLM

from agentperf_core.cache.requests.keys import Fixed
from llamaindex_agentperf._identity import behaviour_fields, model_identity

__all__ = ["ModelIdentity"]

_GONE = object()
_SCALARS = (str, int, float, bool, NoneType)


class ModelIdentity:
    """`model_identity` of one model, built anew only when a field of the model has changed.

    Building one takes as long as hashing the whole request. It is kept as long as each field is
    what it was, and only if all of them are plain data, which can be compared.
    """

    def __init__(self) -> None:
        self._values: tuple[object, ...] | None = None
        self._found: dict[str, Any] = {}

    def of(self, llm: LLM) -> dict[str, Any]:
        """The identity of the model as it is now; see `model_identity` for errors."""
        values = llm.__dict__
        # A field that is no longer there is another value than any it can have.
        now = (llm, *[values.get(name, _GONE) for name in behaviour_fields(type(llm))])
        if self._values is not None and now[0] is self._values[0] and now[1:] == self._values[1:]:
            return self._found
        self._values = None
        found = model_identity(llm)
        if not llm.__pydantic_extra__ and all(map(_is_fixed, now[1:])):
            found = Fixed(found)
            self._found, self._values = found, (llm, *deepcopy(now[1:]))
        return found


def _is_fixed(value: object) -> bool:
    """Whether a copy of a value says later whether the value has changed."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_fixed, cast("Sequence[object]", value)))
    if isinstance(value, dict):
        return all(map(_is_fixed, cast("dict[object, object]", value).values()))
    # Functions are compared as what they are, and `deepcopy` gives them back.
    return isinstance(value, (*_SCALARS, FunctionType, BuiltinFunctionType))
