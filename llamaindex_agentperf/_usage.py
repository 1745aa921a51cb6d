"""What a provider reports of an answer: usage and finish reason, whatever their shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse

from agentperf_core.types import Usage

__all__ = ["USAGE_KEYS", "Answer", "extra_of", "field_of", "finish_of", "usage_of"]

Answer: TypeAlias = ChatResponse | CompletionResponse

USAGE_KEYS = frozenset({"prompt_tokens", "completion_tokens", "total_tokens", "usage"})


def field_of(source: object, name: str) -> Any:
    """A field of a mapping or an attribute of an object, `None` if there is none."""
    if type(source) is dict:  # asking Mapping's ABC costs ten times as much
        return cast("dict[str, Any]", source).get(name)
    found = getattr(source, name, None)
    if found is None and isinstance(source, Mapping):
        return cast("Mapping[str, Any]", source).get(name)
    return found


def extra_of(answer: Answer) -> dict[str, Any]:
    """The `additional_kwargs` of an answer, which LlamaIndex types as a bare dict."""
    return cast("dict[str, Any]", answer.additional_kwargs)  # pyright: ignore[reportUnknownMemberType] - see above


def _count(source: object, name: str) -> int:
    value = field_of(source, name)
    return value if isinstance(value, int) and value > 0 else 0


def usage_of(answer: Answer) -> Usage | None:
    """What a provider says a call cost; `None` if it says nothing.

    Knows the shapes of OpenAI (chat and responses), Anthropic, Gemini and Ollama, and the counts
    that LlamaIndex copies into `additional_kwargs`.
    """
    raw = answer.raw
    reported: object = None
    if raw is not None:
        reported = field_of(raw, "usage") or field_of(raw, "usage_metadata")
        if reported is None and _count(raw, "eval_count"):
            reported = raw
    extra = extra_of(answer)
    usage = _parse(reported) if reported is not None else None
    return usage if usage is not None or not extra else _parse(extra)


def _parse(reported: object) -> Usage | None:
    usage: Usage
    if field_of(reported, "prompt_tokens") is not None:
        usage = _openai(reported, "prompt_tokens", "completion_tokens")
    elif field_of(reported, "input_tokens") is not None:
        details = field_of(reported, "input_tokens_details")
        usage = (
            _openai(reported, "input_tokens", "output_tokens")
            if details is not None
            else _anthropic(reported)
        )
    elif field_of(reported, "prompt_token_count") is not None:
        thoughts = _count(reported, "thoughts_token_count")
        usage = Usage.from_totals(
            input_tokens=_count(reported, "prompt_token_count"),
            # Gemini counts thinking beside the answer, the others inside it.
            output_tokens=_count(reported, "candidates_token_count") + thoughts,
            cached_input_tokens=_count(reported, "cached_content_token_count"),
            reasoning_tokens=thoughts,
        )
    else:
        usage = Usage.from_totals(
            input_tokens=_count(reported, "prompt_eval_count"),
            output_tokens=_count(reported, "eval_count"),
        )
    # Servers that do not count send zeros: that is "unknown", not "free".
    return usage if usage.total_tokens else None


def _openai(reported: object, inputs: str, outputs: str) -> Usage:
    given = field_of(reported, f"{inputs}_details")
    return Usage.from_totals(
        input_tokens=_count(reported, inputs),
        output_tokens=_count(reported, outputs),
        cached_input_tokens=_count(given, "cached_tokens"),
        cache_write_tokens=_count(given, "cache_write_tokens"),
        reasoning_tokens=_count(field_of(reported, f"{outputs}_details"), "reasoning_tokens"),
    )


def _anthropic(reported: object) -> Usage:
    return Usage(
        uncached_input_tokens=_count(reported, "input_tokens"),
        cached_input_tokens=_count(reported, "cache_read_input_tokens"),
        cache_write_tokens=_count(reported, "cache_creation_input_tokens"),
        output_tokens=_count(reported, "output_tokens"),
    )


def finish_of(answer: Answer) -> tuple[str | None, bool]:
    """Why the model stopped, in lower case, and whether this provider reports it at all."""
    raw = answer.raw
    if raw is None:
        return None, False
    choices = field_of(raw, "choices")
    if isinstance(choices, (list, tuple)):
        chosen = cast("list[object]", choices)
        return _word(field_of(chosen[0], "finish_reason") if chosen else None), True
    for name in ("stop_reason", "finish_reason", "done_reason"):
        value = field_of(raw, name)
        if value is not None:
            return _word(value), True
    return None, False


def _word(value: object) -> str | None:
    return str(getattr(value, "value", value)).lower() if value is not None else None
