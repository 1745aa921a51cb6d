"""What callbacks and traces are told of calls: who waited, and who was answered without a tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, cast
from uuid import UUID, uuid4

from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackManager, CallbackManager
from langchain_core.tools import BaseTool

from agentperf_core.events import BUS
from agentperf_core.flow import Flow, Step
from agentperf_core.telemetry import Recorder, SpanKind
from langchain_agentperf._answers import MARK
from langchain_agentperf._listener import Listener
from langchain_agentperf.middleware._direct import heard

__all__ = ["Shown", "Waiting", "tell", "waiting"]


class Waiting:
    """Shows in a trace that a call waits for a place.

    Args:
        recorders: where runs are recorded.
        parent_id: the run that the call belongs to.
        tool: name of the tool.
    """

    __slots__ = ("_parent_id", "_recorders", "_span_id", "_tool")

    def __init__(self, recorders: Sequence[Recorder], parent_id: UUID | None, tool: str) -> None:
        self._recorders = recorders
        self._tool = tool
        self._parent_id = parent_id
        self._span_id: UUID | None = None

    def queued(self) -> None:
        """It begins to wait."""
        self._span_id = uuid4()
        for recorder in self._recorders:
            recorder.start(self._span_id, SpanKind.WAIT, self._tool, parent_id=self._parent_id)

    def begun(self, _: int = 0) -> None:
        """It has its place, or has given up."""
        span_id, self._span_id = self._span_id, None
        if span_id is not None:
            for recorder in self._recorders:
                recorder.end(span_id)

    def around(
        self, through: Callable[[Step[Any]], Flow[Any]] | None
    ) -> Callable[[Step[Any]], Flow[Any]]:
        """The same way to the tool, at whose end the call waits no more."""

        def ended(inner: Step[Any]) -> Flow[Any]:
            try:
                return (yield from inner if through is None else through(inner))
            finally:
                self.begun()

        return ended


Shown: TypeAlias = Callable[[str], Waiting]


def waiting(config: Mapping[str, Any] | None) -> Shown | None:
    """How to show that a call of a tool in this run waits; `None` if nobody records the run."""
    manager = config.get("callbacks") if config is not None else None
    if not manager:
        return None
    of_manager = isinstance(manager, BaseCallbackManager)
    handlers: Sequence[Any] = manager.handlers if of_manager else manager
    recorders = [handler.recorder for handler in handlers if isinstance(handler, Listener)]
    if not recorders:
        return None
    return partial(Waiting, recorders, manager.parent_run_id if of_manager else None)


def tell(
    tool: BaseTool,
    call: Mapping[str, Any],
    config: Mapping[str, Any] | None,
    result: Any,
    record: Mapping[str, Any],
) -> Flow[None]:
    """Tell callbacks of a call that was answered without its tool as if it had run.

    Who watches a run by its events (`astream_events`, a tracer) sees a served result like another.

    Args:
        tool: the tool.
        call: LangChain's form of the call.
        config: the config that the tool would have been called with.
        result: what was answered.
        record: how, for the pack's own handler.
    """
    if not (heard(tool) or (config and config.get("callbacks"))):
        return
    told = {"name": tool.name, MARK: record}
    try:
        yield from Step(_tell, _atell, tool, call, config or {}, result, told)
    except Exception as error:
        BUS.fault("tools.callbacks", error)


def _tell(
    tool: BaseTool,
    call: Mapping[str, Any],
    config: Mapping[str, Any],
    result: Any,
    told: Mapping[str, Any],
) -> None:
    manager = CallbackManager.configure(*_configured(tool, config))
    manager.on_tool_start(*_started(tool, call), **_given(call)).on_tool_end(result, **told)


async def _atell(
    tool: BaseTool,
    call: Mapping[str, Any],
    config: Mapping[str, Any],
    result: Any,
    told: Mapping[str, Any],
) -> None:
    manager = AsyncCallbackManager.configure(*_configured(tool, config))
    run = await manager.on_tool_start(*_started(tool, call), **_given(call))
    await run.on_tool_end(result, **told)


def _configured(tool: BaseTool, config: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a tool gives `CallbackManager.configure`, in its order."""
    callbacks: Any = config.get("callbacks")
    return (
        callbacks,
        tool.callbacks,
        tool.verbose,
        config.get("tags"),
        tool.tags,
        config.get("metadata"),
        tool.metadata,
    )


def _started(tool: BaseTool, call: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What a tool gives `on_tool_start`."""
    named = {"name": tool.name, "description": tool.description}
    return named, str(cast("Mapping[str, Any]", call["args"]))


def _given(call: Mapping[str, Any]) -> dict[str, Any]:
    return {"inputs": call["args"], "tool_call_id": call["id"]}
