"""Tool calls that start while the model still writes, and are handed over when the agent asks.

A callback listens to the model's stream, for as long as the agent's model call lasts. Nothing of
the request is changed: tools, system prompt, other middleware and the stream of tokens stay.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from typing import Any, TypeAlias, cast
from uuid import UUID

from langchain.agents.middleware import ModelRequest, ModelResponse, ToolCallRequest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tools import BaseTool

from agentperf_core.flow import Flow, Step
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import (
    CallAssembler,
    Done,
    EarlyCalls,
    EarlyStats,
    ToolExecutor,
    ToolJob,
)
from agentperf_core.types import ToolCall
from langchain_agentperf import _hooks
from langchain_agentperf._tools.bound import async_side
from langchain_agentperf._tools.facts import facts_of
from langchain_agentperf._tools.prepared import prepared
from langchain_agentperf._tools.results import MessageResults, Result
from langchain_agentperf._tools.runs import current_run, run_of

__all__ = ["EarlyTools"]

_Key: TypeAlias = tuple[str | None, str]

_MOST_ANSWERS = 1024  # whose calls may still be asked for


class EarlyTools:
    """The early calls of the agents that share a middleware.

    Args:
        executor: makes the calls.
        results: how results are read.
        policy_of: what is declared of a tool.
        only: names of the tools that may start early; `None` for all that may be called twice.
    """

    def __init__(
        self,
        executor: ToolExecutor,
        results: MessageResults,
        policy_of: Callable[[str, BaseTool | None], ToolPolicy | None],
        *,
        only: Collection[str] | None = None,
    ) -> None:
        self._executor = executor
        self._results = results
        self._policy_of = policy_of
        self._only = frozenset(only) if only is not None else None
        self._answers: OrderedDict[_Key, EarlyCalls[Result]] = OrderedDict()
        self._past = EarlyStats()  # of the answers that are no longer among them

    def around(self, request: ModelRequest[Any], call: Step[Any]) -> Flow[Any]:
        """Make an agent's model call, and begin what it asks for as soon as it has said so."""
        self._drop_those_before(request)
        calls = self._calls(request)
        try:
            with _listening(_Listener(calls)):
                response = yield from call
        except BaseException:
            self._forget(calls)
            raise
        self._keep(response, calls)
        return response

    def claim(self, request: ToolCallRequest) -> Callable[[ToolCall], Flow[Done[Result]] | None]:
        """How to get what was made early for a call of a tool node."""
        message = _asking(request)
        calls = self._answers.get(_key(run_of(request), message)) if message is not None else None
        return calls.claim if calls is not None else _nothing

    def stats(self) -> EarlyStats:
        """What came of all early calls so far."""
        return sum((calls.stats() for calls in [*self._answers.values()]), self._past)

    def _forget(self, calls: EarlyCalls[Result]) -> None:
        calls.drop()
        self._past += calls.stats()

    def _calls(self, request: ModelRequest[Any]) -> EarlyCalls[Result]:
        tools = {tool.name: tool for tool in request.tools if isinstance(tool, BaseTool)}
        config = var_child_runnable_config.get()

        def job_of(call: ToolCall) -> ToolJob[Result] | None:
            tool = tools.get(call.name)
            # What needs the run's state or runtime is given it by the tool node, later.
            if tool is None or facts_of(tool).of_the_run:
                return None
            given = {"name": call.name, "args": call.arguments, "id": call.id, "type": "tool_call"}
            ready = prepared(tool)
            awaited = async_side(ready, self._executor)
            step: Step[Result] = Step(ready.invoke, awaited, given, config)
            policy = self._policy_of(call.name, tool)
            return ToolJob(call=call, step=step, results=self._results, policy=policy)

        def policy_of(name: str) -> ToolPolicy | None:
            policy = self._policy_of(name, tools.get(name))
            # One that must not start early is still known to the others by what it writes.
            return policy if self._only is None or name in self._only else _later(policy)

        return EarlyCalls(self._executor, job_of, policy_of)

    def _keep(self, response: object, calls: EarlyCalls[Result]) -> None:
        """Remember whose calls these are; those that are in no answer are given up."""
        result = response.result if isinstance(response, ModelResponse) else [response]
        messages = [one for one in cast("Sequence[object]", result) if isinstance(one, AIMessage)]
        message = next((one for one in reversed(messages) if one.tool_calls), None)
        if message is None:
            self._forget(calls)
            return
        self._answers[_key(current_run(), message)] = calls
        while len(self._answers) > _MOST_ANSWERS:
            self._forget(self._answers.popitem(last=False)[1])

    def _drop_those_before(self, request: ModelRequest[Any]) -> None:
        """The agent is past its last answer: what it has not asked for by now, it never will."""
        for message in reversed(request.messages):
            if isinstance(message, AIMessage):
                calls = self._answers.pop(_key(current_run(), message), None)
                if calls is not None:
                    self._forget(calls)
                return


