"""Token usage as a provider reports it, with a simulated prompt cache.

The cache follows OpenAI's published rule: the longest prefix that a recent request of the same
model had too, counted in steps of 128 tokens from 1,024 tokens on, tool definitions first. What it
cannot see: eviction after minutes, routing to another machine, and parameters that change the
rendered prompt (`response_format`).
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from agentperf_core.accounting import TokenCounter
from agentperf_core.bench.endpoint.script import text_of
from agentperf_core.bench.endpoint.wire import arguments_json
from agentperf_core.types import Message, Role, ToolCall

if TYPE_CHECKING:
    from agentperf_core.bench.endpoint.script import ChatRequest, Reply

__all__ = ["Billing", "message_of", "usage_body"]

_FIRST_CACHED_TOKENS = 1024
_CACHED_STEP_TOKENS = 128
_PROMPTS_KEPT = 64  # per model; a demo's working set, and a bound for a long-lived server
_MODELS_KEPT = 64
_ROLES: dict[str, Role] = {"developer": "system", "function": "tool"}


@dataclass(frozen=True, slots=True)
class _Segment:
    """A piece of the rendered prompt: the tool definitions or one message."""

    text: str
    tokens: int


_Prompt = tuple[_Segment, ...]


@dataclass(slots=True)
class _Model:
    """What one model has seen lately, and how it counts."""

    counter: TokenCounter
    recent: deque[_Prompt] = field(default_factory=lambda: deque[_Prompt](maxlen=_PROMPTS_KEPT))


class Billing:
    """Counts the tokens of requests and replies for one endpoint; safe under threads.

    Args:
        counter: counts for every model; `None` gives each model the counter of its name.
    """

    def __init__(self, counter: TokenCounter | None = None) -> None:
        self._counter = counter
        self._models: OrderedDict[str, _Model] = OrderedDict()
        self._lock = threading.Lock()

    def prompt(self, request: ChatRequest) -> tuple[int, int]:
        """All prompt tokens of a request, and how many of them come from the prompt cache."""
        model = self._model(request.model)
        counter = model.counter
        segments = tuple(_segments(request, counter))
        total = sum(segment.tokens for segment in segments) + counter.chat.reply_priming
        with self._lock:
            known = list(model.recent)
            model.recent.append(segments)
        shared = _shared_tokens(segments, known, counter)
        if shared < _FIRST_CACHED_TOKENS:
            return total, 0
        return total, shared - (shared - _FIRST_CACHED_TOKENS) % _CACHED_STEP_TOKENS

    def completion(self, model: str, reply: Reply) -> int:
        """Visible output tokens of a reply: text, tool names and arguments, without framing."""
        counter = self._model(model).counter
        texts = [reply.text]
        for call in reply.tool_calls:
            texts += [call.name, arguments_json(call)]
        return sum(counter.count_text(text) for text in texts if text)

    def _model(self, name: str) -> _Model:
        with self._lock:
            model = self._models.pop(name, None)
            if model is None:
                model = _Model(self._counter or TokenCounter.for_model(name))
            self._models[name] = model
            if len(self._models) > _MODELS_KEPT:
                self._models.popitem(last=False)
            return model


def message_of(message: Mapping[str, Any]) -> Message:
    """A wire message as a core value."""
    role = str(message.get("role"))
    return Message(
        role=_ROLES.get(role, cast("Role", role)),
        text=text_of(message),
        name=str(message["name"]) if message.get("name") else None,
        tool_calls=tuple(_call_of(call) for call in message.get("tool_calls") or ()),
        tool_call_id=message.get("tool_call_id"),
        blocks=tuple(block for block in _blocks(message) if block.get("type") != "text"),
    )


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content: object = message.get("content")
    items = cast("list[object]", content) if isinstance(content, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def _call_of(call: Mapping[str, Any]) -> ToolCall:
    function: Mapping[str, Any] = call.get("function") or {}
    text = str(function.get("arguments") or "{}")
    try:
        arguments: object = json.loads(text)
    except (ValueError, RecursionError):
        arguments = text  # a client may send back what a model got wrong
    if not isinstance(arguments, dict):
        arguments = {"": arguments}
    name = str(function.get("name", ""))
    return ToolCall(str(call.get("id", "")), name, cast("dict[str, Any]", arguments))


def _segments(request: ChatRequest, counter: TokenCounter) -> Iterable[_Segment]:
    if request.tools:
        yield _Segment(_compact(request.tools), counter.count_tools(request.tools))
    for message in request.messages:
        # Role and text first: what two messages share shall be text, not the names of JSON fields.
        rest = {key: value for key, value in message.items() if key not in {"role", "content"}}
        blocks = _blocks(message)
        rest = {**rest, "content": blocks} if blocks else rest
        text = f"{message['role']}\n{text_of(message)}\n{_compact(rest)}"
        yield _Segment(text, counter.count_message(message_of(message)))


def _shared_tokens(prompt: _Prompt, known: Iterable[_Prompt], counter: TokenCounter) -> int:
    equal, head = 0, ""
    for other in known:
        length = _equal_segments(prompt, other)
        both = length < min(len(prompt), len(other))
        common = _common_head(prompt[length].text, other[length].text) if both else ""
        if (length, len(common)) > (equal, len(head)):
            equal, head = length, common
    whole = sum(segment.tokens for segment in prompt[:equal])
    return whole + (min(counter.count_text(head), prompt[equal].tokens) if head else 0)


def _equal_segments(a: _Prompt, b: _Prompt) -> int:
    for index, (left, right) in enumerate(zip(a, b, strict=False)):
        if left.text != right.text:
            return index
    return min(len(a), len(b))


def _common_head(a: str, b: str) -> str:
    known, limit = 0, min(len(a), len(b))
    while known < limit:
        middle = (known + limit + 1) // 2
        if a[known:middle] == b[known:middle]:
            known = middle
        else:
            limit = middle - 1
    return a[:known]


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def usage_body(prompt: int, cached: int, visible: int, reasoning: int) -> dict[str, Any]:
    """The `usage` object of a reply."""
    completion = visible + reasoning
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
