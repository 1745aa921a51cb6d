"""Which model answers, and how it was told to: read live, never from a cached string.

LangChain's own key is a cached property, so it keeps serving answers of the old temperature after
`model.temperature = 0.9` or `model.model_copy(update=...)`. Reading some sixty fields anew costs a
few microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any, cast
from weakref import WeakKeyDictionary

from langchain_core.language_models import BaseLanguageModel
from langchain_core.runnables import Runnable, RunnableBinding
from pydantic import BaseModel, SecretBytes, SecretStr

from agentperf_core.cache.requests.keys import Fixed, Unkeyable
from langchain_agentperf._memo import ObjectMemo

__all__ = ["IGNORED_FIELDS", "behaviour", "model_identity", "temperature_of"]

IGNORED_FIELDS = frozenset(
    {
        "async_client",
        "cache",
        "callback_manager",
        "callbacks",
        "client",
        "custom_get_token_ids",
        "default_request_timeout",
        "disable_streaming",
        "http_async_client",
        "http_client",
        "http_socket_options",
        "include_response_headers",
        "max_retries",
        "metadata",
        "name",
        "openai_proxy",
        "profile",
        "prompt_cache_options",
        "rate_limiter",
        "request_timeout",
        "root_async_client",
        "root_client",
        "service_tier",
        "stream_chunk_timeout",
        "stream_usage",
        "streaming",
        "tags",
        "tiktoken_model_name",
        "timeout",
        "verbose",
    }
)
"""Names of fields and call parameters that cannot change what a model says.

Also left out: fields declared with `exclude=True` (LangChain marks clients so; a class of your own
can mark a counter so), secrets, and every name that ends in `api_key` or `token_provider`.
"""

_SECRET_ENDINGS = ("api_key", "token_provider")

_relevant: WeakKeyDictionary[type[BaseModel], tuple[str, ...]] = WeakKeyDictionary()


def model_identity(model: Runnable[Any, Any]) -> dict[str, Any]:
    """A model's class and everything that shapes its answers, as plain data not to be changed.

    Parameters bound with `bind` are merged in. Base URL and organization count, the API key does
    not: give each tenant its own `tenant` instead.

    Raises:
        Unkeyable: for a runnable that is no model, whose behaviour cannot be told from its fields.
    """
    bound: dict[str, Any] = {}
    while isinstance(model, RunnableBinding):
        bound = {**model.kwargs, **bound}
        model = model.bound
    if not isinstance(model, BaseLanguageModel):
        msg = f"a {type(model).__qualname__} is no single model, so its answers have no key"
        raise Unkeyable(msg)
    identity = _identity(model)
    return {**identity, "bound": behaviour(bound)} if bound else identity


_known = ObjectMemo[Fixed]()


def _identity(model: BaseLanguageModel[Any]) -> dict[str, Any]:
    kind = cast("type[BaseModel]", type(model))
    fields = cast("dict[str, Any]", model.__dict__)
    values = [fields.get(name) for name in _fields(kind)]
    # Where the SDK itself took its address from the environment, no field of the model knows it.
    url = getattr(fields.get("root_client"), "base_url", None)
    extra = model.__pydantic_extra__
    # Building it anew takes 12 us with its canonical form, comparing what it is made of takes 2.
    known = None if extra else _known.known(model, (values, url))
    if known is not None:
        return known
    identity = {
        name: _plain(value)
        for name, value in zip(_fields(kind), values, strict=True)
        if value is not None and not isinstance(value, _SECRETS)
    }
    if extra:  # a class with `extra="allow"` takes fields it never declared
        identity |= behaviour(extra)
    identity["class"] = f"{kind.__module__}.{kind.__qualname__}"
    if url is not None:
        identity["url"] = str(url)
    if extra or not all(map(_is_data, values)):
        return identity
    fixed = Fixed(identity)
    _known.keep(model, (deepcopy(values), url), fixed)
    return fixed


def _is_data(value: object) -> bool:
    """Whether a copy of a value says later whether the value has changed."""
    if isinstance(value, list | tuple):
        return all(map(_is_data, cast("Iterable[object]", value)))
    if isinstance(value, dict):
        return all(map(_is_data, cast("dict[object, object]", value).values()))
    return value is None or isinstance(value, (str, int, float, *_SECRETS))


def behaviour(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a call without those that cannot change the answer."""
    return {name: _plain(value) for name, value in params.items() if _shapes(name, value)}


def temperature_of(model: Runnable[Any, Any], params: Mapping[str, Any]) -> float | None:
    """The temperature that a call asks for; `None` if it leaves that to the provider."""
    layers: list[Mapping[str, Any]] = [params]
    while isinstance(model, RunnableBinding):
        layers.append(model.kwargs)
        model = model.bound
    found = next((layer["temperature"] for layer in layers if "temperature" in layer), None)
    if found is None:
        found = _field(model, "temperature")
    return float(found) if isinstance(found, int | float) else None


def _field(model: Runnable[Any, Any], name: str) -> Any:
    """A field of a model. For one that is not there, pydantic takes as long as a whole key."""
    values = cast("dict[str, Any]", model.__dict__)
    if name in values:
        return values[name]
    if _declares(type(model), name):
        return getattr(model, name, None)
    inner = values.get("inner")
    return _field(cast("Any", inner), name) if isinstance(inner, BaseLanguageModel) else None


@lru_cache(maxsize=512)
def _declares(kind: type, name: str) -> bool:
    return hasattr(kind, name)


_SECRETS = (SecretStr, SecretBytes)


def _fields(kind: type[BaseModel]) -> tuple[str, ...]:
    names = _relevant.get(kind)
    if names is None:
        names = tuple(
            sorted(
                name
                for name, field in kind.model_fields.items()
                if not field.exclude and _shapes(name, None)
            )
        )
        _relevant[kind] = names
    return names


def _shapes(name: str, value: object) -> bool:
    return (
        name not in IGNORED_FIELDS
        and not name.endswith(_SECRET_ENDINGS)
        and not isinstance(value, _SECRETS)
    )


def _plain(value: Any) -> Any:
    """Models inside a model become identities; an iterator gives other answers every time."""
    if isinstance(value, Runnable):
        return model_identity(cast("Runnable[Any, Any]", value))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, Iterator):
        kind = type(cast("object", value)).__qualname__
        msg = f"a model that reads a {kind} answers differently every time"
        raise Unkeyable(msg)
    return value
