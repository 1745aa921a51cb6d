"""What the parts of `bench_cache_defects.py` share: a row, and a model that counts its calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field, PrivateAttr

from agentperf_core.bench.servers import ServerUnavailable

ABSENT = "not installed"
Outcome = Callable[[], str]
Reply = Callable[[int, list[BaseMessage]], str]


@dataclass(frozen=True)
class Row:
    """One defect: what is right, and what the peer and ours do.

    Attributes:
        what: the scenario.
        right: the outcome that a user would call right.
        peer: whose class is asked, as `package: Class`.
        theirs: runs the scenario with the peer's class.
        ours: our class in the same place.
        own: runs the scenario with ours.
        module: what has to be installed for the peer to run.
    """

    what: str
    right: str
    peer: str
    theirs: Outcome
    ours: str
    own: Outcome
    module: str = "langchain_core"

    def cells(self) -> list[str]:
        """The row of the table; what is not right is bold."""
        theirs = outcome(self.theirs) if find_spec(self.module) is not None else ABSENT
        return [
            self.what,
            self.right,
            self.peer,
            self._shown(theirs),
            self.ours,
            self._shown(outcome(self.own)),
        ]

    def _shown(self, got: str) -> str:
        return got if got in {self.right, ABSENT} or got.startswith("no server") else f"**{got}**"


def outcome(run: Outcome) -> str:
    """What happened, an exception included."""
    try:
        return run()
    except ServerUnavailable as error:
        return f"no server: {error}"
    except Exception as error:
        return f"raises {type(error).__name__}"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def numbered(number: int, messages: list[BaseMessage]) -> str:
    return f"answer {number}"


class Chat(BaseChatModel):
    """Says something else at every call, so that a served answer shows.

    Attributes:
        reply: the script.
        hold_s: how long a call takes.
    """

    model: str = "small"
    timeout: float | None = None
    reply: Reply = Field(default=numbered, exclude=True)
    hold_s: float = Field(default=0.0, exclude=True)
    _made: int = PrivateAttr(default=0)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    @property
    def _llm_type(self) -> str:
        return "counted"

    @property
    def made(self) -> int:
        """How many calls came through."""
        return self._made

    @property
    def calls(self) -> str:
        return count(self._made, "call")

    def _say(self, messages: list[BaseMessage]) -> AIMessage:
        self._made += 1
        usage: Any = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        return AIMessage(
            self.reply(self._made, messages),
            usage_metadata=usage,
            response_metadata={"model_name": self.model, "finish_reason": "stop"},
        )

    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        return self.bind(tools=[*tools], **kwargs)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> Any:
        said = self._say(messages)
        time.sleep(self.hold_s)
        return ChatResult(generations=[ChatGeneration(message=said)])

    async def _agenerate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any
    ) -> Any:
        said = self._say(messages)
        await asyncio.sleep(self.hold_s)
        return ChatResult(generations=[ChatGeneration(message=said)])

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any
    ) -> Iterator[ChatGenerationChunk]:
        said = self._say(messages)
        yield ChatGenerationChunk(message=AIMessageChunk(content=said.content))
        metadata = said.response_metadata
        last = AIMessageChunk(content="", response_metadata=metadata, chunk_position="last")
        yield ChatGenerationChunk(message=last)
