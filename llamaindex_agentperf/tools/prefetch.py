"""`prefetch_tools()`: tools that are called while the model still thinks about asking for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

from llama_index.core.instrumentation.dispatcher import active_instrument_tags  # pyright: ignore[reportPrivateImportUsage] - its only home
from llama_index.core.instrumentation.span import active_span_id
from llama_index.core.tools import BaseTool, ToolOutput

from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.events import BUS
from agentperf_core.flow import Flow, Step, arun
from agentperf_core.toolpolicy import ToolPolicy, policies_for
from agentperf_core.tools import ToolJob, ToolRun
from agentperf_core.tools.prefetch.paths import plain
from agentperf_core.tools.prefetch.prefetcher import Prefetcher
from agentperf_core.tools.prefetch.rules import PrefetchRule
from agentperf_core.tools.prefetch.session import PrefetchSession
from agentperf_core.types import ToolCall
from llamaindex_agentperf._marks import run_id
from llamaindex_agentperf._runs import run_watch
from llamaindex_agentperf.tools._sharing import Name, of_all
from llamaindex_agentperf.tools._wrapped import made
from llamaindex_agentperf.tools.managed import ManagedTool, calling

__all__ = ["prefetch_tools"]


class PrefetchedTool(ManagedTool):
    """A managed tool whose calls are watched, and may be made before they are asked for.

    Args:
        tool: any tool.
        watch: watches the tools that belong together.
        **options: see `ManagedTool`.
    """

    def __init__(self, tool: BaseTool, watch: _Watch, **options: Any) -> None:
        super().__init__(tool, **options)
        self._watch = watch
        self._hear = watch.hear

    def _flow(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Flow[ToolOutput]:
        session = self._watch.session()
        if session is None:
            return (yield from super()._flow(args, kwargs))
        name, named = self.metadata.get_name(), self._arguments.of(args, kwargs)
        runs: list[ToolRun] = []

        def through(_: Step[ToolOutput]) -> Flow[ToolOutput]:
            done = yield from self._done(args, kwargs)
            runs.append(done.run)
            return done.result

        return (
            yield from session.around(
                ToolCall(calling.get(), name, named),
                self._running.step(args, kwargs),
                through=through,
                ran=lambda: not runs[0].cached,
                read=_read,
            )
        )

    def guessed(self, call: ToolCall) -> ToolJob[ToolOutput] | None:
        """The same call outside of the run, which shall not hear of it."""
        if self.requires_context:
            return None
        kwargs = dict(call.arguments)
        job = self.job((), kwargs, call_id=call.id)
        through = job.through
        if through is None:
            return None

        def apart(step: Step[ToolOutput]) -> Flow[ToolOutput]:
            with _outside_of_the_run():
                return (yield from through(step))

        return replace(job, call=call, step=self._running.alone((), kwargs), through=apart)

    def named(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Arguments by name, with the plain defaults of the others."""
        return self._arguments.of((), given)


