"""Requests of the functions API: definitions count as the TypeScript that the model is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from agentperf_core.accounting import TokenCounter, count_functions_request
from agentperf_core.accounting.functions_api import functions_as_text
from agentperf_core.errors import ConfigError

COUNTER = TokenCounter.for_encoding("cl100k_base")
NESTED = {
    "name": "book",
    "description": "Book a table.",
    "parameters": {
        "type": "object",
        "required": ["when"],
        "properties": {
            "when": {"type": "string", "description": "ISO date."},
            "people": {"type": "integer", "enum": [2, 4]},
            "room": {"type": "string", "enum": ["inside", "terrace"], "description": "Which."},
            "tags": {"type": "array", "items": {"type": "string"}},
            "extras": {"type": "array"},
            "guest": {
                "type": "object",
                "description": "Who comes.",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "description": "left out: too deep"},
                    "vip": {"type": "boolean"},
                },
            },
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
    },
}
AS_TEXT = """namespace functions {

// Book a table.
type book = (_: {
// ISO date.
when: string,
people?: 2 | 4,
// Which.
room?: "inside" | "terrace",
tags?: string[],
extras?: any[],
// Who comes.
guest?: {
  name: string,
  vip?: boolean,
},
note?: string | null,
}) => any;

type now = () => any;

} // namespace functions"""


def size(*texts: str) -> int:
    return sum(map(COUNTER.count_text, texts))


def test_definitions_are_written_as_the_model_is_shown_them() -> None:
    """Descriptions of what is nested are left out, and only its first line is indented."""
    assert functions_as_text([NESTED, {"name": "now", "parameters": {}}]) == AS_TEXT


@dataclass(frozen=True)
class Case:
    """A request and what the rule says of it, in texts and in tokens beyond them."""

    id: str
    messages: list[dict[str, Any]]
    texts: list[str]
    beyond: int
    rest: dict[str, Any] = field(default_factory=dict[str, Any])


USER = {"role": "user", "content": "hello there"}
CALL = {"name": "book", "arguments": '{"when": "2024-01-02"}'}
NOW = {"name": "now", "parameters": {"type": "object", "properties": {}}}
NOW_TEXT = functions_as_text([NOW])
CASES = [
    Case("a message", [USER], ["user", "hello there"], 3 + 3),
    Case("a name", [{**USER, "name": "ana"}], ["user", "hello there", "ana"], 3 + 1 + 3),
    Case(
        "a call",
        [{"role": "assistant", "content": None, "function_call": CALL}],
        ["assistant", CALL["name"], CALL["arguments"]],
        3 + 3 + 3,
    ),
    Case(
        "an answer of a function",
        [{"role": "function", "name": "book", "content": "done"}],
        ["function", "book", "done"],
        3 + 1 - 2 + 3,
    ),
    Case(
        "functions",
        [USER],
        ["user", "hello there", NOW_TEXT],
        3 + 3 + 9,
        {"functions": [NOW]},
    ),
    Case(
        "functions and two system messages",
        [{"role": "system", "content": "Be brief."}, {"role": "system", "content": "Go."}, USER],
        ["system", "Be brief.\n", "system", "Go.", "user", "hello there", NOW_TEXT],
        9 + 3 + 9 - 4,
        {"functions": [NOW]},
    ),
    Case(
        "no call",
        [USER],
        ["user", "hello there", NOW_TEXT],
        3 + 3 + 9 + 1,
        {"functions": [NOW], "function_call": "none"},
    ),
    Case(
        "any call",
        [USER],
        ["user", "hello there", NOW_TEXT],
        3 + 3 + 9,
        {"functions": [NOW], "function_call": "auto"},
    ),
    Case(
        "a named call",
        [USER],
        ["user", "hello there", NOW_TEXT, "now"],
        3 + 3 + 9 + 4,
        {"functions": [NOW], "function_call": {"name": "now"}},
    ),
    Case(
        "parts",
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "this?"},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                ],
            }
        ],
        ["user", "this?"],
        3 + 85 + 3,
    ),
]


@pytest.mark.skipif(COUNTER.method != "tiktoken", reason="cl100k_base is not on this machine")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_request_counts_as_the_rule_says(case: Case) -> None:
    """Text, and what frames it."""
    found = count_functions_request(COUNTER, case.messages, **case.rest)
    assert found == size(*case.texts) + case.beyond


def test_a_function_without_a_name() -> None:
    """The mistake is named."""
    with pytest.raises(ConfigError, match="a function needs a name, got None"):
        count_functions_request(COUNTER, [USER], functions=[{"parameters": {}}])
