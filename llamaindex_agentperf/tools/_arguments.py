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
    """

    def __init__(self, tool: FunctionTool) -> None:
        self.signature = signature_of(tool.real_fn)
        self._tool = tool
        self._context = tool.ctx_param_name
        given: dict[str, Any] = {**tool._field_defaults, **tool.partial_params}  # pyright: ignore[reportPrivateUsage] - there is no public reader
        parameters = self.signature.parameters.values() if self.signature is not None else ()
        # A call by names that are all parameters needs no binding, which takes 7 us.
        self._names = {p.name for p in parameters if p.kind in _BY_NAME}
        named = bool(self._names) and all(p.kind in _BY_NAME for p in parameters)
        self._known = {**_defaults(parameters), **given} if named else None

    def of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of one call."""
        if self._known is not None and not args and self._names.issuperset(kwargs):
            named = {**self._known, **kwargs}
        else:
            named = self._bound(args, kwargs)
        if self._context is not None:
            named.pop(self._context, None)
        return named

    def _bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        tool, signature = self._tool, self.signature
        defaults = tool._field_defaults  # pyright: ignore[reportPrivateUsage] - same
        given: dict[str, Any] = {**defaults, **tool.partial_params, **kwargs}
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
