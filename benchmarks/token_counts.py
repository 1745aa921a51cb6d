"""Claim: prompts are counted as OpenAI's API counts them, functions and calls included.

    python benchmarks/token_counts.py --data CASES.json [--json OUT]

`CASES.json` is a list of `{"messages", "functions"?, "function_call"?, "tokens"}`: requests and the
input tokens that the API reported for them. "worst" is the largest difference, in tokens. A public
set of 36 is the array `TEST_CASES` in `tests/token-counts.test.ts` of hmarr/openai-chat-tokens on
GitHub (MIT licence), written out as JSON. Peers are told of functions where they can be.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from _common import table
from langchain_core.messages.utils import convert_to_messages, count_tokens_approximately
from langchain_openai import ChatOpenAI
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.utilities.token_counting import TokenCounter as LlamaIndexCounter
from pydantic import SecretStr

from agentperf_core.accounting import TokenCounter, count_functions_request


def differences(cases: Sequence[Mapping[str, Any]], counter: TokenCounter) -> list[int]:
    """How much too many tokens each case is counted for."""
    return [
        count_functions_request(
            counter,
            case["messages"],
            functions=case.get("functions"),
            function_call=case.get("function_call"),
        )
        - case["tokens"]
        for case in cases
    ]


def approximate(case: Mapping[str, Any]) -> int:
    """The same by LangChain's counter, with the functions as tools."""
    found = count_tokens_approximately(_messages(case), tools=_tools(case) or None)
    return found - case["tokens"]


def by_chat_openai(model: ChatOpenAI, case: Mapping[str, Any]) -> int:
    """By LangChain's model class, which warns that it does not count tools."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = model.get_num_tokens_from_messages(_messages(case), tools=_tools(case) or None)
    return found - case["tokens"]


def by_llama_index(counter: LlamaIndexCounter, case: Mapping[str, Any]) -> int:
    """By LlamaIndex's counter of messages and tools, with its own default tokenizer."""
    messages = [
        ChatMessage(
            role=MessageRole(one["role"]),
            content=one.get("content"),
            additional_kwargs={k: v for k, v in one.items() if k not in {"role", "content"}},
        )
        for one in case["messages"]
    ]
    found = counter.estimate_tokens_in_messages(messages)
    return found + counter.estimate_tokens_in_tools(_tools(case)) - case["tokens"]


def _messages(case: Mapping[str, Any]) -> list[Any]:
    return convert_to_messages(
        {**message, "content": message.get("content") or "", "role": _role(message)}
        for message in case["messages"]
    )


def _role(message: Mapping[str, Any]) -> str:
    return "user" if message["role"] == "function" else message["role"]


def _tools(case: Mapping[str, Any]) -> list[Any]:
    return [{"type": "function", "function": one} for one in case.get("functions") or ()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="requests with their counts")
    parser.add_argument("--encoding", default="cl100k_base", help="that of the model asked")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    given = parser.parse_args()
    cases: list[dict[str, Any]] = json.loads(given.data.read_text(encoding="utf-8"))
    counter = TokenCounter.for_encoding(given.encoding)
    ours = differences(cases, counter)
    # Peers read tiktoken's files from its cache, where LlamaIndex puts the ones that it ships.
    tokens = LlamaIndexCounter()
    model = ChatOpenAI(model="gpt-3.5-turbo", api_key=SecretStr("none"))
    rows = {
        "ours": ours,
        "LangChain count_tokens_approximately": [*map(approximate, cases)],
        "LangChain ChatOpenAI": [by_chat_openai(model, case) for case in cases],
        "LlamaIndex TokenCounter": [by_llama_index(tokens, case) for case in cases],
    }
    lines = [
        [name, f"{sum(one == 0 for one in found)} of {len(cases)}", f"{max(map(abs, found))}"]
        for name, found in rows.items()
    ]
    print(table([f"counter ({counter.method})", "exact", "worst, in tokens"], lines))
    for number, off in enumerate(ours):
        if off:
            print(f"case {number}: {off:+d} of {cases[number]['tokens']}")
    if given.json is not None:
        exact = sum(one == 0 for one in ours)
        found = {"exact": exact, "cases": len(cases), "worst": max(map(abs, ours), default=0)}
        given.json.write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
