"""How a tool gets its policy: by a decorator, or by name.

The decorator leaves the policy on the function, so that it travels with the function into whatever
tool a framework makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from agentperf_core.errors import ConfigError, require_instance
from agentperf_core.toolpolicy.policy import ToolPolicy

__all__ = ["declared", "policies_for", "tool_policy"]

T = TypeVar("T")

_MARK = "__agentperf_policy__"
# Where the tools of the frameworks keep the functions that they are made of.
_INSIDE = ("func", "coroutine", "real_fn", "async_fn", "__func__", "__wrapped__")


def tool_policy(policy: ToolPolicy | None = None, /, **fields: Any) -> Callable[[T], T]:
    """Declare what a tool does, on the function or on the tool made of it.

    Args:
        policy: a policy, in place of its fields.
        **fields: the fields of a `ToolPolicy`.

    Raises:
        ConfigError: see `ToolPolicy`; if a policy and fields are given, or the tool cannot hold it.

    Example:
        >>> @tool_policy(read_only=True, ttl_s=300, timeout_s=2)
        ... def get_order(order_id: int) -> str:
        ...     return f"order {order_id}"
        >>> declared(get_order).timeout_s
        2
    """
    if policy is not None and fields:
        msg = f"give a policy or its fields, got both {policy!r} and {sorted(fields)!r}; drop one"
        raise ConfigError(msg)
    require_instance(ToolPolicy, "give one, or its fields by name", policy=policy)
    try:
        found = policy if policy is not None else ToolPolicy(**fields)
    except TypeError as error:
        known = sorted(ToolPolicy.__dataclass_fields__)
        msg = f"tool_policy takes the fields of a ToolPolicy, got {error}; there are {known}"
        raise ConfigError(msg) from error

    def declare(tool: T) -> T:
        for carrier in _carriers(tool):
            try:
                setattr(carrier, _MARK, found)
            except (AttributeError, TypeError, ValueError):
                continue
            return tool
        msg = f"a policy needs a function to stay on, got {tool!r}; give policies={{name: ...}}"
        raise ConfigError(msg)

    return declare


def declared(tool: object) -> ToolPolicy | None:
    """The policy that `tool_policy` has left on a tool or on a function inside it."""
    for carrier in _carriers(tool):
        found = getattr(carrier, _MARK, None)
        if isinstance(found, ToolPolicy):
            return found
    return None


def policies_for(
    tools: Mapping[str, object], given: Mapping[str, ToolPolicy] | None = None
) -> dict[str, ToolPolicy]:
    """The policies of tools by name: what is given goes before what was declared.

    Args:
        tools: the tools by name.
        given: policies by name.

    Raises:
        ConfigError: if a policy names a tool that does not exist, or is none.

    Example:
        >>> policies_for({"ping": print}, {"ping": ToolPolicy(timeout_s=1)})["ping"].timeout_s
        1
    """
    require_instance(Mapping, "write policies={name: ToolPolicy(...)}", policies=given)
    given = given or {}
    unknown = sorted(given.keys() - tools.keys())
    if unknown:
        msg = f"policies must name tools, got {unknown!r}; there are {sorted(tools)!r}"
        raise ConfigError(msg)
    found: dict[str, ToolPolicy] = {}
    for name, tool in tools.items():
        policy: object = given.get(name) or declared(tool)
        if isinstance(policy, ToolPolicy):
            found[name] = policy
        elif policy is not None:
            msg = f"policies holds ToolPolicy values, got {policy!r} for {name!r}; make one of it"
            raise ConfigError(msg)
    return found


def _carriers(tool: object) -> Iterator[object]:
    yield tool
    for name in _INSIDE:
        inside = getattr(tool, name, None)
        if callable(inside):
            yield inside
