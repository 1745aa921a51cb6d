"""What of a model and of the arguments of a call can change the answer.

Read live at every call: a changed temperature means other keys from then on. In the identity is
every field of a model class, except secrets, connections, callbacks, time-outs and retries.

What this cannot see: behaviour that a model class keeps in private attributes, and what a server
does behind an unchanged model name. `CachedLLM(version=...)` is the way to say that it changed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, cast
from weakref import WeakKeyDictionary

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.tools import BaseTool
from pydantic import BaseModel

from agentperf_core.cache.requests.keys import Unkeyable, canonical

__all__ = [
    "behaviour_fields",
    "call_params",
    "call_tools",
    "embedding_identity",
    "is_secret",
    "model_identity",
    "temperature_of",
    "tool_identity",
]

# Fields that never change an answer. `output_parser`, `pydantic_program_mode` and
# `query_wrapper_prompt` act before the chat methods, so that their effect is in the messages.
_IGNORED = frozenset(
    {
        "async_http_client",
        "callback_manager",
        "client",
        "http_client",
        "is_streaming",
        "max_retries",
        "output_parser",
        "pydantic_program_mode",
        "query_wrapper_prompt",
        "rate_limiter",
        "request_timeout",
        "retry_config",
        "reuse_client",
        "timeout",
        "verbose",
    }
)
# Fields of embedding models that never change a vector beyond rounding.
_NOT_IN_VECTORS = frozenset(
    {
        "cache_folder",
        "device",
        "embed_batch_size",
        "embeddings_cache",
        "num_workers",
        "parallel_process",
        "show_progress_bar",
        "target_devices",
    }
)
_SECRET_NAMES = frozenset({"api_key", "token", "password", "credentials", "secret", "auth"})
_SECRET_ENDS = (
    "_key",
    "_secret",
    "_token",
    "_password",
    "_credentials",
    "_token_provider",
    "_headers",
)
# Gateways choose the model, and OpenAI the organisation, by a header; these say only who asks.
_HEADERS = frozenset({"default_headers", "extra_headers", "headers"})
_CREDENTIALS = frozenset({"api-key", "authorization", "cookie", "proxy-authorization", "x-api-key"})
_CONNECTION_ENDS = ("_client", "_session", "_timeout")

# Arguments of one call that never change an answer.
_CALL_IGNORED = frozenset({"stream", "stream_options", "timeout", "verbose"})


def is_secret(name: str) -> bool:
    """Whether a field holds a credential, by its name."""
    return name in _SECRET_NAMES or name.endswith(_SECRET_ENDS) or name == "default_headers"


@lru_cache(maxsize=512)
def behaviour_fields(component: type[BaseModel]) -> tuple[str, ...]:
    """The declared fields of a model class that can change an answer."""
    return tuple(filter(_shapes, component.model_fields))


def _shapes(name: str) -> bool:
    if name in _HEADERS:
        return True
    return name not in _IGNORED and not is_secret(name) and not name.endswith(_CONNECTION_ENDS)


def model_identity(llm: LLM) -> dict[str, Any]:
    """Class, model name and behaviour fields of a model, wrapped models included.

    Raises:
        Unkeyable: if a field holds a function that cannot be found again by its name, or for a
            `StructuredLLM`, whose callers read the parsed object from `raw`: a stored answer has
            none. Call `as_structured_llm` on the cached model instead.
    """
    if isinstance(llm, StructuredLLM):
        msg = "a StructuredLLM answers with an object; put the cache around the model inside it"
        raise Unkeyable(msg)
    about = llm.metadata
    return {
        "class": llm.class_name(),
        # `class_name()` is inherited, so two classes may share one.
        "type": _class_path(llm),
        "model": about.model_name,
        "chat": about.is_chat_model,
        "output": about.num_output,
        "fields": _fields(llm),
    }


def embedding_identity(model: BaseEmbedding) -> dict[str, Any]:
    """Class, model name and behaviour fields of an embedding model.

    Raises:
        Unkeyable: if a field holds a function that cannot be found again by its name.
    """
    fields = {name: v for name, v in _fields(model).items() if name not in _NOT_IN_VECTORS}
    return {"type": _class_path(model), "model": model.model_name, "fields": fields}


def _class_path(component: BaseModel) -> str:
    cls = type(component)
    return f"{cls.__module__}.{cls.__qualname__}"


def _fields(component: BaseModel) -> dict[str, object]:
    values, extra = component.__dict__, component.__pydantic_extra__
    names = behaviour_fields(type(component))
    if extra:
        # A class with `extra="allow"` takes fields that it never declared.
        values, names = {**values, **extra}, (*names, *filter(_shapes, extra))
    return {name: _plain(name, values[name]) for name in names if name in values}


def _plain(name: str, value: Any) -> object:
    if isinstance(value, LLM):
        return model_identity(value)
    if isinstance(value, (FunctionType, MethodType, BuiltinFunctionType)):
        return _function_name(name, cast("Callable[..., object]", value))
    if isinstance(value, dict):
        options = cast("dict[str, Any]", value)
        if name in _HEADERS:
            return {k: v for k, v in options.items() if k.lower() not in _CREDENTIALS} or None
        return {key: option for key, option in options.items() if key != "stream_options"}
    return cast("object", value)


def _function_name(name: str, function: Callable[..., object]) -> str:
    """The importable name of a function; a lambda or a closure may do anything, so has none."""
    module, path = function.__module__, function.__qualname__
    found: object = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    if found is not function:
        msg = f"field {name!r} holds a function that has no importable name"
        raise Unkeyable(msg)
    return f"{module}:{path}"


def temperature_of(llm: LLM, kwargs: Mapping[str, Any]) -> float | None:
    """The temperature that was asked for explicitly, `None` if it is the class's own default.

    LlamaIndex model classes default to 0.1: taken literally, nothing would ever be cached.
    """
    asked = kwargs.get("temperature")
    while asked is None:
        extra: Mapping[str, Any] | None = getattr(llm, "additional_kwargs", None)
        asked = extra.get("temperature") if extra else None
        if asked is None:
            asked = _own_temperature(llm)
        inner = llm.__dict__.get("inner")
        if asked is not None or not isinstance(inner, LLM):
            break
        llm = inner
    return float(asked) if isinstance(asked, (int, float)) else None


def _own_temperature(llm: LLM) -> object:
    value = llm.__dict__.get("temperature")
    default = _default_temperature(type(llm))
    if default is _NO_FIELD or value == default:
        return None
    # LlamaIndex forces 1.0 on reasoning models, which take no other value: nobody asked for it.
    openai = sys.modules.get("llama_index.llms.openai.utils")
    reasoning = cast("Mapping[str, int]", getattr(openai, "O1_MODELS", {}))
    return None if value == 1.0 and llm.__dict__.get("model") in reasoning else value


_NO_FIELD = object()


@lru_cache(maxsize=512)
def _default_temperature(kind: type[LLM]) -> object:
    field = kind.model_fields.get("temperature")
    return _NO_FIELD if field is None else field.default


def call_params(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call that can change the answer, without its tools."""
    return {
        name: _plain(name, value)
        for name, value in kwargs.items()
        if name != "tools" and name not in _CALL_IGNORED
    }


def call_tools(kwargs: Mapping[str, Any]) -> list[bytes]:
    """The canonical schemas of the tools of a call, in the order given."""
    tools = cast("Sequence[object] | None", kwargs.get("tools"))
    return [tool_identity(tool) for tool in tools] if tools else []


# Pydantic builds a JSON schema anew at every request (100 microseconds and more for a small class).
_schemas: WeakKeyDictionary[type, bytes] = WeakKeyDictionary()


def tool_identity(tool: object) -> bytes:
    """Name, description and parameters of a tool as canonical bytes."""
    if not isinstance(tool, BaseTool):
        return canonical(tool)
    about = tool.metadata
    schema = about.fn_schema
    known = _schemas.get(schema) if schema is not None else None
    if known is None:
        parameters = cast("dict[str, Any]", about.get_parameters_dict())  # pyright: ignore[reportUnknownMemberType] - a bare dict upstream
        known = canonical(parameters)
        if schema is not None:
            _schemas[schema] = known
    return canonical([about.name, about.description]) + known
