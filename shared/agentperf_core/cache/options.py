"""How an adapter's arguments make a cache: which go together, and what each must be."""

from __future__ import annotations

from agentperf_core.cache.exact.cache import ExactCache
from agentperf_core.cache.policy import DEFAULT_TTL_S, CachePolicy
from agentperf_core.cache.semantic.cache import SemanticCache
from agentperf_core.cache.stores import Store
from agentperf_core.errors import ConfigError

__all__ = ["cache_from", "check_tenant"]


def cache_from(
    cache: object,
    *,
    store: Store | None,
    policy: CachePolicy | None,
    ttl_s: float | None,
    semantic: object = None,
) -> ExactCache:
    """The cache that was given, or a new one of the other arguments.

    Args:
        cache: a cache of the core's, to share.
        store: where a new one keeps answers.
        policy: what a new one takes.
        ttl_s: seconds that a new one's answers live, where `policy` does not say.
        semantic: an embedder, for a new one that serves other wordings too; see `SemanticCache`.

    Raises:
        ConfigError: if `cache` is something else or is given together with `store`, `policy` or
            `semantic`, or `ttl_s` is set beside a `cache` or `policy`, which have their own.
        MissingExtra: if `semantic` needs a package that is not installed.

    Example:
        >>> cache_from(None, store=None, policy=None, ttl_s=60.0).policy.ttl_s
        60.0
    """
    if cache is not None and (store is not None or policy is not None):
        msg = f"cache= brings its own store and policy, got {(store, policy)!r} too; drop one"
        raise ConfigError(msg)
    if cache is not None and semantic is not None:
        msg = (
            f"cache= and semantic= exclude each other, got a {type(cache).__name__} and a "
            f"{type(semantic).__name__}; drop one, or give a SemanticCache as cache="
        )
        raise ConfigError(msg)
    if cache is not None and not isinstance(cache, ExactCache):
        msg = (
            f"cache must be an agentperf_core.cache.ExactCache, got a {type(cache).__module__}."
            f"{type(cache).__name__}; give a store as store="
        )
        raise ConfigError(msg)
    if (cache is not None or policy is not None) and ttl_s != DEFAULT_TTL_S:
        msg = f"a policy has its own ttl_s, got ttl_s={ttl_s!r}; set it in CachePolicy(ttl_s=...)"
        raise ConfigError(msg)
    if cache is not None:
        return cache
    if semantic is None:
        return ExactCache(store, policy=policy if policy is not None else CachePolicy(ttl_s=ttl_s))
    if policy is None:
        policy = CachePolicy(ttl_s=ttl_s, normalise=True)
    return SemanticCache(semantic, store=store, policy=policy)


def check_tenant(tenant: object, *, asks: str, hint: str, name: str = "tenant") -> None:
    """Check that a tenant, or something like it, is a name or a function.

    Args:
        tenant: the argument; `None` passes.
        asks: what the function is, as in "a function of the request".
        hint: the way out, as the end of the sentence.
        name: of the argument.

    Raises:
        ConfigError: if it is neither.
    """
    if tenant is not None and not isinstance(tenant, str) and not callable(tenant):
        msg = f"{name} must be a name or {asks}, got {tenant!r}; {hint}"
        raise ConfigError(msg)
