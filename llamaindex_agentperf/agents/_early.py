"""Tool calls that start while the model still writes, and are handed over when the agent asks.

The pieces of an answer come as events of LlamaIndex's dispatcher, sent in the task that reads the
stream, so an ear that is set in this task hears its own model and no other. Nothing of the request
or of the stream is changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.instrumentation import get_dispatcher  # pyright: ignore[reportPrivateImportUsage] - its documented home
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatInProgressEvent
from llama_index.core.tools import ToolOutput

from agentperf_core.tools import CallAssembler, EarlyCalls, EarlyStats, ToolJob
from agentperf_core.types import ToolCall
from llamaindex_agentperf._marks import run_id
from llamaindex_agentperf.events import overheard
from llamaindex_agentperf.tools._claims import CLAIMS, MOST_RUNS
from llamaindex_agentperf.tools.managed import ManagedTool

__all__ = ["EarlyAnswers", "listening"]


class EarlyAnswers:
    """The early calls of one agent's runs.

    Args:
        only: names of the tools that may start early; `None` for all that may be called twice.
    """

    def __init__(self, only: Collection[str] | None = None) -> None:
        self._only = frozenset(only) if only is not None else None
        self._past = EarlyStats()
        self._latest: OrderedDict[str | None, EarlyCalls[ToolOutput]] = OrderedDict()

    def calls(self, tools: Sequence[Any]) -> EarlyCalls[ToolOutput] | None:
        """What makes the early calls of the answer that begins; `None` if no tool could be."""
        managed = {
            tool.metadata.get_name(): tool for tool in tools if isinstance(tool, ManagedTool)
        }
        may = {name for name in managed if self._only is None or name in self._only}
        if not may:
            return None

        def job_of(call: ToolCall) -> ToolJob[ToolOutput] | None:
            tool = managed.get(call.name)
            # What takes the run's context is given it by the agent, later.
            if tool is None or call.name not in may or tool.requires_context:
                return None
            return tool.job((), dict(call.arguments), call_id=call.id)

        executor = next(iter(managed.values())).executor
        found = EarlyCalls(
            executor, job_of, lambda name: managed[name].policy if name in managed else None
        )
        self._begin(found)
        return found

    def stats(self) -> EarlyStats:
        """What came of all early calls so far."""
        return sum((calls.stats() for calls in [*self._latest.values()]), self._past)

    def _begin(self, calls: EarlyCalls[ToolOutput]) -> None:
        run = run_id()
        self._forget(self._latest.pop(run, None))
        self._latest[run] = calls
        CLAIMS.add(run, calls)
        while len(self._latest) > MOST_RUNS:
            self._forget(self._latest.popitem(last=False)[1])

    def _forget(self, calls: EarlyCalls[ToolOutput] | None) -> None:
        """An answer is past: what nobody has asked for by now, nobody will."""
        if calls is not None:
            calls.drop()
            self._past += calls.stats()


class _Ear:
    """Puts the calls of one streamed answer together and offers them."""

    def __init__(self, calls: EarlyCalls[ToolOutput]) -> None:
        self._calls = calls
        self._answer = CallAssembler()
        self._heard: list[int] = []

    def hear(self, response: ChatResponse) -> None:
        """Take the answer as it is so far: what is new of its calls is told by their length."""
        for index, (call_id, name, arguments) in enumerate(_calls_of(response.message)):
            if index == len(self._heard):
                self._heard.append(0)
            piece = arguments[self._heard[index] :]
            if not piece:
                continue
            self._heard[index] = len(arguments)
            call = self._answer.feed(index, id=call_id, name=name, arguments=piece)
            if call is not None:
                self._calls.offer(call)


_ear: ContextVar[_Ear | None] = ContextVar("agentperf_llamaindex_ear", default=None)


@contextmanager
def listening(calls: EarlyCalls[ToolOutput] | None) -> Generator[None]:
    """Hear the model that is read inside the block; one that breaks off asks for nothing."""
    if calls is None:
        yield
        return
    _Listener.install()
    token, open_ = _ear.set(_Ear(calls)), overheard.set(True)
    try:
        yield
    except BaseException:
        calls.drop()
        raise
    finally:
        overheard.reset(open_)
        _ear.reset(token)


class _Listener(BaseEventHandler):
    """Leads the events of models to the ear of their task, if there is one."""

    agentperf_silent: ClassVar[bool] = True

    @classmethod
    def class_name(cls) -> str:
        """Stable name of the handler."""
        return "EarlyCallsListener"

    @classmethod
    def install(cls) -> None:
        """Listen at the root, once."""
        root = get_dispatcher()
        if not any(isinstance(handler, cls) for handler in root.event_handlers):
            root.add_event_handler(cls())

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        """Hear a piece of an answer."""
        ear = _ear.get()
        if ear is not None and isinstance(event, LLMChatInProgressEvent):
            ear.hear(event.response)


def _calls_of(message: ChatMessage) -> list[tuple[str, str, str]]:
    """Id, name and arguments so far of each call; only of calls whose arguments are still text."""
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return [
            (block.tool_call_id or "", block.tool_name, _text(block.tool_kwargs))
            for block in blocks
        ]
    kept: Sequence[Any] = message.additional_kwargs.get("tool_calls") or ()
    found: list[tuple[str, str, str]] = []
    for call in kept:
        function: Any = getattr(call, "function", None)
        if function is not None:
            found.append((call.id or "", function.name or "", _text(function.arguments)))
    return found


def _text(arguments: object) -> str:
    return arguments if isinstance(arguments, str) else ""
