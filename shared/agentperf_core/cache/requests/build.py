"""From what an adapter read of a request to what the cache is asked: a key, or why there is none.

Nothing in here raises into a call: what cannot be keyed goes past the cache, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from agentperf_core.cache.answers import CacheRequest, Question
from agentperf_core.cache.policy import CachePolicy
from agentperf_core.cache.requests.keys import (
    Fixed,
    MessageParts,
    Parts,
    RequestView,
    Unkeyable,
    canonical,
    conversation_key,
    conversation_pieces,
    scope_digest,
)
from agentperf_core.cache.requests.normal import normalised
from agentperf_core.cache.requests.questions import question_of
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
    messages: Iterable[Parts],
    tools: Sequence[bytes] = (),
    params: Mapping[str, Any] | None = None,
    tenant: str | Callable[[], str | None] | None = None,
    version: str = "",
    index_versions: Mapping[str, str] | Sequence[str] = (),
    temperature: float | None = None,
    tags: Sequence[str] = (),
    expires_at: float | None = None,
    questions: bool = True,
    bus: EventBus = BUS,
) -> CacheRequest:
    """The request as the cache sees it; one that has no key goes past the cache and says why.

    Args:
        policy: the cache's policy; where it has routes, the one of this request's route counts.
        model: the model's class, name and behaviour parameters, read live.
        messages: system prompt and history in order, as `MessageParts` or as plain tuples of its
            fields; users speak as `"user"`.
        tools: canonical tool schemas; their order does not matter.
        params: parameters of this call (tool choice, stop, response format).
        tenant: whose answers these are, or a function that says so.
        version: a tag of the caller's, to be changed when prompts change.
        index_versions: tags of the indexes or documents that answers are built on.
        temperature: what the call asks for; `None` if it leaves that to the provider.
        tags: names by which the answer can be forgotten, such as `"order:17"`.
        expires_at: seconds since the Unix epoch: tool results in the history expire then.
        questions: whether to say what is asked in words, see `ExactCache.wants_questions`.
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
        whose = None if tenant is None else _tenant(tenant)
        asked = _Asked(model, list(messages), tools, params or {}, whose, version)
        chosen = policy if policy.route is None else _routed(policy, policy.route(asked.view()))
        if isinstance(chosen, str):
            return CacheRequest(None, chosen)
        refusal = _refused(chosen, whose) or chosen.refuse_request(temperature=temperature)
        if refusal:
            return CacheRequest(None, refusal)
        key, wording, question = _keyed(chosen, asked, index_versions, questions=questions)
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


class _Asked(NamedTuple):
    """A `RequestView` before anybody wants to see it."""

    model: Mapping[str, Any]
    messages: Sequence[Parts]
    tools: Sequence[bytes]
    params: Mapping[str, Any]
    tenant: str | None
    version: str

    def view(self) -> RequestView:
        messages = [MessageParts(*parts) for parts in self.messages]
        return RequestView(self.model, messages, *self[2:])


def _without_key(error: Exception, bus: EventBus) -> CacheRequest:
    if isinstance(error, Unkeyable):
        return CacheRequest(None, f"the request has no key: {error}")
    bus.fault("cache.key", error)
    return CacheRequest(None, f"the request has no key: {type(error).__name__}")


def _tenant(given: str | Callable[[], str | None]) -> str | None:
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
    policy: CachePolicy,
    asked: _Asked,
    index_versions: Mapping[str, str] | Sequence[str],
    *,
    questions: bool,
) -> tuple[str | None, str | None, Question | None]:
    """Key, wording and question; no key if `key_fn` wants none."""
    model, messages, tools, params, tenant, version = asked
    if policy.ignore:
        model, params = _without(model, policy.ignore), _without(params, policy.ignore)
    versions = index_versions
    if versions and not isinstance(versions, Mapping):
        versions = sorted(versions)
    # Without a None at the top: `canonical` then need not look for NaN, which is half its price.
    absent = sorted([name for name in params if params[name] is None])
    given = (
        {name: params[name] for name in params if params[name] is not None} if absent else params
    )
    whose = () if tenant is None else (tenant,)
    rest = canonical((whose, version, versions, given, absent))
    form = model.form if type(model) is Fixed else canonical(model)
    scope = scope_digest((form, rest), tools, messages)
    if policy.key_fn is not None:
        own = policy.key_fn(asked.view())
        key = None if own is None else conversation_key(scope, (canonical(own),), kind=b"own")
        return key, None, None
    pieces = conversation_pieces(messages)
    exact = conversation_key(scope, pieces)
    if not (questions or policy.normalise):
        return exact, None, None
    question = question_of(scope, messages)
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


def _name(model: Mapping[str, Any]) -> str | None:
    """The model's name, under the two names that integrations have for it."""
    name = model.get("model_name") or model.get("model")
    return name if isinstance(name, str) else None
