"""Canonical request keys: everything that can change the answer, and nothing else.

In the key: tenant, version tag, model identity with its behaviour parameters, system prompt,
history, tool schemas (in any order), tool choice, response format. Not in the key: ids, usage,
response metadata, callbacks, time-outs, retries, secrets. Tool-call ids are replaced by the
position of the call, since providers draw new ones for every run.

The key is SHA-256 over length-prefixed parts, so no two requests share one by concatenation.
Digests of messages are memoised by value: a conversation that grew by one message hashes one
message. The memo cannot go stale when a framework mutates a message, because the lookup compares
what is in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import orjson

__all__ = ["MessageParts", "Unkeyable", "canonical", "request_key", "text_key"]

_VERSION = b"agentperf-key-1"
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


class Unkeyable(Exception):  # noqa: N818 - no error: the request just bypasses the cache
    """A part of the request has no canonical form, so the request must not be cached."""


class MessageParts(NamedTuple):
    """What of one message can change an answer; adapters build it, keys hash it.

    A plain tuple because a request holds hundreds: a frozen dataclass costs four times as much to
    build and to hash.

    Attributes:
        role: who speaks.
        content: text as it is, anything richer as `canonical` bytes without provider ids.
        name: the author name or `None`.
        calls: canonical bytes of `[[name, arguments], ...]`, empty without tool calls.
        extra: canonical bytes of other fields that reach the model, empty without any.
        call_ids: the ids of `calls`, in order.
        answers: the id of the call that a tool message answers, or `None`.
    """

    role: str
    content: str | bytes
    name: str | None = None
    calls: bytes = b""
    extra: bytes = b""
    call_ids: tuple[str, ...] = ()
    answers: str | None = None


def canonical(value: object) -> bytes:
    """One byte string per meaning: sorted keys, schemas instead of class names, no addresses.

    Pydantic classes become their JSON schema (two classes of one name stay apart), pydantic values
    their fields, sets sorted lists.

    Raises:
        Unkeyable: for what has no canonical form, such as functions and open connections.

    Example:
        >>> canonical({"b": 1, "a": [True, None]})
        b'{"a":[true,null],"b":1}'
    """
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS)
    except TypeError as error:  # orjson.JSONEncodeError is a TypeError
        raise Unkeyable(str(error)) from error


def request_key(
    *,
    model: Mapping[str, Any],
    messages: Iterable[MessageParts],
    tools: Sequence[bytes] = (),
    params: Mapping[str, Any] | None = None,
    tenant: str | None = None,
    version: str = "",
) -> str:
    """The key of one model request as 64 hexadecimal digits.

    Args:
        model: the model's class, name and behaviour parameters, read live.
        messages: system prompt and history in order.
        tools: canonical tool schemas; their order does not matter.
        params: parameters of this call (tool choice, stop, response format).
        tenant: whose answers these are; different tenants never share a key.
        version: a tag of the caller's, to be changed when prompts or indexes change.

    Raises:
        Unkeyable: if a parameter has no canonical form.
    """
    head = canonical([tenant, version, model, params or {}])
    pieces: list[bytes] = []
    position: dict[str, int] = {}
    calls = 0
    for parts in messages:
        pieces.append(b"m" + _digest(parts))
        for call_id in parts.call_ids:
            # Some providers number the calls of each turn anew: an id means its latest call.
            position[call_id] = calls
            calls += 1
        if parts.answers is not None:
            # An id that no call in the history has keeps its own text.
            where = position.get(parts.answers)
            pieces.append(b"#%d" % where if where is not None else b"=" + _bytes(parts.answers))
    return _hash((_VERSION, head, *sorted(tools), b"", *pieces)).hex()


def text_key(prompt: str, *rest: str) -> str:
    """The key of plain strings, for interfaces that hand over nothing better."""
    return _hash((_VERSION, *(_bytes(part) for part in (prompt, *rest)))).hex()


_MEMO_BYTES = 32 * 1024 * 1024
_memo: dict[MessageParts, bytes] = {}
_memo_size = 0


def _digest(parts: MessageParts) -> bytes:
    global _memo_size  # noqa: PLW0603 - one counter for one process-wide memo
    found = _memo.get(parts)
    if found is not None:
        return found
    content = parts.content
    raw = _bytes(content) if isinstance(content, str) else content
    digest = _hash(
        (
            _bytes(parts.role),
            b"t" if isinstance(content, str) else b"j",
            raw,
            b"" if parts.name is None else b"=" + _bytes(parts.name),
            parts.calls,
            parts.extra,
        )
    )
    size = len(raw) + len(parts.calls) + len(parts.extra) + 300
    if size > _MEMO_BYTES // 8:
        return digest
    if _memo_size + size > _MEMO_BYTES:
        # Starting over is simpler than an order of use, and costs one pass over live histories.
        _memo.clear()
        _memo_size = 0
    _memo_size += size
    _memo[parts] = digest
    return digest


def _bytes(text: str) -> bytes:
    # Half of an emoji, as a cut-off stream may leave it, is a text like any other here.
    return text.encode("utf-8", "surrogatepass")


def _hash(parts: Iterable[bytes]) -> bytes:
    return hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).digest()


def _plain(value: object) -> object:
    schema: Callable[[], object] | None = getattr(value, "model_json_schema", None)
    if isinstance(value, type):
        if schema is None:
            msg = f"class {value.__qualname__} has no JSON schema"
            raise TypeError(msg)
        return {"schema": schema()}
    dump: Callable[..., object] | None = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    if isinstance(value, (set, frozenset)):
        members = cast("Iterable[object]", value)
        return sorted(canonical(member).decode() for member in members)
    if isinstance(value, (bytes, bytearray)):
        return {"sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    msg = f"a value of type {type(value).__qualname__} has no canonical form"
    raise TypeError(msg)
