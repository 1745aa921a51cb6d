"""Builds the recorder's spans from what LlamaIndex's dispatcher says.

Three things make this more than a translation. A stream's span exits when the generator is
returned, so it is held open (with the spans around it) until the stream's own end event, or until
the generator is gone. The classes nest (`acall` around `call`, `retrieve` around `_retrieve`): the
inner span of the same object is no second call. And `astream_*` of `CustomLLM` opens the sync
stream only when it is read, outside its own span: it is put back below it.

What this cannot see: the end of a stream whose class emits no LLM events; its span ends when the
generator is returned.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from inspect import BoundArguments
from typing import Any, cast

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.tools import BaseTool, ToolOutput

from agentperf_core.events import BUS
from agentperf_core.telemetry import Opening, Recorder, SpanKind
from llamaindex_agentperf._digest import Prompt, tool_hash
from llamaindex_agentperf._ends import WHERE, SpanEnds, wait_of
from llamaindex_agentperf._kinds import Role, role_of
from llamaindex_agentperf._live import (
    Live,
    is_inside,
    run_tags,
    span_name,
    subject_of,
)
from llamaindex_agentperf._usage import Answer

__all__ = ["Tracker"]

_ID_TAIL = 37  # "-" and a UUID behind "Class.method"
_MOST_CLASSES = 4096
_OF_SPAN = frozenset({"tool", "total_s"})  # what a span says anyway
_NESTING = frozenset({Role.TOOL, Role.RETRIEVER, Role.EMBEDDING})


class Tracker(SpanEnds):
    """Turns enter, exit, drop and events into spans; safe under threads and asyncio."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._alias: dict[str, str] = {}
        self._roles: dict[tuple[type, str], Role] = {}

    def enter(
        self, id_: str, bound: BoundArguments, instance: object | None, parent_id: str | None
    ) -> None:
        """A span begins."""
        path = id_[:-_ID_TAIL]
        method = path.rpartition(".")[2]
        if self._alias and parent_id is not None:
            parent_id = self._alias.get(parent_id, parent_id)
        parent = self._live.get(parent_id) if parent_id is not None else None
        if instance is None:
            # A step of a workflow: its class is the same for all, and would fill the waterfall.
            self._open(id_, Live(parent_id, Role.STEP, path, None, method), parent)
            self.recorder.start_lazily(id_, parent_id, Opening, (SpanKind.CHAIN, method))
            return
        role = self._role(type(instance), method)
        name = span_name(instance, role, path)
        if parent is not None and role in _NESTING and is_inside(parent, role, instance, name):
            self._alias[id_] = cast("str", parent_id)
            return
        live = Live(parent_id, role, method, instance, name)
        attributes: dict[str, Any] | None = None
        kind = role.kind
        if role is Role.LLM and "stream" in method:
            live.subject = subject_of(bound)
            if self._lazy:
                key = (id(instance), method, id(live.subject))
                live.parent = self._reader(key) or parent_id
        elif role is Role.TOOL:
            mark = tool_hash(cast("BaseTool", instance), bound)
            attributes = {"input_hash": mark} if mark is not None else None
        elif role is Role.AGENT or (role is Role.ENTRY and parent is None):
            kind, attributes = SpanKind.AGENT, run_tags()
        self._open(id_, live, parent)
        self.recorder.start_lazily(id_, live.parent, Opening, (kind, name, None, None, attributes))

    def exit(self, id_: str, result: object) -> None:
        """A span's function returned."""
        if self._alias and self._alias.pop(id_, None) is not None:
            return
        live = self._live.get(id_)
        if live is None:
            return
        error: BaseException | str | None = None
        if live.role is Role.LLM:
            if isinstance(result, (ChatResponse, CompletionResponse)):
                live.last = result
            elif live.called and isinstance(result, (Generator, AsyncGenerator)):
                self._defer(id_, live, cast("object", result))
                return
        elif live.role is Role.TOOL and isinstance(result, ToolOutput) and result.is_error:
            # Without an exception there is only the content, which is for the model.
            error = result.exception or "ToolOutput: is_error"
        elif live.role is Role.ENTRY:
            self._read_on(id_, live, result)
        self._close(id_, live, error, live.status)

    def drop(self, id_: str, error: BaseException | None) -> None:
        """A span's function raised."""
        if self._alias and self._alias.pop(id_, None) is not None:
            return
        live = self._live.get(id_)
        if live is not None:
            self._fail(id_, live, error)

    def called(self, id_: str | None, model: object, prompt: Prompt) -> None:
        """A model's class says that it calls the model."""
        live = self._live.get(id_) if id_ is not None else None
        if live is not None and live.role is Role.LLM:
            live.call(model, prompt)

    def progress(self, id_: str | None, answer: Answer) -> None:
        """A chunk arrived."""
        live = self._live.get(id_) if id_ is not None else None
        if live is None or id_ is None:
            return
        if live.read(answer):
            self.recorder.chunk(id_)

    def ended(self, id_: str | None, answer: Answer | None) -> None:
        """A model's class says that the call is over; matters for streams only."""
        live = self._live.get(id_) if id_ is not None else None
        if live is not None and id_ is not None and live.role is Role.LLM and live.stream:
            live.last = answer or live.last
            self._close(id_, live, None, None)

    def failed(self, id_: str | None, error: BaseException) -> None:
        """A stream broke off or was closed early."""
        live = self._live.get(id_) if id_ is not None else None
        if live is not None and id_ is not None and live.role is Role.LLM and live.stream:
            self._fail(id_, live, error)

    def cancelled(self, id_: str | None) -> None:
        """A workflow's step or run was cancelled; its span exits as if all were well."""
        live = self._live.get(id_) if id_ is not None else None
        if live is not None:
            live.status = "cancelled"

    def served(self, id_: str | None, decision: Mapping[str, Any], of: str) -> None:
        """The answer of a span came from a cache."""
        live = self._live.get(self._alias.get(id_, id_)) if id_ is not None else None
        if live is not None:
            live.serve(decision, of)

    def waits(self, id_: str | None, *, over: bool) -> None:
        """The call of a tool begins to wait for its place, or has it."""
        id_ = self._alias.get(id_, id_) if id_ is not None else None
        live = self._live.get(id_) if id_ is not None else None
        if live is None or id_ is None:
            return
        live.waits = not over
        if over:
            self.recorder.end(wait_of(id_))
        else:
            self.recorder.start(wait_of(id_), SpanKind.WAIT, live.name, parent_id=id_)

    def ran(self, id_: str | None, run: Mapping[str, Any]) -> None:
        """The executor says how the call of a tool went."""
        if id_ is not None:
            said = {name: value for name, value in run.items() if name not in _OF_SPAN}
            self.recorder.annotate(self._alias.get(id_, id_), **said)

    def close(self) -> None:
        """Nothing more will come: end what is open."""
        spans = dict(self._live)
        self._live.clear()
        self._alias.clear()
        self._lazy.clear()
        for id_, live in spans.items():
            if live.parent not in spans:
                try:
                    self.recorder.end(id_, status="unfinished")
                except Exception as error:
                    BUS.fault(WHERE, error)

    def open_spans(self) -> int:
        """How many spans have begun and not ended."""
        return len(self._live)

    def _role(self, cls: type, method: str) -> Role:
        role = self._roles.get((cls, method))
        if role is None:
            if len(self._roles) >= _MOST_CLASSES:
                self._roles.clear()
            role = self._roles[cls, method] = role_of(cls, method)
        return role
