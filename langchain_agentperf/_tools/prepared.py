"""A tool of LangChain that is ready to be called often.

LangChain reads the signatures of a tool's functions and resolves their annotations anew for every
call, which takes half of the CPU time of a call. Here that is done once: the tool that is called
has functions whose signatures are known and whose annotations are types. All else is LangChain's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar, cast, get_type_hints

from langchain_core.tools import BaseTool, StructuredTool

from langchain_agentperf._memo import ObjectMemo

__all__ = ["copied", "prepared"]

B = TypeVar("B", bound=BaseTool)

_ready = ObjectMemo[BaseTool]()


def prepared(tool: B) -> B:
    """The tool to call in place of one; the tool itself where nothing is known of its kind.

    It is made anew when a field of the tool is changed.
    """
    fields = tool.__dict__
    known = _ready.known(tool, fields)
    if known is None:
        known = _made(tool)
        _ready.keep(tool, {**fields}, known)
    return cast("B", known)


def copied(tool: B, **changes: Any) -> B:
    """A tool of the same class and state, with other attributes of its own.

    Unlike a copy of pydantic's, whose checks know nothing of methods put into one object.
    """
    made = object.__new__(type(tool))
    put = object.__setattr__
    put(made, "__dict__", {**tool.__dict__, **changes})
    for name in ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"):
        put(made, name, getattr(tool, name))
    return made


def _made(tool: BaseTool) -> BaseTool:
    if not isinstance(tool, StructuredTool) or "invoke" in tool.__dict__:
        return tool
    kind = type(tool)
    found: dict[str, Any] = {}
    try:
        for name in ("func", "coroutine"):
            function = getattr(tool, name)
            if isinstance(function, FunctionType):
                found[name] = _known(function, function)
        made = copied(tool, **found)
        for name in ("_run", "_arun"):
            method = getattr(StructuredTool, name)
            if getattr(kind, name) is method:
                vars(made)[name] = _known(method.__get__(tool), method.__get__(made))
    except Exception:
        # Annotations that cannot be resolved: LangChain has its own ways with them.
        return tool
    return made


def _known(function: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
    """What calls a function like it, with a signature that is known and hints that are types."""
    hints = get_type_hints(function, include_extras=True)
    signature = inspect.signature(function)
    parameters = [
        one.replace(annotation=hints.get(name, one.annotation))
        for name, one in signature.parameters.items()
    ]
    made: Any = _awaited(call) if inspect.iscoroutinefunction(function) else _called(call)
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(made, name, getattr(function, name))
    made.__annotations__ = hints
    made.__signature__ = signature.replace(parameters=parameters)
    return made


def _called(call: Callable[..., Any]) -> Callable[..., Any]:
    def made(*args: Any, **kwargs: Any) -> Any:
        return call(*args, **kwargs)

    return made


def _awaited(call: Callable[..., Any]) -> Callable[..., Any]:
    async def made(*args: Any, **kwargs: Any) -> Any:
        return await call(*args, **kwargs)

    return made
