"""How marks of tool results reach the model calls that are built on them.

LlamaIndex makes the message of a tool from the blocks of its output alone, so the mark travels on a
block. What rewrites the text into another message, as a ReAct agent does, loses it: so all calls of
one run also inherit what the tools of that run said.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ContentBlock, MessageRole, TextBlock

# The tags of a run have no public reader.
from llama_index.core.instrumentation.dispatcher import active_instrument_tags  # pyright: ignore[reportPrivateImportUsage] - see above
from pydantic import PrivateAttr

from agentperf_core.cache.toolresults.cache import inherited

__all__ = ["MarkedText", "inherited_by", "marked_blocks", "remember_in_run", "run_id"]

_MOST_RUNS = 1024
# A member by its name takes 0.1 us (Python 3.11), and a history has hundreds of messages.
_TOOL, _FUNCTION = MessageRole.TOOL, MessageRole.FUNCTION


class MarkedText(TextBlock):
    """A text of a tool that says until when it is good; saved and sent like any other text."""

    _agentperf: Mapping[str, Any] | None = PrivateAttr(default=None)

    @property
    def mark(self) -> Mapping[str, Any] | None:
        """The mark, as `agentperf_core.cache.toolresults.inherited` reads it."""
        return self._agentperf


def marked_blocks(blocks: Sequence[ContentBlock], mark: Mapping[str, Any]) -> list[ContentBlock]:
    """The blocks with the mark on the first text; without a text, as they are."""
    found = list(blocks)
    for place, block in enumerate(found):
        if isinstance(block, TextBlock):
            text = MarkedText(text=block.text)
            text._agentperf = mark  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - our own
            found[place] = text
            break
    return found


def run_id() -> str | None:
    """The id of the workflow run that this code is part of."""
    found = active_instrument_tags.get().get("llamaindex.run_id")
    return found if isinstance(found, str) else None


_runs: OrderedDict[str, tuple[float | None, tuple[str, ...]]] = OrderedDict()
_lock = threading.Lock()


def remember_in_run(mark: Mapping[str, Any]) -> None:
    """From here on, model calls of the current run are built on this result."""
    run = run_id()
    if run is None:
        return
    with _lock:
        before = _runs.pop(run, (None, ()))
        _runs[run] = inherited([{"expires_at": before[0], "tags": before[1]}, mark])
        while len(_runs) > _MOST_RUNS:
            _runs.popitem(last=False)


def inherited_by(messages: Iterable[ChatMessage]) -> tuple[float | None, tuple[str, ...]]:
    """When an answer to a conversation expires, and by which tags it is forgotten."""
    marks: list[object] = []
    for message in messages:
        role = message.role
        if role is _TOOL or role is _FUNCTION:
            marks += [b.mark for b in message.blocks if type(b) is MarkedText]
            said = message.additional_kwargs.get("agentperf")
            if said is not None:
                marks.append(said)
    if _runs:
        run = run_id()
        until, tags = _runs.get(run, (None, ())) if run is not None else (None, ())
        marks.append({"expires_at": until, "tags": tags})
    return inherited(marks) if marks else (None, ())
