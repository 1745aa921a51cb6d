"""When a workflow's run begins and ends, for parts that live as long as a run.

Tools are not told. The span of `run` ends when the run has, and the spans of its steps, which lie
directly under it, carry the id of the run.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from inspect import BoundArguments
from typing import Any, ClassVar

from llama_index.core.instrumentation import get_dispatcher  # pyright: ignore[reportPrivateImportUsage] - its documented home
from llama_index.core.instrumentation.span import BaseSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from pydantic import Field

from agentperf_core.events import BUS

__all__ = ["RunWatch", "run_watch"]

_WHERE = "llamaindex.runs"
_MOST_RUNS = 1024
_RUN, _FIRST_STEP = ".run-", ".init_run-"


class RunWatch(BaseSpanHandler[BaseSpan]):
    """Tells of runs that begin and end; never raises, keeps nothing that has ended."""

    agentperf_silent: ClassVar[bool] = True
    # A field and not a private attribute: those cost a microsecond per access.
    state: Any = Field(default=None, exclude=True, repr=False)

    def __init__(self) -> None:
        super().__init__()
        self.state = _Runs()

    @classmethod
    def class_name(cls) -> str:
        """Stable name of the handler."""
        return "RunWatch"

    def when_over(self, run_id: str, function: Callable[[], object]) -> None:
        """Call a function once, in the thread of the run's event loop, when a run has ended."""
        self.state.ends.setdefault(run_id, {})[function] = None

    def span_enter(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        parent_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A span begins; replaces the base class's bookkeeping, which keeps every span."""
        try:
            if _RUN in id_:
                self.state.begin(id_, instance)
            elif parent_id is not None:
                agent = self.state.step(parent_id, tags)
                if agent is not None and _FIRST_STEP in id_:
                    _tell(agent, bound_args)
        except Exception as error:
            BUS.fault(_WHERE, error)

    def span_exit(self, id_: str, *args: Any, **kwargs: Any) -> None:
        """A span's function returned."""
        self._over(id_)

    def span_drop(self, id_: str, *args: Any, **kwargs: Any) -> None:
        """A span's function raised."""
        self._over(id_)

    def new_span(self, *args: Any, **kwargs: Any) -> None:
        """Not used: `span_enter` does it all."""

    def prepare_to_exit_span(self, *args: Any, **kwargs: Any) -> None:
        """Not used: `span_exit` does it all."""

    def prepare_to_drop_span(self, *args: Any, **kwargs: Any) -> None:
        """Not used: `span_drop` does it all."""

    def _over(self, id_: str) -> None:
        if _RUN in id_:
            for function in self.state.over(id_):
                try:
                    function()
                except Exception as error:
                    BUS.fault(_WHERE, error)


@dataclass(slots=True)
class _Run:
    agent: object
    id: str | None = None  # known from its first step on


class _Runs:
    """Open runs by their span, and what is to be called when they end."""

    def __init__(self) -> None:
        self.ends: OrderedDict[str, dict[Callable[[], object], None]] = OrderedDict()
        self._open: dict[str, _Run] = {}

    def begin(self, id_: str, agent: object) -> None:
        self._open[id_] = _Run(agent)
        while len(self.ends) > _MOST_RUNS:
            self.ends.popitem(last=False)

    def step(self, parent_id: str, tags: dict[str, Any] | None) -> object | None:
        """The agent whose run a step belongs to; `None` for other spans."""
        found = self._open.get(parent_id)
        if found is None:
            return None
        if found.id is None and tags:
            found.id = tags.get("llamaindex.run_id")
        return found.agent

    def over(self, id_: str) -> list[Callable[[], object]]:
        found = self._open.pop(id_, None)
        return list(self.ends.pop(found.id, {})) if found is not None and found.id else []


def _tell(agent: Any, bound_args: BoundArguments) -> None:
    """Tell those tools of an agent that listen what the user has said."""
    message: Any = getattr(bound_args.arguments.get("ev"), "user_msg", None)
    text: Any = getattr(message, "content", message)
    if not isinstance(text, str):
        return
    agents: Any = getattr(agent, "agents", None) or {"": agent}
    tools = [tool for one in agents.values() for tool in getattr(one, "tools", None) or ()]
    for hear in dict.fromkeys(getattr(tool, "_hear", None) for tool in tools):
        if hear is not None:
            hear(text)


_lock = threading.Lock()


def run_watch() -> RunWatch:
    """The one watch of this process, on the root dispatcher from the first use on."""
    root = get_dispatcher()
    with _lock:
        for handler in root.span_handlers:  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - untyped upstream
            if isinstance(handler, RunWatch):
                return handler
        watch = RunWatch()
        root.add_span_handler(watch)  # pyright: ignore[reportUnknownMemberType] - same
        return watch
