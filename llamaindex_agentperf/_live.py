"""What is known of an open span beside the recorder's own, and how it gets its name and tags."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from inspect import BoundArguments
from typing import Any, TypeAlias, cast

from llama_index.core.base.llms.types import CompletionResponse, ToolCallBlock

# The tags of a run have no public reader.
from llama_index.core.instrumentation.dispatcher import active_instrument_tags  # pyright: ignore[reportPrivateImportUsage] - see above
from llama_index.core.tools import BaseTool

from agentperf_core.telemetry.spans import Status
from agentperf_core.types import Usage
from llamaindex_agentperf._digest import Prompt, estimate, prompt_hash
from llamaindex_agentperf._kinds import Role
from llamaindex_agentperf._usage import Answer, field_of, finish_of, usage_of

__all__ = ["Lazy", "Live", "has_content", "is_inside", "run_tags", "span_name", "subject_of"]

_UNNAMED = "unknown"  # what LLMMetadata says of a model without a name

Lazy: TypeAlias = tuple[int, str, int]


class Live:
    """An open span.

    Defaults live on the class: most spans set none of them, and a span is made at every call.
    """

    called = False  # the model's class announced the call, so it will announce its end
    model: str | None = None
    prompt: Prompt | None = None
    subject: object = None
    last: Answer | None = None
    reported: Answer | None = None
    finish: str | None = None
    flowing = False
    cache: Mapping[str, Any] | None = None
    saved: Usage | None = None
    status: Status | None = None
    stream: weakref.ref[object] | None = None
    lazy: Lazy | None = None
    holds = 0  # how many streams and children keep it open after its function returned
    holding = False  # whether it is one of its parent's holds
    reading = False  # whether its own result is still being read
    waits = False  # whether a tool's call waits for its place
    written = False  # whether a chat engine's reply is complete
    closing: tuple[BaseException | str | None, Status | None] | None = None

    def __init__(
        self, parent: str | None, role: Role, method: str, owner: object, name: str
    ) -> None:
        self.parent = parent
        self.role = role
        self.method = method
        self.owner = owner
        self.name = name

    def call(self, model: object, prompt: Prompt) -> None:
        """The model's class announced the call."""
        self.called = True
        self.model = model if isinstance(model, str) and model != _UNNAMED else None
        self.prompt = prompt

    def read(self, chunk: Answer) -> bool:
        """Take note of a chunk; whether it counts: the first one with content is the first."""
        self.last = chunk
        if chunk.raw is not None:
            if field_of(chunk.raw, "usage") is not None:
                self.reported = chunk
            self.finish = finish_of(chunk)[0] or self.finish
        self.flowing = self.flowing or has_content(chunk)
        return self.flowing

    def serve(self, decision: Mapping[str, Any], of: str) -> None:
        """The answer came from a cache."""
        saved = decision.get("saved_usage")
        self.saved = Usage(**saved) if saved is not None else None
        self.cache = {"of": of, **{k: v for k, v in decision.items() if k != "saved_usage"}}

    def account(self) -> tuple[Usage | None, dict[str, Any]]:
        """What a model call cost and how it ended; a stream without a report is estimated."""
        usage: Usage | None = None
        attributes: dict[str, Any] = {}
        if self.last is not None:
            usage = usage_of(self.last)
            finish = finish_of(self.last)[0] or self.finish
            if finish is not None:
                attributes["finish_reason"] = finish
        if usage is None and self.reported is not None:
            usage = usage_of(self.reported)
        if usage is None and self.stream is not None:
            usage = estimate(self.prompt, self.last)
        if self.prompt is not None:
            attributes["input_hash"] = prompt_hash(self.model, self.prompt)
        return usage, attributes


def subject_of(bound: BoundArguments) -> object:
    """The messages or the prompt of a model call, as the caller's own object."""
    given = bound.arguments
    args: tuple[object, ...] = given.get("args", ())
    named: Mapping[str, object] = given.get("kwargs", {})
    for name in ("messages", "prompt"):
        found = given.get(name, named.get(name))
        if found is not None:
            return found
    return args[0] if args else None


def span_name(instance: object, role: Role, path: str) -> str:
    if role is Role.TOOL:
        return cast("BaseTool", instance).metadata.name or path
    if role is Role.LLM:
        fields = instance.__dict__
        model = fields.get("model") or fields.get("model_name")
        return model if isinstance(model, str) else type(instance).__name__
    if role is Role.AGENT:
        name = getattr(instance, "name", None)
        return name if isinstance(name, str) else type(instance).__name__
    return path


def is_inside(parent: Live, role: Role, instance: object, name: str) -> bool:
    """Whether a span is the inside of its parent's call: `call` in `acall`, an adapter's tool."""
    if parent.role is not role:
        return False
    return parent.owner is instance or (role is Role.TOOL and parent.name == name)


def run_tags() -> dict[str, Any] | None:
    """The run's id and the user's own tags; LlamaIndex's others quote prompts."""
    tags = active_instrument_tags.get()
    if not tags:
        return None
    kept = {
        name: value
        for name, value in tags.items()
        if isinstance(value, (str, int, float, bool)) and not name.startswith("llamaindex.")
    }
    run_id = tags.get("llamaindex.run_id")
    return {**kept, "run_id": run_id} if run_id is not None else kept


def has_content(answer: Answer) -> bool:
    if answer.delta:
        return True
    if isinstance(answer, CompletionResponse):
        return False
    message = answer.message
    return "tool_calls" in message.additional_kwargs or any(
        isinstance(block, ToolCallBlock) for block in message.blocks
    )
