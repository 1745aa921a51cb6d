"""How the calls of one tool share their results in a `ToolResultCache`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias, TypedDict

from llama_index.core.instrumentation.dispatcher import active_instrument_tags  # pyright: ignore[reportPrivateImportUsage] - its only home
from llama_index.core.instrumentation.span import active_span_id
from llama_index.core.tools import BaseTool, FunctionTool, ToolOutput

from agentperf_core.cache import check_tenant
from agentperf_core.cache.toolresults.cache import ToolRequest, ToolResultCache
from agentperf_core.errors import ConfigError, require_instance
from agentperf_core.events import BUS
from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.toolpolicy import ToolPolicy
from llamaindex_agentperf._identity import tool_identity
from llamaindex_agentperf._marks import run_id
from llamaindex_agentperf.tools._arguments import Arguments
from llamaindex_agentperf.tools._codec import OutputCodec
from llamaindex_agentperf.tools._functions import functions_of

__all__ = ["Name", "Sharing", "Through", "Whose", "detached", "of_all"]

Name: TypeAlias = str | Callable[[], str | None] | None
Through: TypeAlias = Callable[[Step[ToolOutput]], Flow[ToolOutput]]


class Whose(TypedDict, total=False):
    """What tells the results of one user from those of another; see `CachedTool`."""

    tenant: Name
    session: Name
    version: str
    keep_raw: bool


class Sharing:
    """What makes two calls of a tool equal, and who shares their result.

    Args:
        owner: the tool that is called, as a `FunctionTool`.
        inner: the tool that it wraps, which says what is called.
        policy: what is declared of it.
        cache: where results are shared.
        whose: see `CachedTool`.

    Raises:
        ConfigError: see `CachedTool`.
    """

    def __init__(
        self,
        owner: FunctionTool,
        inner: BaseTool,
        policy: ToolPolicy,
        cache: ToolResultCache,
        whose: Whose,
    ) -> None:
        require_instance(ToolResultCache, "give a ToolResultCache or leave it out", cache=cache)
        self._tenant, self._session = whose.get("tenant"), whose.get("session")
        for name, value in (("tenant", self._tenant), ("session", self._session)):
            check_tenant(value, asks="a function", hint=f"give {name}='name'", name=name)
        if owner.requires_context and policy.ttl_s is not None and policy.cache_scope == "global":
            msg = (
                f"a tool that takes the run's Context may say something else in another run, got "
                f"ttl_s={policy.ttl_s!r} with cache_scope='global'; say 'run' or 'session'"
            )
            raise ConfigError(msg)
        version = whose.get("version", "")
        self.cache = cache
        self._owner = owner
        self._policy = policy
        self._version = f"{functions_of(inner, named=bool(version))}:{version}"
        self._keep_raw = whose.get("keep_raw", True)
        self._arguments = Arguments(owner)

    def through(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        refresh: Step[ToolOutput],
        named: Mapping[str, Any] | None = None,
    ) -> Through | None:
        """What a call goes through; `None` if it cannot be told from others.

        Args:
            args: the call's positional arguments.
            kwargs: its named ones.
            refresh: makes the call once more, outside of its run.
            named: all of them by name, if the caller knows.
        """
        owner = self._owner
        try:
            if named is None:
                named = self._arguments.of(args, kwargs)
            request = ToolRequest(
                tool=owner.metadata.get_name(),
                arguments=named,
                policy=self._policy,
                schema=tool_identity(owner),
                version=self._version,
                tenant=self._tenant() if callable(self._tenant) else self._tenant,
                session=self._session() if callable(self._session) else self._session,
                run=run_id(),
            )
        except Exception as error:
            BUS.fault("tool_cache.key", error)
            return None
        given = {**self._arguments.given, **kwargs}
        given.pop(owner.ctx_param_name or "", None)
        codec = OutputCodec({"args": args, "kwargs": given}, keep_raw=self._keep_raw)
        # A context belongs to its run: nothing may be fetched with it after the run.
        again = None if owner.requires_context else refresh
        return partial(_through, self.cache, request, codec, again)


def _through(
    cache: ToolResultCache,
    request: ToolRequest,
    codec: OutputCodec,
    refresh: Step[ToolOutput] | None,
    step: Step[ToolOutput],
) -> Flow[ToolOutput]:
    return cache.run(request, step, codec, refresh=refresh)


def detached(make: Callable[[], Flow[ToolOutput]]) -> Step[ToolOutput]:
    """A step that belongs to no span and no run; runs in a context of its own.

    Args:
        make: the flow of the call, made anew whenever the step runs.
    """

    def alone() -> ToolOutput:
        _leave_run()
        return run(make())

    async def aalone() -> ToolOutput:
        _leave_run()
        return await arun(make())

    return Step(alone, aalone)


def of_all(version: str, tool: BaseTool) -> str:
    """One version for many tools cannot say what each of them carries."""
    return f"{version}:{functions_of(tool)}" if version else ""


def _leave_run() -> None:
    active_span_id.set(None)
    active_instrument_tags.set({})
