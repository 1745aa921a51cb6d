"""The calls of one message, seen from one of them.

An agent starts each call of a message by itself. Which of them must keep their order, and which ask
the same, shows only in the message, which is in the state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from langchain.agents.middleware import ToolCallRequest
from langchain_core.messages import AIMessage

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


class _Message(NamedTuple):
    """The message that asks for some calls.

    Attributes:
        id: tells it from all others.
        calls: the calls, in LangChain's form.
        place: of the call from which it was found.
    """

    id: str
    calls: Sequence[Mapping[str, Any]]
    place: int


class Siblings:
    """Keeps calls of one message in order where one disturbs another, and joins equal ones.

    Args:
        messages_key: where messages are in the state.
    """

    def __init__(self, messages_key: str = "messages") -> None:
        self._key = messages_key
        self._turns = Turns()
        self._flight = ToolResultCache()

    def step(
        self,
        request: ToolCallRequest,
        policy: ToolPolicy | None,
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
        # Most tools: nothing is declared, or nothing that concerns other calls.
        if policy is None or not (
            policy.repeatable or policy.exclusive or policy.reads or policy.writes
        ):
            return step
        message = self._message(request)
        if message is None or len(message.calls) < 2:
            return step
        call = request.tool_call
        if policy.repeatable and any(
            other["name"] == call["name"] and other["args"] == call["args"]
            for place, other in enumerate(message.calls)
            if place != message.place
        ):
            step = _as_step(self._joined, message, request, step)
        return self._in_turn(message, policy, policy_of, step)

    def _in_turn(
        self,
        message: _Message,
        policy: ToolPolicy,
        policy_of: Callable[[str], ToolPolicy | None],
        step: Step[Any],
    ) -> Step[Any]:
        declared = [policy_of(call["name"]) for call in message.calls]
        if not policy.exclusive and not any(other and other.writes for other in declared):
            return step
        calls = [core_call(call) for call in message.calls]
        before = earlier(list(zip(calls, declared, strict=True)), message.place)
        ids = [calls[place].id for place in before]
        own_id = calls[message.place].id
        return _as_step(self._turns.after, message.id, own_id, ids, step)

    def _joined(self, message: _Message, request: ToolCallRequest, step: Step[Any]) -> Flow[Any]:
        """One call for all equal ones of the message that are in flight; nothing is kept."""
        call = request.tool_call
        asked = ToolRequest(
            tool=call["name"], arguments=call["args"], policy=_JOINED, run=message.id
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
            where = thread_of(surroundings(request)[0]) or run_of(request)
            name = message.id or ",".join(map(str, ids))
            calls = cast("Sequence[Mapping[str, Any]]", message.tool_calls)
            return _Message(f"{where}:{name}", calls, ids.index(call_id))
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
