"""Rows of `bench_cache_defects.py`: the middleware of langgraph-redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from _defects import Row, count
from _defects_meaning import MiniLM
from _models import Scripted
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from agentperf_core.bench.servers import RedisServer
from agentperf_core.toolpolicy import ToolPolicy
from langchain_agentperf import ResponseCacheMiddleware, ToolCacheMiddleware

MIDDLEWARE = "langgraph-checkpoint-redis: SemanticCacheMiddleware"
TOOLS = "langgraph-checkpoint-redis: ToolResultCacheMiddleware"
KEEPS = ToolPolicy(read_only=True, ttl_s=60)
Url = Callable[[], str]


def peer_middleware(url: str, name: str) -> Any:
    from langgraph.middleware.redis import (  # pyright: ignore[reportMissingImports]
        SemanticCacheConfig,
        SemanticCacheMiddleware,
        create_langchain_vectorizer,
    )

    vectorizer: Any = create_langchain_vectorizer(MiniLM(), 384)
    config = SemanticCacheConfig(redis_url=url, name=name, vectorizer=vectorizer)
    return SemanticCacheMiddleware(config)


def peer_tool_cache(url: str, name: str) -> Any:
    from langgraph.middleware.redis import (  # pyright: ignore[reportMissingImports]
        ToolCacheConfig,
        ToolResultCacheMiddleware,
    )

    return ToolResultCacheMiddleware(ToolCacheConfig(redis_url=url, name=name))


def settle(cached: Any) -> None:
    """Let ours learn what it does behind a call; the peer does it in the call."""
    if isinstance(cached, ResponseCacheMiddleware):
        cached.cache.drain()


# LangChain agents


def asks_once(tool: str) -> Callable[[Sequence[BaseMessage]], AIMessage]:
    """The script of a model that calls the tool, then says what the tool said."""

    def reply(messages: Sequence[BaseMessage]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            return AIMessage(str(messages[-1].content))
        call: Any = {"name": tool, "args": {"name": "AAPL"}, "id": "c1"}
        return AIMessage("", tool_calls=[call])

    return reply


def sync_agent(middleware: Any) -> str:
    agent: Any = create_agent(Scripted(lambda _: AIMessage("fine")), middleware=[middleware])
    return str(agent.invoke({"messages": [("user", "hello")]})["messages"][-1].text)


def pirate_and_banker(middleware: Any) -> str:
    def agent(role: str) -> Any:
        model = Scripted(lambda _: AIMessage(f"I am a {role}."))
        return create_agent(model, system_prompt=f"You are a {role}.", middleware=[middleware])

    async def both() -> str:
        asked = {"messages": [("user", "Who are you?")]}
        said: list[Any] = []
        for role in ("pirate", "banker"):
            said.append(await agent(role).ainvoke(asked))
            await asyncio.to_thread(settle, middleware)
        return str(said[-1]["messages"][-1].text)

    return asyncio.run(both())


def price_twice(middleware: Any) -> str:
    """Two users ask for a price that changes between them; what the second is told."""
    prices = iter(["100", "200"])

    def price(name: str) -> str:
        """Say what a share costs now."""
        return next(prices)

    agent: Any = create_agent(Scripted(asks_once("price")), [price], middleware=[middleware])

    async def both() -> str:
        asked = {"messages": [("user", "What does AAPL cost now?")]}
        said: list[str] = []
        for _ in range(2):
            said.append((await agent.ainvoke(asked))["messages"][-1].text)
            await asyncio.to_thread(settle, middleware)
        return said[-1]

    return asyncio.run(both())


def tool_content(middleware: Any) -> str:
    def order(name: str) -> str:
        """State of an order."""
        return "shipped"

    agent: Any = create_agent(Scripted(asks_once("order")), [order], middleware=[middleware])

    async def both() -> str:
        asked = {"messages": [("user", "Where is it?")]}
        said = [await agent.ainvoke(asked) for _ in range(2)]
        return str(said[-1]["messages"][-1].text)[:24]

    return asyncio.run(both())


def mails(middleware: Any) -> str:
    sent: list[str] = []

    def send_email(name: str) -> str:
        """Send an e-mail."""
        sent.append(name)
        return "sent"

    agent: Any = create_agent(
        Scripted(asks_once("send_email")), [send_email], middleware=[middleware]
    )

    async def both() -> None:
        for _ in range(2):
            await agent.ainvoke({"messages": [("user", "Write to them.")]})

    asyncio.run(both())
    return count(len(sent), "mail")


def rows(server: Callable[[], RedisServer]) -> list[Row]:
    def url() -> str:
        return server().url

    return [
        _langgraph("an agent is invoked without async", "fine", sync_agent, url),
        _langgraph("a pirate's cache asked by a banker", "I am a banker.", pirate_and_banker, url),
        _langgraph("a price asked twice; it rose from 100 to 200", "200", price_twice, url),
        Row(
            "what a cached tool gives at a hit",
            "shipped",
            TOOLS,
            lambda: tool_content(peer_tool_cache(url(), "content")),
            "ToolCacheMiddleware",
            lambda: tool_content(ToolCacheMiddleware(policies={"order": KEEPS})),
            "langgraph.middleware",
        ),
        Row(
            "two runs that each send a mail, nothing declared",
            "2 mails",
            TOOLS,
            lambda: mails(peer_tool_cache(url(), "mails")),
            "ToolCacheMiddleware",
            lambda: mails(ToolCacheMiddleware()),
            "langgraph.middleware",
        ),
    ]


def _langgraph(what: str, right: str, run: Callable[[Any], str], url: Url) -> Row:
    return Row(
        what,
        right,
        MIDDLEWARE,
        lambda: run(peer_middleware(url(), run.__name__)),
        "ResponseCacheMiddleware, semantic=",
        lambda: run(ResponseCacheMiddleware(semantic=MiniLM())),
        "langgraph.middleware",
    )
