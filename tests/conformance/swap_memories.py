r"""A pytest plug-in: llama-index-core's own memory tests, with our memories in the place of theirs.

Nothing of theirs is kept here. In a checkout of their repository, in `llama-index-core`:

    PYTHONPATH=$PACK/tests/conformance python -m pytest -p swap_memories -o asyncio_mode=auto \
        -W ignore tests/memory/test_chat_memory_buffer.py \
        tests/memory/test_chat_summary_memory_buffer.py tests/chat_engine

Every `ChatMemoryBuffer` is a `SlidingWindowMemory`, and every `ChatSummaryMemoryBuffer` a
`SummaryTrimMemory` that waits for its summaries. Both count as theirs do, words alone and no frame
around a message: budgets in their tests are of five tokens. Two options that ours do not have are
left out. The outcome is in `benchmarks/RESULTS.md`.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

from llama_index.core.memory import ChatMemoryBuffer, ChatSummaryMemoryBuffer
from llama_index.core.utils import get_tokenizer

from agentperf_core.accounting import TokenCounter
from agentperf_core.accounting.framing import ChatFormat
from llamaindex_agentperf import SlidingWindowMemory, SummaryTrimMemory

SEEN: Counter[str] = Counter()
_NOT_OURS = ("count_initial_tokens", "summarize_prompt")


def _as_theirs(kwargs: dict[str, Any]) -> dict[str, Any]:
    tokenize = kwargs.pop("tokenizer_fn", None) or get_tokenizer()
    frame = ChatFormat(tokens_per_message=-1, reply_priming=0)  # the role has one
    counter = TokenCounter(lambda text: len(tokenize(text)), chat=frame)
    given = {name: value for name, value in kwargs.items() if name not in _NOT_OURS}
    return {"counter": counter, **given}


class Window(SlidingWindowMemory):
    """A window that is made like theirs."""

    @classmethod
    def from_defaults(cls, *args: Any, **kwargs: Any) -> Any:
        SEEN["windows"] += 1
        return super().from_defaults(*args, **_as_theirs(kwargs))


class Trim(SummaryTrimMemory):
    """A memory with summaries that is made like theirs, and waits for them as theirs does."""

    @classmethod
    def from_defaults(cls, *args: Any, **kwargs: Any) -> Any:
        SEEN["summary memories"] += 1
        return super().from_defaults(*args, **{"background": False, **_as_theirs(kwargs)})


_OURS: dict[type, type] = {ChatMemoryBuffer: Window, ChatSummaryMemoryBuffer: Trim}
for _module in [m for name, m in sys.modules.items() if name.startswith("llama_index.core")]:
    for _name, _value in [*vars(_module).items()]:
        if isinstance(_value, type) and _value in _OURS:
            setattr(_module, _name, _OURS[_value])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was swapped."""
    for what, times in sorted(SEEN.items()):
        terminalreporter.write_line(f"swap: {times} x {what}")