class _Listener(BaseCallbackHandler):
    """Puts the calls of a model's stream together and offers them."""

    run_inline = True
    raise_error = False

    def __init__(self, calls: EarlyCalls[Result]) -> None:
        super().__init__()
        self._calls = calls
        self._answers: dict[UUID, CallAssembler] = {}

    # LangChain streams a model's answer inside `invoke` if a handler has these two.
    def tap_output_aiter(self, run_id: UUID, output: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Leave a stream of events as it is."""
        return output

    def tap_output_iter(self, run_id: UUID, output: Iterator[Any]) -> Iterator[Any]:
        """Leave a stream of events as it is."""
        return output

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: UUID, **_: Any) -> None:
        """Look for pieces of tool calls in a chunk."""
        message = getattr(chunk, "message", None)
        if not isinstance(message, AIMessageChunk) or not message.tool_call_chunks:
            return
        answer = self._answers.get(run_id)
        if answer is None:
            answer = self._answers[run_id] = CallAssembler()
        for piece in message.tool_call_chunks:
            call = answer.feed(
                piece.get("index"),
                id=piece.get("id"),
                name=piece.get("name"),
                arguments=piece.get("args"),
            )
            if call is not None:
                self._calls.offer(call)

    def on_stream_event(self, event: Mapping[str, Any], *, run_id: UUID, **_: Any) -> None:
        """Look for whole calls in the event protocol, which models speak under its readers."""
        content = event.get("content")
        if event.get("event") != "content-block-finish" or not isinstance(content, dict):
            return
        call = cast("Mapping[str, Any]", content)
        if call.get("type") == "tool_call" and call.get("id") and call.get("name"):
            self._calls.offer(ToolCall(call["id"], call["name"], call.get("args") or {}))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """An answer that broke off asks for nothing."""
        if self._answers.pop(run_id, None) is not None:
            self._calls.drop()


@contextmanager
def _listening(listener: _Listener) -> Generator[None]:
    _hooks.enter(listener)
    try:
        yield
    finally:
        _hooks.leave(listener)


def _asking(request: ToolCallRequest) -> AIMessage | None:
    """The message that asks for a call."""
    for message in reversed(_messages(request.state)):
        if isinstance(message, AIMessage):
            return message
    return None


def _messages(state: Any) -> Sequence[object]:
    if isinstance(state, Mapping):
        return cast("Mapping[str, Any]", state).get("messages") or ()
    return getattr(state, "messages", None) or ()


def _key(run: str | None, message: AIMessage) -> _Key:
    return run, message.id or ",".join(str(call["id"]) for call in message.tool_calls)


def _later(policy: ToolPolicy | None) -> ToolPolicy | None:
    """What is declared of a tool, for one that must wait for the agent."""
    if policy is None or not policy.writes:
        return None
    return ToolPolicy(writes=policy.writes)


def _nothing(_: ToolCall) -> None:
    return None
