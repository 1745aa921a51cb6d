"""`CachedTool`: any LlamaIndex tool with its results cached, as far as its policy allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn, TypeAlias

from llama_index.core.instrumentation.dispatcher import active_instrument_tags  # pyright: ignore[reportPrivateImportUsage] - its only home
from llama_index.core.instrumentation.span import active_span_id
from llama_index.core.tools import (
    AsyncBaseTool,
    BaseTool,
    FunctionTool,
    ToolMetadata,
    ToolOutput,
    adapt_to_async_tool,
)

from agentperf_core.cache import check_tenant
from agentperf_core.cache.toolresults.cache import ToolRequest, ToolResultCache
from agentperf_core.errors import ConfigError, require_instance
from agentperf_core.events import BUS
from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.toolpolicy import ToolPolicy
from llamaindex_agentperf._identity import tool_identity
from llamaindex_agentperf._marks import run_id
from llamaindex_agentperf._signatures import with_signature
from llamaindex_agentperf.tools._arguments import arguments_of, signature_of, state_of
from llamaindex_agentperf.tools._codec import OutputCodec
from llamaindex_agentperf.tools._functions import functions_of

__all__ = ["CachedTool", "cached_tools"]

Name: TypeAlias = str | Callable[[], str | None] | None


class CachedTool(FunctionTool):
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

    def __init__(  # pyright: ignore[reportMissingSuperCall] - the state is that of the wrapped tool
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
        require_instance(ToolPolicy, "declare what the tool does", policy=policy)
        require_instance(ToolResultCache, "give a ToolResultCache or leave it out", cache=cache)
        for name, value in (("tenant", tenant), ("session", session)):
            check_tenant(value, asks="a function", hint=f"give {name}='name' or a function")
        inner = tool if isinstance(tool, BaseTool) else FunctionTool.from_defaults(tool)
        vars(self).update(state_of(inner))
        if policy.writes and cache is None:
            msg = (
                f"writes={policy.writes!r} needs the cache of the tools that read the same, got "
                "cache=None; give one ToolResultCache to all of them"
            )
            raise ConfigError(msg)
        if self.requires_context and policy.ttl_s is not None and policy.cache_scope == "global":
            msg = (
                f"a tool that takes the run's Context may say something else in another run, got "
                f"ttl_s={policy.ttl_s!r} with cache_scope='global'; say 'run' or 'session'"
            )
            raise ConfigError(msg)
        self._inner: AsyncBaseTool = adapt_to_async_tool(inner)
        self._policy = policy
        self._cache = cache if cache is not None else ToolResultCache()
        self._tenant = tenant
        self._session = session
        self._version = f"{functions_of(inner, named=bool(version))}:{version}"
        self._keep_raw = keep_raw
        self._signature = signature_of(self.real_fn)

    @classmethod
    def from_defaults(cls, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG003 - the framework's own signature
        """Not there: `CachedTool(FunctionTool.from_defaults(...), policy=...)`."""
        msg = (
            f"a CachedTool wraps a tool, got from_defaults of {args!r}; "
            "write CachedTool(FunctionTool.from_defaults(...), policy=...)"
        )
        raise ConfigError(msg)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._inner, name)

    @property
    def metadata(self) -> ToolMetadata:
        """The wrapped tool's."""
        return self._inner.metadata

    @property
    def policy(self) -> ToolPolicy:
        """What is declared of the tool."""
        return self._policy

    @property
    def cache(self) -> ToolResultCache:
        """The cache behind this tool."""
        return self._cache

    @with_signature
    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Like the wrapped tool's, from the cache where possible."""
        return run(self._flow(args, kwargs))

    @with_signature
    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Like the wrapped tool's, from the cache where possible."""
        return await arun(self._flow(args, kwargs))

    def _flow(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Flow[ToolOutput]:
        step = self._step(args, kwargs)
        try:
            request = ToolRequest(
                tool=self.metadata.get_name(),
                arguments=arguments_of(self, self._signature, args, kwargs),
                policy=self._policy,
                schema=tool_identity(self),
                version=self._version,
                tenant=self._tenant() if callable(self._tenant) else self._tenant,
                session=self._session() if callable(self._session) else self._session,
                run=run_id(),
            )
        except Exception as error:
            BUS.fault("tool_cache.key", error)
            return (yield from step)
        # A context belongs to its run: nothing may be fetched with it after the run.
        refresh = None if self.requires_context else self._step(args, kwargs, detached=True)
        given = {**self._field_defaults, **self.partial_params, **kwargs}
        given.pop(self.ctx_param_name or "", None)
        codec = OutputCodec({"args": args, "kwargs": given}, keep_raw=self._keep_raw)
        return (yield from self._cache.run(request, step, codec, refresh=refresh))

    def _step(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], *, detached: bool = False
    ) -> Step[ToolOutput]:
        call = partial(self._inner.call, *args, **kwargs)
        acall = partial(self._inner.acall, *args, **kwargs)
        if not detached:
            return Step(call, acall)

        def alone() -> ToolOutput:
            _leave_run()
            return call()

        async def aalone() -> ToolOutput:
            _leave_run()
            return await acall()

        return Step(alone, aalone)


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
    made = [t if isinstance(t, BaseTool) else FunctionTool.from_defaults(t) for t in tools]
    names = [tool.metadata.get_name() for tool in made]
    unknown = policies.keys() - set(names)
    if unknown:
        msg = f"policies must name tools, got {sorted(unknown)!r}; there are {sorted(names)!r}"
        raise ConfigError(msg)
    shared: dict[str, Any] = {"cache": cache, "tenant": tenant, "session": session}
    return [
        CachedTool(tool, policy=policies[name], version=_of_all(version, tool), **shared)
        if name in policies
        else tool
        for name, tool in zip(names, made, strict=True)
    ]


def _of_all(version: str, tool: BaseTool) -> str:
    """One version for many tools cannot say what each of them carries."""
    return f"{version}:{functions_of(tool)}" if version else ""


def _leave_run() -> None:
    """What follows belongs to no span and no run; runs in a context of its own."""
    active_span_id.set(None)
    active_instrument_tags.set({})


for _public in (CachedTool, cached_tools):
    _public.__module__ = "llamaindex_agentperf"
