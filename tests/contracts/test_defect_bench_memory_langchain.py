"""How LangChain's own windows break a conversation: each trap shown, and its absence in ours.

A test that pins an upstream defect fails when upstream repairs it: then the note in our code goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ClearToolUsesEdit, ContextEditingMiddleware
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_openai_messages,
    trim_messages,
)
from langchain_core.messages.utils import count_tokens_approximately
from pydantic import PrivateAttr

from agentperf_core.accounting import TokenCounter
from agentperf_core.context import ContextOverflow
from agentperf_core.testing import chat_objections
from langchain_agentperf import SlidingWindowMiddleware, fit_messages
from langchain_agentperf._messages import to_core

COUNTER = TokenCounter.for_encoding("o200k_base")
SYSTEM = SystemMessage("You are a helpful desk.")


def cost(messages: Sequence[BaseMessage]) -> int:
    return sum(COUNTER.count_message(to_core(message)) for message in messages)


def faults(messages: Sequence[BaseMessage]) -> list[str]:
    return chat_objections(convert_to_openai_messages([*messages]))  # pyright: ignore[reportArgumentType] - a list for a list


def stock(messages: Sequence[BaseMessage], limit: int, **options: Any) -> list[BaseMessage]:
    merged: dict[str, Any] = {"token_counter": cost, "include_system": True, **options}
    return trim_messages([*messages], max_tokens=limit, **merged)


def ours(messages: Sequence[BaseMessage], limit: int) -> list[BaseMessage]:
    return fit_messages([*messages], max_tokens=limit, token_counter=COUNTER)


def working(steps: int, size: int = 40) -> list[BaseMessage]:
    """One question, and a task of so many tool calls for it."""
    found: list[BaseMessage] = [HumanMessage("Look everywhere, please.")]
    for step in range(steps):
        calls = [{"name": "look", "args": {"at": step}, "id": f"c{step}"}]
        found.append(AIMessage("", tool_calls=calls))
        found.append(ToolMessage("quiet " * size, tool_call_id=f"c{step}"))
    return found


def talk(turns: int, size: int = 20) -> list[BaseMessage]:
    found: list[BaseMessage] = []
    for turn in range(turns):
        found += [HumanMessage(f"question {turn} " * size), AIMessage(f"answer {turn} " * size)]
    return found


def test_a_huge_last_question_is_cut_and_not_lost():
    history = [SYSTEM, *talk(3), HumanMessage("word " * 5000)]
    assert stock(history, 1000, start_on="human") == [SYSTEM]
    shown = ours(history, 1000)
    assert isinstance(shown[-1], HumanMessage)
    assert "characters left out" in shown[-1].text
    assert cost(shown) <= 1000


def test_a_text_without_new_lines_is_cut_and_not_dropped():
    history = [SYSTEM, HumanMessage("word " * 5000)]
    assert stock(history, 1000, allow_partial=True) == [SYSTEM]
    assert len(ours(history, 1000)) == 2


def test_a_long_task_keeps_its_question():
    history = [SYSTEM, *working(30)]
    assert stock(history, 1000, start_on="human") == [SYSTEM]
    assert "Look everywhere, please." not in [m.text for m in stock(history, 1000)]
    shown = ours(history, 1000)
    assert shown[1].text == "Look everywhere, please."
    assert faults(shown) == []
    assert cost(shown) <= 1000


def test_no_tool_result_stands_without_its_call():
    """LangChain #33245: the defaults cut between a call and its result."""
    history = [SYSTEM, *talk(2), *working(6)]
    broken = [
        limit
        for limit in range(300, 500, 10)
        if "without a call" in str(faults(stock(history, limit)))
    ]
    assert broken
    for limit in range(300, 500, 10):
        assert faults(ours(history, limit)) == []


def test_a_system_prompt_over_the_limit_is_an_error_and_not_a_prompt_over_the_limit():
    history = [SystemMessage("rule " * 2000), HumanMessage("hi")]
    alone = stock(history, 1000)
    assert len(alone) == 1
    assert cost(alone) > 1000
    with pytest.raises(ContextOverflow, match="pin less"):
        ours(history, 1000)


def test_chinese_is_counted_and_not_guessed_at_a_quarter():
    """`token_counter="approximate"` takes four signs for a token, whatever the script."""
    history = [SYSTEM, *[HumanMessage("我们明天早上去海边看日出然后吃早饭" * 6) for _ in range(40)]]
    assert cost(stock(history, 1000, token_counter=count_tokens_approximately)) > 1500
    assert cost(ours(history, 1000)) <= 1000


def broken_prefixes(show: Callable[[list[BaseMessage]], list[BaseMessage]]) -> float:
    """The share of turns whose prompt does not begin with the one before."""
    history = [SYSTEM, *talk(60)]
    prompts = [show(history[:upto]) for upto in range(2, len(history), 2)]
    late = [*pairwise(prompts)][20:]
    return sum(new[: len(old)] != old for old, new in late) / len(late)


def test_the_window_stays_where_it_is():
    """A window that moves with every turn has the whole prompt read anew every time."""
    assert broken_prefixes(lambda history: stock(history, 2000)) == 1.0
    follow: Any = fit_messages(max_tokens=2000, token_counter=COUNTER)
    assert broken_prefixes(follow.invoke) <= 0.2


class Recording(GenericFakeChatModel):
    """Keeps what it is sent."""

    _seen: list[list[BaseMessage]] = PrivateAttr(default_factory=list)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        self._seen.append(messages)
        return super()._generate(messages, *args, **kwargs)


def shown(middleware: Any, history: Sequence[BaseMessage]) -> list[BaseMessage]:
    model = Recording(messages=iter([AIMessage("done")]))
    create_agent(model, middleware=[middleware]).invoke({"messages": [*history]})  # pyright: ignore[reportArgumentType] - its own type is stricter than it is
    return model._seen[0]


def test_clearing_tool_results_is_not_enough_to_fit():
    history = [*working(30, size=10), *talk(10), HumanMessage("So?")]
    edit = ClearToolUsesEdit(trigger=500, keep=1)
    assert cost(shown(ContextEditingMiddleware(edits=[edit]), history)) > 1000
    window = SlidingWindowMiddleware(max_tokens=500, counter=COUNTER)
    found = shown(window, history)
    assert cost(found) <= 500
    assert faults(found) == []


def test_tool_results_are_cleared_in_steps_and_not_at_every_call():
    """LangChain #37815: what is cleared moves on by one result with every call."""
    long = working(40, size=60)
    edit = ClearToolUsesEdit(trigger=500, keep=3)
    theirs = ContextEditingMiddleware(edits=[edit])
    window = SlidingWindowMiddleware(max_tokens=2000, counter=COUNTER)

    def broken(middleware: Any) -> int:
        prompts = [
            [m.text for m in shown(middleware, long[:upto])] for upto in range(41, len(long), 2)
        ]
        return sum(new[: len(old)] != old for old, new in pairwise(prompts))

    assert broken(theirs) == 19
    assert broken(window) <= 4
