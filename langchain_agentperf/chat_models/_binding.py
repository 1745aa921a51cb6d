"""Runnables that a model builds around itself, built around another model instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import (
    Runnable,
    RunnableBinding,
    RunnableParallel,
    RunnableSequence,
    RunnableWithFallbacks,
)
from langchain_core.runnables.passthrough import RunnableAssign

from agentperf_core.cache import Unkeyable, canonical
from langchain_agentperf._requests import tool_schema

__all__ = ["Bindings", "with_models"]

_MOST = 64

_Swap = Callable[[BaseChatModel], BaseChatModel]


class Bindings:
    """A model's bindings of tools, by what the tools and arguments are: formatting is expensive.

    Args:
        wrapper: the model that the bindings are around.
        inner: the model inside it, which has formatted the tools.
    """

    def __init__(self, wrapper: object, inner: object) -> None:
        self.models = wrapper, inner
        self._known: dict[object, Runnable[Any, Any]] = {}

    @classmethod
    def of(cls, known: Bindings | None, wrapper: object, inner: object) -> Bindings:
        """Those that are known, or new ones if these are of another model.

        A copy of a model shares what it keeps beside its fields. Models are told apart by identity:
        two that are equal by their fields may answer differently.
        """
        if known is None or known.models[0] is not wrapper or known.models[1] is not inner:
            return cls(wrapper, inner)
        return known

    def get(
        self,
        tools: Sequence[object],
        arguments: Mapping[str, Any],
        make: Callable[[], Runnable[Any, Any]],
    ) -> Runnable[Any, Any]:
        """The binding that is known, or the one that `make` gives now."""
        try:
            key = (tuple([tool_schema(cast("Any", tool)) for tool in tools]), canonical(arguments))
        except Unkeyable:
            return make()
        found = self._known.get(key)
        if found is None:
            found = make()
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = found
        return found


def with_models(runnable: Runnable[Any, Any], swap: _Swap) -> Runnable[Any, Any] | None:
    """The same runnable with its chat models exchanged; `None` if none was found in it.

    What a model's `bind_tools` and `with_structured_output` return are its own bindings, sequences
    and maps, so a wrapper can take them over as they are instead of guessing at them.

    Args:
        runnable: from a method of a chat model.
        swap: gives the model to use in place of one.
    """
    if isinstance(runnable, BaseChatModel):
        return swap(runnable)
    if isinstance(runnable, RunnableSequence):
        changed = _changed({"first": runnable.first, "last": runnable.last}, swap)
        middle = [with_models(step, swap) for step in runnable.middle]
        if any(step is not None for step in middle):
            changed["middle"] = [
                new or old for new, old in zip(middle, runnable.middle, strict=True)
            ]
        return _copy(runnable, changed)
    if isinstance(runnable, RunnableParallel):
        steps = runnable.steps__
        changed = _changed(steps, swap)
        return _copy(runnable, {"steps__": {**steps, **changed}} if changed else {})
    for kind, name in _HOLDERS.items():
        if isinstance(runnable, kind):
            return _copy(runnable, _changed({name: getattr(runnable, name)}, swap))
    return None


_HOLDERS: Mapping[type[Runnable[Any, Any]], str] = {
    RunnableBinding: "bound",
    RunnableAssign: "mapper",
    RunnableWithFallbacks: "runnable",
}


def _changed(steps: Mapping[str, Runnable[Any, Any]], swap: _Swap) -> dict[str, Any]:
    made = {name: with_models(step, swap) for name, step in steps.items()}
    return {name: step for name, step in made.items() if step is not None}


def _copy(runnable: Any, changed: Mapping[str, Any]) -> Runnable[Any, Any] | None:
    return runnable.model_copy(update=changed) if changed else None
