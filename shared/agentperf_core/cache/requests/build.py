"""From what an adapter read of a request to what the cache is asked: a key, or why there is none.

Nothing in here raises into a call: what cannot be keyed goes past the cache, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import orjson

from agentperf_core.cache.answers import CacheRequest, Question
from agentperf_core.cache.policy import CachePolicy
from agentperf_core.cache.requests.keys import (
    MessageParts,
    RequestView,
    Unkeyable,
    canonical,
    conversation_key,
    conversation_pieces,
    scope_digest,
)
from agentperf_core.cache.requests.normal import normalised
from agentperf_core.events import BUS, EventBus

__all__ = ["build_request", "request_or_bypass"]


def request_or_bypass(make: Callable[[], CacheRequest], *, bus: EventBus = BUS) -> CacheRequest:
    """What `make` gives, or a request that goes past the cache if it raises.

    For adapters, whose reading of a request can fail before `build_request` is reached.

    Args:
        make: reads the request and calls `build_request`.
        bus: is told of every error but `Unkeyable`, which is an answer.

    Example:
        >>> def unreadable() -> CacheRequest:
        ...     raise Unkeyable("the model is a list of models")
        >>> request_or_bypass(unreadable).bypass
        'the request has no key: the model is a list of models'
    """
    try:
        return make()
    except Exception as error:
        return _without_key(error, bus)


def build_request(  # noqa: PLR0913 - keyword-only settings, each with a default
    *,
    policy: CachePolicy,
    model: Mapping[str, Any],
    messages: Iterable[MessageParts],
    tools: Sequence[bytes] = (),
    params: Mapping[str, Any] | None = None,
    tenant: str | Callable[[], str | None] | None = None,
    version: str = "",
    index_versions: Mapping[str, str] | Sequence[str] = (),
    temperature: float | None = None,
    tags: Sequence[str] = (),
    expires_at: float | None = None,
    bus: EventBus = BUS,
) -> CacheRequest:
    """The request as the cache sees it; one that has no key goes past the cache and says why.

    Args:
        policy: the cache's policy; where it has routes, the one of this request's route counts.
        model: the model's class, name and behaviour parameters, read live.
        messages: system prompt and history in order; users speak as `"user"`.
        tools: canonical tool schemas; their order does not matter.
        params: parameters of this call (tool choice, stop, response format).
        tenant: whose answers these are, or a function that says so.
        version: a tag of the caller's, to be changed when prompts change.
        index_versions: tags of the indexes or documents that answers are built on.
        temperature: what the call asks for; `None` if it leaves that to the provider.
        tags: names by which the answer can be forgotten, such as `"order:17"`.
        expires_at: seconds since the Unix epoch: tool results in the history expire then.
        bus: is told of errors.

    Example:
        >>> asked = [MessageParts("system", "Be brief."), MessageParts("user", "Why is it blue?")]
        >>> request = build_request(policy=CachePolicy(), model={"model": "m"}, messages=asked)
        >>> len(request.key or ""), request.question.text
        (64, 'Why is it blue?')
        >>> strict = CachePolicy(require_tenant=True)
        >>> build_request(policy=strict, model={"model": "m"}, messages=asked).bypass
        'it has no tenant, and the policy says require_tenant=True'
    """
    try:
        view = RequestView(model, tuple(messages), tools, params, _tenant(tenant), version)
        chosen = policy if policy.route is None else _routed(policy, policy.route(view))
        if isinstance(chosen, str):
            return CacheRequest(None, chosen)
        refusal = _refused(chosen, view.tenant) or chosen.refuse_request(temperature=temperature)
        if refusal:
            return CacheRequest(None, refusal)
        key, wording, question = _keyed(chosen, view, index_versions)
    except Exception as error:
        return _without_key(error, bus)
    return CacheRequest(
        key,
        "" if key is not None else "key_fn keeps it from the cache",
        wording=wording,
        question=question,
        tags=tuple(tags),
        expires_at=expires_at,
        model=_name(model),
        policy=None if chosen is policy else chosen,
    )


def _without_key(error: Exception, bus: EventBus) -> CacheRequest:
    if isinstance(error, Unkeyable):
        return CacheRequest(None, f"the request has no key: {error}")
    bus.fault("cache.key", error)
    return CacheRequest(None, f"the request has no key: {type(error).__name__}")


def _tenant(given: str | Callable[[], str | None] | None) -> str | None:
    tenant = given() if callable(given) else given
    if tenant is not None and not isinstance(tenant, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users' functions return ids
        msg = f"a tenant is a name, got a {type(tenant).__name__}; give its str()"
        raise Unkeyable(msg)
    return tenant


def _routed(policy: CachePolicy, name: str | None) -> CachePolicy | str:
    """The policy of a route, or why there is none."""
    if name is None:
        return policy
    if name not in policy.routes:
        # A misspelt name must not fall back on rules that were made for something else.
        return f"its route {name!r} has no policy in routes"
    return policy.routes[name] or f"its route {name!r} is kept from the cache"


def _refused(policy: CachePolicy, tenant: str | None) -> str | None:
    if policy.require_tenant and (tenant is None or not tenant.strip()):
        return "it has no tenant, and the policy says require_tenant=True"
    return None


def _keyed(
    policy: CachePolicy, view: RequestView, index_versions: Mapping[str, str] | Sequence[str]
) -> tuple[str | None, str | None, Question | None]:
    """Key, wording and question; no key if `key_fn` wants none."""
    model, params = view.model, view.params or {}
    if policy.ignore:
        model, params = _without(model, policy.ignore), _without(params, policy.ignore)
    versions = index_versions if isinstance(index_versions, Mapping) else sorted(index_versions)
    # Without a None at the top: `canonical` then need not look for NaN, which is half its price.
    absent = sorted(name for name in params if params[name] is None)
    given = {name: params[name] for name in params if params[name] is not None}
    tenant = () if view.tenant is None else (view.tenant,)
    head = (tenant, view.version, versions, model, given, absent)
    scope = scope_digest(head, view.tools, view.messages)
    if policy.key_fn is not None:
        own = policy.key_fn(view)
        key = None if own is None else conversation_key(scope, (canonical(own),), kind=b"own")
        return key, None, None
    pieces = conversation_pieces(view.messages)
    exact = conversation_key(scope, pieces)
    question = _question(scope, view.messages)
    if question is None or not policy.normalise:
        return exact, None, question
    pieces[-1:] = conversation_pieces((MessageParts("user", normalised(question.text)),))
    return conversation_key(scope, pieces, kind=b"normalised"), exact, question


def _without(values: Mapping[str, Any], ignore: frozenset[str]) -> dict[str, Any]:
    """The values without the ignored names, there and one level further in (LangChain nests)."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        if name in ignore:
            continue
        if isinstance(value, dict):
            inner = cast("dict[str, Any]", value)
            value = {key: inner[key] for key in inner if key not in ignore}  # noqa: PLW2901 - the same value, less of it
        kept[name] = value
    return kept


