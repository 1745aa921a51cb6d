"""What a tool is: what is declared of it, and what of a call and of the run can change its result.

Worked out once per tool, because reading schemas and annotations takes longer than a call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast, get_args, get_origin, get_type_hints

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import (
    BaseTool,
    InjectedToolArg,
    InjectedToolCallId,
    StructuredTool,
    Tool,
)
from langgraph.prebuilt import ToolRuntime

from agentperf_core.cache.toolresults.functions import function_identity
from agentperf_core.toolpolicy import ToolPolicy, declared
from langchain_agentperf._memo import ObjectMemo

__all__ = ["ToolFacts", "facts_of"]

# Defaults of these types belong to the call; others may be anything, and are left out of its key.
_PLAIN = (str, int, float, bool, type(None))


class ToolFacts(NamedTuple):
    """What is known of a tool.

    Attributes:
        policy: what its `tool_policy` decorator says; `None` without one.
        hidden: arguments that the framework injects, which a model cannot set.
        defaults: plain defaults of the others.
        of_the_run: whether it is given the run's state, store, runtime or config, so that it may
            say something else in another run.
        functions: which functions it calls.
        named_functions: the same for somebody who says what they carry.
    """

    policy: ToolPolicy | None
    hidden: frozenset[str]
    defaults: Mapping[str, Any]
    of_the_run: bool
    functions: str
    named_functions: str


_known = ObjectMemo[ToolFacts]()


def facts_of(tool: BaseTool) -> ToolFacts:
    """What is known of a tool, kept as long as the tool and its schema."""
    schema = tool.args_schema
    made_from = (tool.name, schema if isinstance(schema, type) else id(schema))
    return _known.get(tool, made_from, lambda: _read(tool))


def _read(tool: BaseTool) -> ToolFacts:
    seen = _fields(tool.tool_call_schema)
    functions = _functions(tool)
    notes = [_notes(function) for function in functions]
    hidden = {name: note for found in notes for name, note in found.items() if _injected(note)}
    if seen:  # else it is a JSON schema, which has no fields to compare
        fields = _fields(tool.get_input_schema())
        for name in fields.keys() - seen.keys():
            hidden.setdefault(name, (fields[name].annotation, *fields[name].metadata))
    return ToolFacts(
        policy=declared(tool),
        hidden=frozenset(hidden),
        defaults={
            name: field.default
            for name, field in seen.items()
            if not field.is_required() and isinstance(field.default, _PLAIN)
        },
        of_the_run=not all(map(_is_call_id, hidden.values())) or any(map(_takes_config, notes)),
        functions=_identity(functions, named=False),
        named_functions=_identity(functions, named=True),
    )


def _fields(schema: object) -> Mapping[str, Any]:
    """The fields of a pydantic class; none of a JSON schema."""
    return cast("Mapping[str, Any]", getattr(schema, "model_fields", {}))


def _notes(function: Callable[..., Any]) -> dict[str, tuple[object, ...]]:
    """The annotations of a function: types, and what stands beside them."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception:  # a name that only a type checker knows: what it is called has to do
        hints = cast("dict[str, Any]", getattr(function, "__annotations__", {}))
    return {name: (hint, *get_args(hint)) for name, hint in hints.items() if name != "return"}


def _injected(note: Iterable[object]) -> bool:
    return any(_is_a(mark, InjectedToolArg, "Injected") or _is_runtime(mark) for mark in note)


def _is_runtime(mark: object) -> bool:
    return _is_a(get_origin(mark) or mark, ToolRuntime, "ToolRuntime")


def _is_call_id(note: Iterable[object]) -> bool:
    return any(_is_a(mark, InjectedToolCallId, "InjectedToolCallId") for mark in note)


def _takes_config(notes: Mapping[str, Iterable[object]]) -> bool:
    return any(
        mark is RunnableConfig or (isinstance(mark, str) and "RunnableConfig" in mark)
        for note in notes.values()
        for mark in note
    )


def _is_a(mark: object, kind: type, name: str) -> bool:
    """Whether a mark in an annotation is of a kind: the class, an instance, or its name in text."""
    if isinstance(mark, type):
        return issubclass(mark, kind)
    return isinstance(mark, kind) or (isinstance(mark, str) and name in mark)


def _functions(tool: BaseTool) -> list[Callable[..., Any]]:
    if isinstance(tool, StructuredTool | Tool):
        held: list[Callable[..., Any] | None] = [tool.func, tool.coroutine]
        return [function for function in held if function is not None]
    return [tool._run, tool._arun]  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - where such a tool does its work


def _identity(functions: list[Callable[..., Any]], *, named: bool) -> str:
    return "+".join(dict.fromkeys(function_identity(f, named=named) for f in functions))
