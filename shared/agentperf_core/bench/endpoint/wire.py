"""The chat-completions wire format: bodies in, bodies and stream events out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from agentperf_core.bench.endpoint.script import Reply
    from agentperf_core.types import ToolCall

__all__ = [
    "FINGERPRINT",
    "BadRequest",
    "Envelope",
    "arguments_json",
    "error_body",
    "models_body",
    "parse_body",
]

FINGERPRINT = "scripted-endpoint"

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_PIECE = re.compile(r"\s*\S{1,8}|\s+")
_FRAGMENT_CHARS = 8


class BadRequest(Exception):  # noqa: N818 - the name of HTTP status 400
    """A request that gets an error body; never leaves the server."""

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code

    def body(self) -> dict[str, Any]:
        """The error in the shape that OpenAI uses."""
        return error_body(str(self), "invalid_request_error", param=self.param, code=self.code)


def error_body(
    message: str, kind: str, *, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """An OpenAI-shaped error body."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def parse_body(raw: bytes) -> dict[str, Any]:
    """Read a chat-completions body and check what a provider would check.

    Raises:
        BadRequest: with the status, the parameter and a sentence that names the way out.
    """
    try:
        parsed: object = json.loads(raw)
    except (ValueError, RecursionError) as error:
        msg = f"the body must be JSON, got {len(raw)} bytes that are not; send a JSON object"
        raise BadRequest(msg) from error
    if not isinstance(parsed, dict):
        msg = f"the body must be a JSON object, got {type(parsed).__name__}; send an object"
        raise BadRequest(msg)
    body = cast("dict[str, Any]", parsed)
    if not (isinstance(body.get("model"), str) and body["model"]):
        msg = f"'model' must be a name, got {body.get('model')!r}; send a string"
        raise BadRequest(msg, param="model")
    if (body.get("n") or 1) != 1:
        msg = f"the scripted endpoint gives one choice, got n={body['n']!r}; leave 'n' out"
        raise BadRequest(msg, param="n")
    _check_messages(body.get("messages"))
    _check_functions(body.get("tools"), "tools")
    if not isinstance(body.get("stream") or False, bool):
        msg = f"'stream' must be a boolean, got {body['stream']!r}; send true or false"
        raise BadRequest(msg, param="stream")
    if not isinstance(body.get("stream_options") or {}, dict):
        msg = "'stream_options' must be an object; send {'include_usage': true}"
        raise BadRequest(msg, param="stream_options")
    return body


def _check_objects(value: object, param: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in items):
        msg = f"'{param}' must be a list of objects; send a list of JSON objects"
        raise BadRequest(msg, param=param)
    return cast("list[dict[str, Any]]", items)


def _check_functions(value: object, param: str) -> list[dict[str, Any]]:
    """Tool definitions and tool calls alike hold a function with a name."""
    items = _check_objects(value, param)
    for index, item in enumerate(items):
        function: object = item.get("function")
        name = cast("dict[str, Any]", function).get("name") if isinstance(function, dict) else None
        if not (isinstance(name, str) and name):
            msg = f"a tool is a function with a name, got {name!r}; send {{'function': ...}}"
            raise BadRequest(msg, param=f"{param}[{index}].function")
    return items


def _check_messages(value: object) -> None:
    messages = _check_objects(value, "messages")
    if not messages:
        msg = "'messages' must not be empty, got none; send at least one message"
        raise BadRequest(msg, param="messages")
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        role = message.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            msg = f"a role is one of {sorted(_ROLES)!r}, got {role!r}; fix the message"
            raise BadRequest(msg, param=f"messages[{index}].role")
        if role == "tool":
            _answer(message, waiting, index)
            continue
        _check_answered(waiting, index)
        calls = _check_functions(message.get("tool_calls"), f"messages[{index}].tool_calls")
        waiting = {str(call.get("id")) for call in calls}
    _check_answered(waiting, len(messages))


# A provider rejects a history that splits a tool call from its result, so the stand-in does too:
# otherwise a trimmer that cuts in the wrong place would only fail in production.
def _answer(message: Mapping[str, Any], waiting: set[str], index: int) -> None:
    answered = str(message.get("tool_call_id"))
    if answered not in waiting:
        msg = (
            "messages with role 'tool' must answer a preceding message with 'tool_calls', got "
            f"tool_call_id={answered!r}; keep call and result together"
        )
        raise BadRequest(msg, param=f"messages[{index}].role")
    waiting.discard(answered)


def _check_answered(waiting: set[str], index: int) -> None:
    if waiting:
        msg = (
            "an assistant message with 'tool_calls' must be followed by one tool message for each "
            f"call, missing {sorted(waiting)!r}; keep call and result together"
        )
        raise BadRequest(msg, param=f"messages[{index}].role")


def arguments_json(call: ToolCall) -> str:
    """The arguments of a call as the JSON text that goes over the wire."""
    return json.dumps(dict(call.arguments), separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every body and chunk of one reply has in common.

    Attributes:
        id: the completion id, also the stem of the tool-call ids.
        model: echoed from the request.
        created: seconds since the epoch.
    """

    id: str
    model: str
    created: int

    def completion(self, reply: Reply, usage: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a reply that is not streamed."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": reply.text or (None if reply.tool_calls else ""),
            "refusal": None,
        }
        if reply.tool_calls:
            message["tool_calls"] = [
                {**self._head(index, call), "function": _function(call.name, arguments_json(call))}
                for index, call in enumerate(reply.tool_calls)
            ]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": reply.reason,
        }
        return {**self._common("chat.completion"), "choices": [choice], "usage": usage}

    def chunk(self, delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
        """One stream chunk with one choice."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**self._common("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self, usage: Mapping[str, Any]) -> dict[str, Any]:
        """The last chunk of a stream that was asked for usage."""
        return {**self._common("chat.completion.chunk"), "choices": [], "usage": usage}

    def deltas(self, reply: Reply) -> Iterator[dict[str, Any]]:
        """The deltas of a reply, in order: role, text pieces, then each call in fragments."""
        yield {"role": "assistant", "content": None if reply.tool_calls else "", "refusal": None}
        for piece in _PIECE.findall(reply.text):
            yield {"content": piece}
        for index, call in enumerate(reply.tool_calls):
            head = {"index": index, **self._head(index, call), "function": _function(call.name, "")}
            yield {"tool_calls": [head]}
            text = arguments_json(call)
            for start in range(0, len(text), _FRAGMENT_CHARS):
                fragment = {"arguments": text[start : start + _FRAGMENT_CHARS]}
                yield {"tool_calls": [{"index": index, "function": fragment}]}

    def _head(self, index: int, call: ToolCall) -> dict[str, Any]:
        stem = self.id.removeprefix("chatcmpl-")
        return {"id": call.id or f"call_{stem}-{index}", "type": "function"}

    def _common(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
        }


def _function(name: str, arguments: str) -> dict[str, str]:
    return {"name": name, "arguments": arguments}


def models_body(models: Iterable[str]) -> dict[str, Any]:
    """The answer of `/v1/models`, which says what this server is."""
    return {
        "object": "list",
        "data": [
            {
                "id": model,
                "object": "model",
                "created": 0,
                "owned_by": FINGERPRINT,
                "description": "a scripted stand-in for a provider; no model runs here",
            }
            for model in models
        ],
    }
