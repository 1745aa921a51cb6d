"""What a wrapper needs of a tool: its state, its signature, and the arguments of a call by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from llama_index.core.tools import BaseTool, FunctionTool, adapt_to_async_tool

__all__ = ["Arguments", "state_of"]

# Defaults of these types belong to the call; others may be anything, and are left out of its key.
_PLAIN = (str, int, float, bool, type(None))


def state_of(tool: BaseTool) -> dict[str, Any]:
    """What makes a wrapper the `FunctionTool` that the tool is, or one without context."""
    if isinstance(tool, FunctionTool):
        return dict(tool.__dict__)
    call = cast("Callable[..., Any]", getattr(tool, "call", tool))
    return {
        "_real_fn": call,
        "_fn": call,
        "_async_fn": adapt_to_async_tool(tool).acall,
        "requires_context": False,
        "ctx_param_name": None,
        "partial_params": {},
        "_field_defaults": {},
        "_callback": None,
        "_async_callback": None,
        "_metadata": tool.metadata,
    }


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """The signature of a function; some builtins have none."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


class Arguments:
    """The arguments of a tool's calls by name, with the plain defaults, without the context.

    Args:
        tool: the tool.

    Attributes:
        signature: of its function, if it has one.
        given: what the tool gives its function beside the arguments of a call.
    """

    def __init__(self, tool: FunctionTool) -> None:
        self.signature = signature_of(tool.real_fn)
        self._tool = tool
        self._context = tool.ctx_param_name
        # Defaults written as pydantic fields have no public reader, and older versions none at all.
        fields: dict[str, Any] = getattr(tool, "_field_defaults", {})
        self.given: dict[str, Any] = {**fields, **tool.partial_params}
        parameters = self.signature.parameters.values() if self.signature is not None else ()
        # A call by names that are all parameters needs no binding, which takes 7 us.
        self._names = {p.name for p in parameters if p.kind in _BY_NAME}
        named = bool(self._names) and all(p.kind in _BY_NAME for p in parameters)
        self._known = {**_defaults(parameters), **self.given} if named else None

    def of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of one call."""
        if self._known is not None and not args and self._names.issuperset(kwargs):
            named = {**self._known, **kwargs}
        else:
            named = self._bound(args, kwargs)
        if self._context is not None:
            named.pop(self._context, None)
        return named

    def wrong(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
        """What the tool takes, and what a call gives that does not fit; `None` if it fits."""
        if self.signature is None:
            return None
        try:
            self.signature.bind(*args, **{**self.given, **kwargs})
        except TypeError as error:
            hidden = {*self._tool.partial_params, self._context}
            takes = [name for name in self.signature.parameters if name not in hidden]
            got = [*map(repr, args), *(name for name in kwargs if name not in hidden)]
            return f"{takes}, got {got}: {error}"
        return None

    def _bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        tool, signature = self._tool, self.signature
        given: dict[str, Any] = {**self.given, **kwargs}
        named: dict[str, Any] = {"args": list(args), **given} if args else given
        if signature is None:
            return named
        try:
            bound = signature.bind_partial(*args, **given).arguments
        except TypeError:  # the call will fail as well, or the tool sorts its arguments itself
            return named
        schema = tool.metadata.fn_schema
        return _by_name(signature, bound, tuple(schema.model_fields) if schema else ())


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _defaults(parameters: Iterable[inspect.Parameter]) -> dict[str, Any]:
    return {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.default is not parameter.empty and isinstance(parameter.default, _PLAIN)
    }


def _by_name(
    signature: inspect.Signature, bound: Mapping[str, Any], positions: Sequence[str]
) -> dict[str, Any]:
    named = _defaults(signature.parameters.values())
    for name, parameter in signature.parameters.items():
        if name in bound:
            if parameter.kind is parameter.VAR_KEYWORD:
                named.update(bound[name])
            elif parameter.kind is parameter.VAR_POSITIONAL:
                # Tools that take anything mean the fields of their schema, in this order.
                named.update(zip(positions, bound[name], strict=False))
                rest = bound[name][len(positions) :]
                named.update({name: rest} if rest else {})
            else:
                named[name] = bound[name]
    return named
