"""The calls of one message, seen from one of them.

An agent starts each call of a message by itself. Which of them must keep their order, and which ask
the same, shows only in the message, which is in the state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

from langchain.agents.middleware import ToolCallRequest
from langchain_core.messages import AIMessage
from langgraph.errors import GraphInterrupt

from agentperf_core.cache.toolresults.cache import ToolRequest, ToolResultCache
from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import Turns
from agentperf_core.tools.order import earlier
from agentperf_core.types import ToolCall
from langchain_agentperf._tools.codec import JoinedCodec
from langchain_agentperf._tools.runs import run_of, surroundings, thread_of

__all__ = ["Siblings", "core_call"]

_JOINED = ToolPolicy(read_only=True, cache_scope="run")
# As long as the calls of one message may take to begin, where few run at once.
_KEPT = replace(_JOINED, ttl_s=60.0)


class _Message(NamedTuple):
    """The message that asks for some calls.

    Attributes:
        id: tells it from all others.
        calls: the calls, in LangChain's form.
        place: of the call from which it was found.
        run: id of the run, `None` if it has none.
        once: tells its one time in this run; `None` if it has no id of its own, or no run.
    """

    id: str
    calls: Sequence[Mapping[str, Any]]
    place: int
    run: str | None
    once: str | None


class Siblings:
    """Keeps calls of one message in order where one disturbs another, and joins equal ones.

    Args:
        messages_key: where messages are in the state.
    """

    def __init__(self, messages_key: str = "messages") -> None:
        self._key = messages_key
        self._turns = Turns(pause=GraphInterrupt)
        self._flight = ToolResultCache()

    def step(
        self,
        request: ToolCallRequest,
        policy: ToolPolicy,
        policy_of: Callable[[str], ToolPolicy | None],
        step: Step[Any],
    ) -> Step[Any]:
        """The step that makes a call, as its siblings allow it.

        Args:
            request: the call.
            policy: what is declared of its tool.
            policy_of: the same for any tool, by name.
            step: makes the call.
        """
        if not (policy.repeatable or policy.exclusive or policy.reads or policy.writes):
            return step  # nothing is declared that concerns other calls
        message = self._message(request)
        if message is None or len(message.calls) < 2:
            return step
        call = request.tool_call
        declared = [policy_of(call["name"]) for call in message.calls]
        writes = any(other and other.writes for other in declared)
        if policy.repeatable and any(
            other["name"] == call["name"] and other["args"] == call["args"]
            for place, other in enumerate(message.calls)
            if place != message.place
        ):
            # What a call between two equal ones may write, the second one is to see.
            once = None if writes else message.once
            step = _as_step(self._joined, request, once, message.id, step)
        return self._in_turn(message, declared, step) if policy.exclusive or writes else step

    def _in_turn(
        self, message: _Message, declared: Sequence[ToolPolicy | None], step: Step[Any]
    ) -> Step[Any]:
        calls = [core_call(call) for call in message.calls]
        before = earlier(list(zip(calls, declared, strict=True)), message.place)
        ids = [calls[place].id for place in before]
        own_id = calls[message.place].id
        return _as_step(self._turns.after, message.id, message.run, own_id, ids, step)

    def _joined(
        self, request: ToolCallRequest, once: str | None, message_id: str, step: Step[Any]
    ) -> Flow[Any]:
        """One call for all equal ones of the message; without `once`, for those in flight."""
        call = request.tool_call
        asked = ToolRequest(
            tool=call["name"],
            arguments=call["args"],
            policy=_JOINED if once is None else _KEPT,
            run=once or message_id,
        )
        return self._flight.run(asked, step, JoinedCodec(call["id"]))

    def _message(self, request: ToolCallRequest) -> _Message | None:
        call_id = request.tool_call["id"]
        for message in reversed(self._messages(request.state)):
            if not isinstance(message, AIMessage):
                continue
            ids = [call["id"] for call in message.tool_calls]
            if call_id not in ids:
                return None
            run_id = run_of(request)
            where = thread_of(surroundings(request)[0]) or run_id
            name = message.id or ",".join(map(str, ids))
            once = f"{run_id}:{message.id}" if run_id and message.id else None
            calls = cast("Sequence[Mapping[str, Any]]", message.tool_calls)
            return _Message(f"{where}:{name}", calls, ids.index(call_id), run_id, once)
        return None

    def _messages(self, state: Any) -> Sequence[Any]:
        if isinstance(state, list):
            return cast("Sequence[Any]", state)
        if isinstance(state, Mapping):
            return cast("Mapping[str, Any]", state).get(self._key) or ()
        return getattr(state, self._key, None) or ()


def core_call(call: Mapping[str, Any]) -> ToolCall:
    """LangChain's form of a call as the core's."""
    return ToolCall(call["id"] or "", call["name"], call["args"])


def _as_step(flow: Callable[..., Flow[Any]], *args: Any) -> Step[Any]:
    return Step(lambda: run(flow(*args)), lambda: arun(flow(*args)))
