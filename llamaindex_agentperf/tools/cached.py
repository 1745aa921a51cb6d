"""`CachedTool`: any LlamaIndex tool with its results cached, as far as its policy allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from llama_index.core.tools import BaseTool, ToolOutput

from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.errors import ConfigError
from agentperf_core.flow import Flow, Step
from agentperf_core.toolpolicy import ToolPolicy
from llamaindex_agentperf.tools._sharing import Name, Sharing, Whose, detached, of_all
from llamaindex_agentperf.tools._wrapped import Wrapped, WrappedTool, made

__all__ = ["CachedTool", "cached_tools"]


class CachedTool(WrappedTool):
    """A tool whose equal calls share their results; works in every agent that takes the tool.

    It is a `FunctionTool` with the wrapped tool's metadata, so agents pass it their context and
    honour `return_direct`; callbacks and partial parameters of the wrapped tool stay in force. All
    other attributes are those of the wrapped tool.

    Tools of one cache are told apart by name, description, parameters, and the module and name of
    their function. A closure, a bound method, a partial or a callable object (and so a tool that is
    no `FunctionTool`) carries what these do not show: each object has results of its own, which no
    other process finds. To share them, give each such tool a `version` of its own, which says what
    it carries: `version="shop-7"`.

    Args:
        tool: any tool, or a function to make one of.
        policy: what is declared of it; nothing is cached without `ttl_s`.
        cache: the cache to share with other tools; default one of its own.
        tenant: whose results these are, as a name or a function that is asked at every call.
        session: the session that a call belongs to, for `cache_scope="session"`, likewise.
        version: a tag to change when the tool changes; for a tool that carries something, also what
            that is, see above.
        keep_raw: keep only outputs whose `raw_output` is plain data and comes back as it was. With
            `False` others are kept, too, and a served one has its content as `raw_output`.

    Raises:
        ConfigError: if the policy says `writes` and there is no `cache` in which to forget what was
            read, or if a tool that takes the run's context were to share results between runs.

    Example:
        >>> def get_order(order_id: int) -> str:
        ...     return f"order {order_id}: shipped"
        >>> tool = CachedTool(get_order, policy=ToolPolicy(read_only=True, ttl_s=60))
        >>> [tool.call(order_id=7).content for _ in range(2)]
        ['order 7: shipped', 'order 7: shipped']
    """

    def __init__(
        self,
        tool: BaseTool | Callable[..., Any],
        *,
        policy: ToolPolicy,
        cache: ToolResultCache | None = None,
        tenant: Name = None,
        session: Name = None,
        version: str = "",
        keep_raw: bool = True,
    ) -> None:
        inner = made(tool)
        super().__init__(inner, policy)
        if policy.writes and cache is None:
            msg = (
                f"writes={policy.writes!r} needs the cache of the tools that read the same, got "
                "cache=None; give one ToolResultCache to all of them"
            )
            raise ConfigError(msg)
        whose = Whose(tenant=tenant, session=session, version=version, keep_raw=keep_raw)
        shared = cache if cache is not None else ToolResultCache()
        self._sharing = Sharing(self, inner, policy, shared, whose)

    @property
    def cache(self) -> ToolResultCache:
        """The cache behind this tool."""
        return self._sharing.cache

    def _flow(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Flow[ToolOutput]:
        call = partial(self._inner.call, *args, **kwargs)
        acall = partial(self._inner.acall, *args, **kwargs)
        step: Step[ToolOutput] = Step(call, acall)
        through = self._sharing.through(args, kwargs, detached(lambda: _alone(step)))
        return (yield from (step if through is None else through(step)))

    def _wrapped(self) -> Wrapped:
        return Wrapped(self._inner, self._policy, self._sharing)


def cached_tools(
    tools: Sequence[BaseTool | Callable[..., Any]],
    policies: Mapping[str, ToolPolicy],
    *,
    cache: ToolResultCache | None = None,
    tenant: Name = None,
    session: Name = None,
    version: str = "",
) -> list[BaseTool]:
    """The tools, those with a policy behind one cache; the others stay as they are.

    Args:
        tools: tools or functions to make tools of.
        policies: what is declared, by name of the tool.
        cache: the cache to share; default a new one.
        tenant: see `CachedTool`.
        session: see `CachedTool`.
        version: a tag to change when one of the tools changes. Tools that carry something keep to
            themselves, see `CachedTool`, whose own `version` can say what it is.

    Raises:
        ConfigError: if there is a policy for a tool that does not exist, or see `CachedTool`.

    Example:
        >>> def ping() -> str:
        ...     return "pong"
        >>> type(cached_tools([ping], {})[0]).__name__
        'FunctionTool'
    """
    cache = cache if cache is not None else ToolResultCache()
    found = [made(tool) for tool in tools]
    names = [tool.metadata.get_name() for tool in found]
    unknown = policies.keys() - set(names)
    if unknown:
        msg = f"policies must name tools, got {sorted(unknown)!r}; there are {sorted(names)!r}"
        raise ConfigError(msg)
    shared: dict[str, Any] = {"cache": cache, "tenant": tenant, "session": session}
    return [
        CachedTool(tool, policy=policies[name], version=of_all(version, tool), **shared)
        if name in policies
        else tool
        for name, tool in zip(names, found, strict=True)
    ]


def _alone(step: Step[ToolOutput]) -> Flow[ToolOutput]:
    return (yield from step)


for _public in (CachedTool, cached_tools):
    _public.__module__ = "llamaindex_agentperf"
