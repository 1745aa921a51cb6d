"""The two interfaces of a model: chats and completions."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Generic, NamedTuple, TypeVar

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse

from agentperf_core.cache import AnswerCodec
from llamaindex_agentperf.llms._codec import CHAT, COMPLETION, Said
from llamaindex_agentperf.llms._replay import chat_pieces, completion_pieces
from llamaindex_agentperf.llms._streams import empty_chat, empty_completion

__all__ = ["CHATS", "COMPLETIONS", "Endpoint"]

A = TypeVar("A", ChatResponse, CompletionResponse)


class Endpoint(NamedTuple, Generic[A]):
    """One of the two interfaces of a model: chats or completions."""

    method: str
    codec: AnswerCodec[Said[A]]
    replay: Callable[[A, Sequence[int]], Generator[A]]
    empty: Callable[[], A]


CHATS: Endpoint[ChatResponse] = Endpoint("chat", CHAT, chat_pieces, empty_chat)
COMPLETIONS: Endpoint[CompletionResponse] = Endpoint(
    "complete", COMPLETION, completion_pieces, empty_completion
)
