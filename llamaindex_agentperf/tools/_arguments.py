"""What a wrapper needs of a tool: its state, its signature, and the arguments of a call by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from llama_index.core.tools import BaseTool, FunctionTool, adapt_to_async_tool

__all__ = ["arguments_of", "signature_of", "state_of"]

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


def arguments_of(
    tool: FunctionTool,
    signature: inspect.Signature | None,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> dict[str, Any]:
    """The arguments of a call by name, with the plain defaults, without the context."""
    defaults = tool._field_defaults  # pyright: ignore[reportPrivateUsage] - there is no public reader
    given: dict[str, Any] = {**defaults, **tool.partial_params, **kwargs}
    named: dict[str, Any] = {"args": list(args), **given} if args else given
    if signature is not None:
        try:
            bound = signature.bind_partial(*args, **given).arguments
        except TypeError:  # the call will fail as well, or the tool sorts its arguments itself
            pass
        else:
            schema = tool.metadata.fn_schema
            named = _by_name(signature, bound, tuple(schema.model_fields) if schema else ())
    named.pop(tool.ctx_param_name or "", None)
    return named


def _by_name(
    signature: inspect.Signature, bound: Mapping[str, Any], positions: Sequence[str]
) -> dict[str, Any]:
    named: dict[str, Any] = {}
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
        elif parameter.default is not parameter.empty and isinstance(parameter.default, _PLAIN):
            named[name] = parameter.default
    return named