class _Watch:
    """Watches the calls of some tools; it is their `PrefetchTools`.

    Args:
        prefetcher: says what is likely next.
        session: see `CachedTool`.
    """

    def __init__(self, prefetcher: Prefetcher, session: Name) -> None:
        self._prefetcher = prefetcher
        self._session = session
        self._tools: dict[str, PrefetchedTool] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._id = uuid4().hex

    def add(self, tool: PrefetchedTool) -> None:
        """Watch a tool."""
        self._tools[tool.metadata.get_name()] = tool

    def session(self) -> PrefetchSession[ToolOutput] | None:
        """The conversation that is going on here; `None` if nobody can say."""
        try:
            said = self._session() if callable(self._session) else self._session
            run_now = run_id()
            session = self._prefetcher.session(self, (self._id, said or run_now))
            if run_now is not None:
                run_watch().when_over(run_now, session.stop)
        except Exception as error:
            BUS.fault("tools.prefetch.watch", error)
            return None
        return session

    def hear(self, text: str) -> None:
        """The user has said something, to an agent on this event loop."""
        session = self.session()
        if session is not None and session.listens:
            task = asyncio.get_running_loop().create_task(arun(session.heard(text)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def policy(self, tool: str) -> ToolPolicy | None:
        """What is declared of a tool."""
        found = self._tools.get(tool)
        return found.policy if found is not None else None

    def arguments(self, tool: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Arguments with the plain defaults of the others."""
        found = self._tools.get(tool)
        return found.named(given) if found is not None else given

    def job(self, call: ToolCall) -> ToolJob[ToolOutput] | None:
        """A call on a guess; `None` for a tool that takes the run's context."""
        found = self._tools.get(call.name)
        return found.guessed(call) if found is not None else None


def prefetch_tools(
    tools: Sequence[BaseTool | Callable[..., Any]],
    prefetcher: Prefetcher | Iterable[PrefetchRule | str],
    policies: Mapping[str, ToolPolicy] | None = None,
    *,
    cache: ToolResultCache | None = None,
    tenant: Name = None,
    session: Name = None,
    version: str = "",
) -> list[BaseTool]:
    """Tools of which some are called before an agent's model asks for them.

    After a call of one of them, and when an agent is asked something, rules say which calls are
    likely next. Those of tools with `ToolPolicy(prefetch=True)` are made at once; the agent's own
    call finds the result in the cache, or joins the one in flight. A guess that fails is never
    heard of, and what still runs at the end of a workflow's run is cancelled. The tools are managed
    tools, see `manage_tools`, under the prefetcher's executor. A tool that takes the run's context
    is not called on a guess.

    Args:
        tools: all tools of an agent, or functions to make tools of.
        prefetcher: a core `Prefetcher` to share with other agents, or rules to make one of.
        policies: what is declared, by name of the tool; goes before what `tool_policy` has left on
            it.
        cache: where results are shared; default a new one.
        tenant: see `CachedTool`.
        session: see `CachedTool`; a conversation of this name goes on from one run to the next.
        version: see `cached_tools`.

    Raises:
        ConfigError: if a rule cannot be read or calls a tool that may not be called on a guess, if
            there is a policy for a tool that does not exist, or see `ManagedTool`.

    Example:
        >>> def get_order(order_id: int) -> str:
        ...     return f"order {order_id}: shipped"
        >>> (tool,) = prefetch_tools(
        ...     [get_order],
        ...     ["after get_user: get_order(order_id=result.orders[].id)"],
        ...     {"get_order": ToolPolicy(read_only=True, ttl_s=60, prefetch=True)},
        ... )
        >>> tool.policy.prefetch
        True
    """
    maker = prefetcher if isinstance(prefetcher, Prefetcher) else Prefetcher(prefetcher)
    found = {tool.metadata.get_name(): tool for tool in map(made, tools)}
    known = policies_for(found, policies)
    maker.check(known)
    run_watch()
    watch = _Watch(maker, session)
    shared = cache if cache is not None else ToolResultCache()
    wrapped: list[BaseTool] = []
    for name, tool in found.items():
        one = PrefetchedTool(
            tool,
            watch,
            policy=known.get(name),
            executor=maker.executor,
            cache=shared,
            version=of_all(version, tool),
            tenant=tenant,
            session=session,
        )
        watch.add(one)
        wrapped.append(one)
    return wrapped


def _read(output: ToolOutput) -> Any:
    """What an output says, as plain data; `None` for an error.

    What the tool returned, since its content is Python's form of that and no JSON.
    """
    if output.is_error:
        return None
    raw: Any = output.raw_output
    dump: Any = getattr(raw, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    return plain(raw) if type(raw) in {str, dict, list} else plain(output.content)


@contextmanager
def _outside_of_the_run() -> Generator[None]:
    """What happens in here belongs to no span and no run."""
    span, tags = active_span_id.set(None), active_instrument_tags.set({})
    try:
        yield
    finally:
        with suppress(ValueError):  # a flow that is given up is closed in a foreign context
            active_span_id.reset(span)
            active_instrument_tags.reset(tags)


prefetch_tools.__module__ = "llamaindex_agentperf"
