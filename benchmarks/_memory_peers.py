"""What LangChain and LlamaIndex do instead, in the same replay."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from _memory_data import COUNTER, PRIMING, Talk
from _memory_score import Make, Method, cpu_s
from langchain_core.messages import BaseMessage, trim_messages
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer, Memory

from agentperf_core.accounting.encodings import load_encoding
from agentperf_core.types import Message
from langchain_agentperf import _messages as langchain
from llamaindex_agentperf import _messages as llamaindex

_ENCODING = load_encoding("o200k_base")
if _ENCODING is None:
    raise SystemExit("the replay counts with tiktoken's o200k_base, and this machine lacks it")
encode = _ENCODING.encode_ordinary
_SAMPLED = 40  # calls between two that are timed; one takes up to a second


def _exactly(messages: Sequence[BaseMessage]) -> int:
    """Tokens as the counters of LangChain's models count them: anew, each time."""
    found = [langchain.to_core(message) for message in messages]
    if any(message.tool_calls or message.role == "tool" for message in found):
        return PRIMING + sum(map(COUNTER.count_message, found))
    return PRIMING + sum(4 + len(encode(message.text)) for message in found)


class Trimmed:
    """`trim_messages` with an exact counter."""

    def __init__(self, talk: Talk, budget: int, *, start_on: str | None = None) -> None:
        self._given = [langchain.from_core(message) for message in talk.messages]
        self._history: list[BaseMessage] = []
        options = {"start_on": start_on} if start_on else {}
        self._trim = partial(
            trim_messages,
            max_tokens=budget,
            strategy="last",
            token_counter=_exactly,
            include_system=True,
            **options,
        )

    def add(self, at: int) -> None:
        self._history.append(self._given[at])

    def prompt(self) -> Any:
        return self._trim(self._history)

    def asked(self, question: Message) -> Any:
        return self._trim([*self._history, langchain.from_core(question)])

    def shown(self, prompt: Any) -> Sequence[Message]:
        return [langchain.to_core(message) for message in prompt]

    def own_cpu_s(self) -> None:
        return None


class _Counted(ChatMemoryBuffer):
    """The same buffer with a memo of its counts: the real one takes minutes for a conversation.

    Joining texts by blanks costs up to one token each, so that it may keep some messages more; they
    were 11 at most where both were compared.
    """

    def _token_count_for_messages(self, messages: list[ChatMessage]) -> int:
        return sum(_tokens(str(message.content)) for message in messages)


@cache
def _tokens(text: str) -> int:
    return len(encode(text))


class Buffered:
    """`ChatMemoryBuffer`; every 40th call is that of the real class, and timed."""

    def __init__(self, talk: Talk, budget: int) -> None:
        self._system = talk.messages[0]
        self._given = [llamaindex.from_core(message) for message in talk.messages]
        self._beside = COUNTER.count_message(self._system)
        self._real = ChatMemoryBuffer(token_limit=budget, tokenizer_fn=encode)
        self._counted = _Counted(
            token_limit=budget, tokenizer_fn=encode, chat_store=self._real.chat_store
        )
        self._number = 0
        self._took_s = -1.0

    def add(self, at: int) -> None:
        if at:
            self._real.put(self._given[at])

    def prompt(self) -> Any:
        self._number += 1
        self._took_s = -1.0
        if self._number % _SAMPLED == 1:
            start = cpu_s()
            self._real.get(initial_token_count=self._beside)
            self._took_s = cpu_s() - start
        return self._counted.get(initial_token_count=self._beside)

    def asked(self, question: Message) -> Any:
        self._real.put(llamaindex.from_core(question))
        found = self.prompt()
        store: Any = self._real.chat_store
        store.store[self._real.chat_store_key].pop()
        return found

    def shown(self, prompt: Any) -> Sequence[Message]:
        return [self._system, *map(llamaindex.to_core, prompt)]

    def own_cpu_s(self) -> float:
        return self._took_s


class Queued:
    """`Memory` with its defaults, its messages in SQLite in memory."""

    def __init__(self, talk: Talk, budget: int) -> None:
        self._system = talk.messages[0]
        self._given = [llamaindex.from_core(message) for message in talk.messages]
        self._loop = asyncio.new_event_loop()
        beside = COUNTER.count_message(self._system)
        self._memory = Memory.from_defaults(
            session_id=talk.name, token_limit=budget - beside, tokenizer_fn=encode
        )

    def __del__(self) -> None:
        engine: Any = getattr(self._memory.sql_store, "_async_engine", None)
        if engine is not None:
            self._loop.run_until_complete(engine.dispose())
        self._loop.close()

    def add(self, at: int) -> None:
        if at:
            self._loop.run_until_complete(self._memory.aput(self._given[at]))

    def prompt(self) -> Any:
        return self._loop.run_until_complete(self._memory.aget())

    def asked(self, question: Message) -> Any:
        # Not put: it could not be taken out again, and would change what the next one finds.
        return [*self.prompt(), llamaindex.from_core(question)]

    def shown(self, prompt: Any) -> Sequence[Message]:
        return [self._system, *map(llamaindex.to_core, prompt)]

    def own_cpu_s(self) -> None:
        return None


METHODS: dict[str, Make] = {
    "LangChain trim_messages": partial(Trimmed, start_on="human"),
    "LlamaIndex ChatMemoryBuffer": Buffered,
    "LlamaIndex Memory": Queued,
}
TAU_METHODS: dict[str, Make] = {
    "LangChain trim_messages": Trimmed,
    "LangChain trim_messages, start_on": partial(Trimmed, start_on="human"),
    "LlamaIndex ChatMemoryBuffer": Buffered,
    "LlamaIndex Memory": Queued,
}
_: tuple[type[Method], ...] = (Trimmed, Buffered, Queued)
