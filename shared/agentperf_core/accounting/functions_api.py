"""What a request of OpenAI's functions API costs: definitions are shown to the model as TypeScript.

The rule is that of the package openai-chat-tokens (MIT), which was found by comparing with the API
for the models of cl100k_base. Beside the frame of `framing`: definitions cost their text as a
namespace and 9, or 5 where a system message is there already, which then gets a line break more; a
call costs its name, its arguments and 3; a function's answer costs 2 less than another message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from agentperf_core.accounting.framing import compact_json
from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.errors import ConfigError

__all__ = ["count_functions_request", "functions_as_text"]

_DESCRIBED = 2  # blanks of indentation from which on descriptions are left out
_PER_NAMESPACE, _SYSTEM_SHARED = 9, 4
_PER_CALL = 3
_NO_CALL, _NAMED_CALL = 1, 4


def count_functions_request(
    counter: TokenCounter,
    messages: Sequence[Mapping[str, Any]],
    *,
    functions: Sequence[Mapping[str, Any]] | None = None,
    function_call: str | Mapping[str, Any] | None = None,
) -> int:
    """Input tokens of a request as it is sent, with `functions` in place of `tools`.

    Args:
        counter: counts text; one for cl100k_base, to be exact.
        messages: as OpenAI takes them; parts that are not text cost what the counter's frame says.
        functions: definitions, as OpenAI takes them.
        function_call: `"none"`, `"auto"` or `{"name": ...}`.

    Raises:
        ConfigError: if a function has no name.

    Example:
        >>> counter = TokenCounter(lambda text: len(text.split()))
        >>> hello = [{"role": "user", "content": "hello"}]
        >>> count_functions_request(counter, hello)
        8
        >>> count_functions_request(counter, hello, functions=[{"name": "now"}])
        30
    """
    total = counter.chat.reply_priming
    padded = not functions
    for message in messages:
        total += _message(message, counter, pad=not padded and message.get("role") == "system")
        padded = padded or message.get("role") == "system"
    if functions:
        total += counter.count_text(functions_as_text(functions)) + _PER_NAMESPACE
        if any(message.get("role") == "system" for message in messages):
            total -= _SYSTEM_SHARED
    if isinstance(function_call, Mapping):
        return total + counter.count_text(str(function_call.get("name", ""))) + _NAMED_CALL
    return total + (_NO_CALL if function_call == "none" else 0)


def functions_as_text(functions: Sequence[Mapping[str, Any]]) -> str:
    """Definitions as the model is shown them.

    Raises:
        ConfigError: if a function has no name.

    Example:
        >>> city = {"type": "string", "description": "Where."}
        >>> weather = {"name": "weather", "parameters": {"properties": {"city": city}}}
        >>> print(functions_as_text([weather]))
        namespace functions {
        <BLANKLINE>
        type weather = (_: {
        // Where.
        city?: string,
        }) => any;
        <BLANKLINE>
        } // namespace functions
    """
    return "\n".join(["namespace functions {", "", *_definitions(functions)])


def _definitions(functions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for function in functions:
        name = function.get("name")
        if not isinstance(name, str) or not name:
            msg = f"a function needs a name, got {name!r}; pass {{'name': ..., 'parameters': ...}}"
            raise ConfigError(msg)
        if function.get("description"):
            yield f"// {function['description']}"
        parameters = cast("Mapping[str, Any]", function.get("parameters") or {})
        if parameters.get("properties"):
            yield f"type {name} = (_: {{"
            yield _properties(parameters, 0)
            yield "}) => any;"
        else:
            yield f"type {name} = () => any;"
        yield ""
    yield "} // namespace functions"


def _properties(schema: Mapping[str, Any], indent: int) -> str:
    lines: list[str] = []
    required = cast("Sequence[str]", schema.get("required") or ())
    properties = cast("Mapping[str, Mapping[str, Any]]", schema.get("properties") or {})
    for name, prop in properties.items():
        if prop.get("description") and indent < _DESCRIBED:
            lines.append(f"// {prop['description']}")
        lines.append(f"{name}{'' if name in required else '?'}: {_type(prop, indent)},")
    # The first line of what is nested only: so the API counts it.
    return "\n".join(" " * indent + line for line in lines)


def _type(prop: Mapping[str, Any], indent: int) -> str:
    for key in ("anyOf", "oneOf"):
        if isinstance(prop.get(key), list):
            return " | ".join(_type(one, indent) for one in prop[key])
    kind = prop.get("type")
    if prop.get("enum") and kind in {None, "integer", "number", "string"}:
        quote = "" if kind in {"integer", "number"} else '"'
        return " | ".join(f"{quote}{one}{quote}" for one in prop["enum"])
    if kind == "array":
        items = prop.get("items")
        return f"{_type(items, indent)}[]" if items else "any[]"
    if kind == "object":
        return "\n".join(["{", _properties(prop, indent + _DESCRIBED), "}"])
    if isinstance(kind, list):
        return " | ".join(_type({**prop, "type": one}, indent) for one in cast("list[Any]", kind))
    return {"integer": "number", None: "any"}.get(kind, str(kind))


def _message(message: Mapping[str, Any], counter: TokenCounter, *, pad: bool) -> int:
    content, chat, role = message.get("content"), counter.chat, str(message.get("role", ""))
    parts = cast("list[Any]", content) if isinstance(content, list) else [content or ""]
    texts = [part if isinstance(part, str) else part.get("text") for part in parts]
    said = "".join(text for text in texts if isinstance(text, str)) + ("\n" if pad else "")
    total = chat.tokens_per_message + counter.count_text(role) + counter.count_text(said)
    total += chat.tokens_per_block * sum(text is None for text in texts)
    if message.get("name"):
        total += chat.tokens_per_name + counter.count_text(str(message["name"]))
    if role == "function":
        total -= 2
    called = [message.get("function_call"), *(message.get("tool_calls") or ())]
    for call in filter(None, called):
        made = call.get("function", call)
        arguments = made.get("arguments") or ""
        text = arguments if isinstance(arguments, str) else compact_json(arguments)
        total += _PER_CALL + counter.count_text(str(made.get("name", "")))
        total += counter.count_text(text)
    return total