def _question(scope: bytes, messages: Sequence[MessageParts]) -> Question | None:
    """What the user asks last; `None` if that cannot be said in words alone."""
    if not messages or messages[-1].role != "user":
        return None
    texts: list[str] = []
    for _, content, name, calls, extra, _, _ in [parts for parts in messages if parts[0] == "user"]:
        if name is not None or extra or calls:
            return None  # more than words: who says it, or what else goes with it
        text = content if isinstance(content, str) else _text_of_blocks(content)
        if text is None:
            return None
        texts.append(text)
    text = texts.pop()
    if not text.strip():
        return None
    return Question(_with_findings(scope, messages), text, earlier=texts)


def _with_findings(scope: bytes, messages: Sequence[MessageParts]) -> str:
    """The scope of a question: what tools have found in the conversation must be the same, too."""
    found = [parts for parts in messages if parts.answers is not None]
    if not found:
        return scope.hex()
    return conversation_key(scope, conversation_pieces(found), kind=b"findings")


def _text_of_blocks(content: bytes) -> str | None:
    """The text of content that is a list of text blocks and nothing else."""
    try:
        blocks = cast("list[Any]", orjson.loads(content))
        if not isinstance(blocks, list):  # pyright: ignore[reportUnnecessaryIsInstance] - any JSON
            return None
        texts = [
            block if isinstance(block, str) else block["text"]
            for block in blocks
            if isinstance(block, str) or (block["type"] == "text" and len(block) == 2)
        ]
    except (KeyError, TypeError, ValueError):
        return None
    return "\n".join(texts) if blocks and len(texts) == len(blocks) else None


def _name(model: Mapping[str, Any]) -> str | None:
    """The model's name, under the two names that integrations have for it."""
    name = model.get("model_name") or model.get("model")
    return name if isinstance(name, str) else None
