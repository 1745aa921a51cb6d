"""What may be cached, for how long, and what an answer must be for that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agentperf_core.cache.decisions import CacheDecision, Outcome
from agentperf_core.cache.requests.keys import RequestView
from agentperf_core.errors import ConfigError, require_instance, require_positive
from agentperf_core.types import Usage

__all__ = [
    "DEFAULT_MAX_BYTES",
    "DEFAULT_TTL_S",
    "AnswerFacts",
    "CacheDecision",
    "CachePolicy",
    "Outcome",
]

DEFAULT_TTL_S = 3600.0
DEFAULT_MAX_BYTES = 1024 * 1024

# Finish reasons of an answer that is whole; everything else was cut off, filtered or refused.
_WHOLE = frozenset({"stop", "tool_calls", "function_call", "end_turn", "tool_use", "stop_sequence"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFacts:
    """What the policy needs to know of an answer.

    Attributes:
        finish_reason: as the provider said it; `None` if it says none.
        provider_reports_finish: whether this provider always says one, so that `None` means that
            the stream broke off.
        tool_calls: how many tool calls it asks for.
        invalid: whether it holds tool calls that could not be parsed.
        refused: whether the provider marked it as a refusal.
        empty: whether it holds neither text nor tool calls.
        usage: what it cost, for the savings of later hits.
        model: who made it, as the provider names it; `None` if it does not say.
        text: what it says, for comparing it with others; `None` if that is more than text.
        unfit: the adapter's own reason why it must not be given again, `None` for none.
    """

    finish_reason: str | None = None
    provider_reports_finish: bool = False
    tool_calls: int = 0
    invalid: bool = False
    refused: bool = False
    empty: bool = False
    usage: Usage | None = None
    model: str | None = None
    text: str | None = None
    unfit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """Which requests and answers a cache takes, and for how long.

    Attributes:
        ttl_s: seconds an answer may be served; `None` for no limit.
        sampled: also cache requests that ask for sampling explicitly (temperature above 0).
        tool_calls: also cache answers that ask for tools. Safe by default, because the tools still
            run on every hit, and the next turn's key holds their results.
        normalise: also serve a question whose wording differs only in form (sentence case,
            punctuation, contractions, number words, "please"), see `normalised`.
        stale_ttl_s: seconds past its time in which an answer is still served at once, while one
            call in the background makes a new one; 0 for never. Takes a caller that gives a
            `refresh` call; others make a call of their own.
        stale_if_error_s: seconds past its time in which an answer is given instead of the error of
            a call that failed; 0 for never.
        ttl_jitter: share of `ttl_s`, 0 to 1, by which the time of an entry is shortened at most, so
            that answers made together do not expire together. The same key gets the same share.
        require_tenant: cache nothing for a request without a tenant, for services with several.
        key_fn: gives a value that stands for the conversation in the key; `None` keeps the request
            from the cache. Tenant, version, model, system prompts, tools and parameters stay in the
            key. Such requests have no semantic tier.
        ignore: names of parameters (of the model or of the call) that are left out of the key.
        route: names the route of a request; `None` for this policy itself.
        routes: the policies of the routes; `None` as a policy keeps them from the cache.
        across_processes: join equal calls of other processes too, by a lease in the store.
        max_bytes: size of the largest entry that is stored, as stored.

    Raises:
        ConfigError: if a number is out of its range, or two settings contradict each other.

    Example:
        >>> policy = CachePolicy(ttl_s=600.0, stale_if_error_s=86_400, require_tenant=True)
        >>> policy.keep_s
        87000.0
    """

    ttl_s: float | None = DEFAULT_TTL_S
    sampled: bool = False
    tool_calls: bool = True
    normalise: bool = False
    stale_ttl_s: float = 0.0
    stale_if_error_s: float = 0.0
    ttl_jitter: float = 0.0
    require_tenant: bool = False
    key_fn: Callable[[RequestView], object] | None = None
    ignore: frozenset[str] = frozenset()
    route: Callable[[RequestView], str | None] | None = None
    routes: Mapping[str, CachePolicy | None] = field(
        default_factory=dict[str, "CachePolicy | None"], hash=False
    )
    across_processes: bool = False
    max_bytes: int = DEFAULT_MAX_BYTES

    def __post_init__(self) -> None:
        require_positive(ttl_s=self.ttl_s, max_bytes=self.max_bytes)
        _check_kinds(self)
        _check_shares(self)
        _check_pairs(self)
        # Copies: what people hand in could change under the policy.
        object.__setattr__(self, "ignore", frozenset(self.ignore))
        object.__setattr__(self, "routes", dict(self.routes))

    @property
    def keep_s(self) -> float | None:
        """Seconds a store keeps an entry: its time to live and the stale time after it."""
        if self.ttl_s is None:
            return None
        return self.ttl_s + max(self.stale_ttl_s, self.stale_if_error_s)

    def refuse_request(self, *, temperature: float | None) -> str | None:
        """Why the request must not be cached, or `None` if it may."""
        if temperature is not None and temperature > 0 and not self.sampled:
            return f"temperature {temperature:g} asks for variety; allow it with sampled=True"
        return None

    def refuse_answer(self, facts: AnswerFacts) -> str | None:
        """Why the answer must not be stored, or `None` if it may."""
        cut_off = (
            facts.finish_reason.lower() not in _WHOLE  # Gemini shouts "STOP"
            if facts.finish_reason is not None
            else facts.provider_reports_finish
        )
        if facts.unfit is not None:
            return facts.unfit
        reasons = (
            (facts.invalid, "its tool calls could not be parsed"),
            (facts.refused, "it is a refusal"),
            (facts.empty, "it is empty"),
            (cut_off, f"it is not whole (finish reason {facts.finish_reason!r})"),
            (bool(facts.tool_calls) and not self.tool_calls, "it asks for tools"),
        )
        return next((reason for applies, reason in reasons if applies), None)


# What says which model it is: without it, one model's answer would be another's.
_IDENTITY = frozenset({"class", "model", "model_name", "model_id"})


def _check_kinds(policy: CachePolicy) -> None:
    for name in ("sampled", "tool_calls", "normalise", "require_tenant", "across_processes"):
        value: object = getattr(policy, name)
        if not isinstance(value, bool):
            msg = f"{name} must be True or False, got {value!r}; any text would count as True"
            raise ConfigError(msg)
    for name in ("key_fn", "route"):
        function: object = getattr(policy, name)
        if function is not None and not callable(function):
            msg = f"{name} must be a function of the request, got {function!r}; give a callable"
            raise ConfigError(msg)
    for name, inner in policy.routes.items():
        hint = "None keeps the route from the cache"
        require_instance(CachePolicy, hint, **{f"routes[{name!r}]": inner})


def _check_shares(policy: CachePolicy) -> None:
    for name in ("stale_ttl_s", "stale_if_error_s"):
        seconds: object = getattr(policy, name)
        if not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
            msg = f"{name} must be seconds >= 0, got {seconds!r}; leave it out for never"
            raise ConfigError(msg)
    if not 0 <= policy.ttl_jitter < 1:
        msg = f"ttl_jitter must be a share from 0 to below 1, got {policy.ttl_jitter!r}; try 0.1"
        raise ConfigError(msg)
    if isinstance(policy.ignore, str):
        msg = f"ignore must be a set of names, got {policy.ignore!r}; write {{{policy.ignore!r}}}"
        raise ConfigError(msg)
    identity = _IDENTITY.intersection(policy.ignore)
    if identity:
        msg = f"ignore cannot hold what names the model, got {sorted(identity)!r}; drop it"
        raise ConfigError(msg)


def _check_pairs(policy: CachePolicy) -> None:
    for name in ("stale_ttl_s", "stale_if_error_s", "ttl_jitter"):
        if policy.ttl_s is None and getattr(policy, name) > 0:
            msg = (
                f"{name}={getattr(policy, name)!r} needs answers that expire, got ttl_s=None; "
                f"set ttl_s or leave {name} out"
            )
            raise ConfigError(msg)
    if (policy.route is None) != (not policy.routes):
        msg = (
            f"route names one of routes, got route={policy.route!r} and routes="
            f"{sorted(policy.routes)!r}; give both or neither"
        )
        raise ConfigError(msg)
    for name, inner in policy.routes.items():
        if inner is not None and inner.route is not None:
            msg = f"the policy of a route has no routes of its own, got some in {name!r}; drop them"
            raise ConfigError(msg)
        if inner is not None and policy.require_tenant and not inner.require_tenant:
            msg = (
                f"require_tenant=True holds for every route, got require_tenant=False in routes["
                f"{name!r}]; set it there too"
            )
            raise ConfigError(msg)
