"""Claim: a hit of the exact cache costs at least 5 times less CPU than a hit of LangChain's
`InMemoryCache` at a history of 100 messages, and the key of a conversation that grew by one message
costs the new message, not the history.

Both LangChain arms run inside the model node of the same agent, alternately: `InMemoryCache` on the
model, and `ResponseCacheMiddleware`. `CachedLLM` is measured on the same texts. CPU time of the
process; keys are measured through the middleware's own path.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from _common import Paired, cpu, paired, table, us
from _models import Scripted, fine, in_model_node
from langchain.agents.middleware import ModelRequest
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.mock import MockLLM

from agentperf_core.cache.requests import keys
from langchain_agentperf import ResponseCacheMiddleware
from langchain_agentperf.middleware._requests import agent_request
from llamaindex_agentperf import CachedLLM

TEXT = "The customer asks about an order, its parcel and a refund. " * 6


def history(count: int, first: int = 0) -> list[BaseMessage]:
    kinds: tuple[type[BaseMessage], ...] = (HumanMessage, AIMessage)
    return [kinds[i % 2](f"{i}: {TEXT}") for i in range(first, first + count)]


def hits() -> None:
    rows: list[list[str]] = []
    for count in (1, 20, 100, 400):
        result: dict[str, Any] = {}

        def measure(request: ModelRequest[Any], handler: Any, into: Any = result) -> None:
            stock_request = request.override(model=Scripted(fine, cache=InMemoryCache()))
            middleware = ResponseCacheMiddleware()
            loops = 40
            into["pair"] = paired(
                lambda: handler(stock_request),
                lambda: middleware.wrap_model_call(request, handler),
                loops=loops,
                pairs=25,
            )
            into["bare"] = min(cpu(lambda: handler(request), loops) for _ in range(10))

        in_model_node(history(count), measure)
        llm = CachedLLM(MockLLM(is_chat_model=True, max_tokens=2))
        prompt = [
            ChatMessage(role="user" if i % 2 == 0 else "assistant", content=str(m.content))
            for i, m in enumerate(history(count))
        ]
        llm.chat(prompt)
        llamaindex = sorted(cpu(partial(llm.chat, prompt), 40) for _ in range(25))[12]
        pair: Paired = result["pair"]
        low, high = pair.ratio.low, pair.ratio.high
        assert low is not None
        assert high is not None
        rows.append(
            [
                str(count),
                us(result["bare"]),
                us(pair.a_s),
                us(pair.b_s),
                f"{1 / pair.ratio.value:.1f}x ({1 / high:.1f} to {1 / low:.1f})",
                us(llamaindex),
                f"{pair.a_s / llamaindex:.1f}x",
            ]
        )
    headers = [
        "messages",
        "no cache, instant model",
        "InMemoryCache hit",
        "ResponseCacheMiddleware hit",
        "cheaper by",
        "CachedLLM hit",
        "cheaper than InMemoryCache by",
    ]
    print(table(headers, rows))


def key_times() -> None:
    rows: list[list[str]] = []
    for count in (1, 10, 100, 400):
        result: dict[str, float] = {}

        def measure(request: ModelRequest[Any], handler: Any, into: Any = result) -> None:
            cache = ResponseCacheMiddleware().cache
            base: list[Any] = list(request.messages)

            def keyed(asked: ModelRequest[Any]) -> object:
                return agent_request(asked, cache=cache, tenant=None, version="")

            fresh: Any = iter(history(4000, first=10_000))

            def known() -> None:
                keyed(request)

            def grown() -> None:
                keyed(request.override(messages=[*base, next(fresh)]))

            def cold() -> None:
                keys._memo.clear()
                keyed(request)

            for name, target in (("known", known), ("grown", grown), ("cold", cold)):
                into[name] = sorted(cpu(target, 30) for _ in range(15))[7]
            into["dumps"] = sorted(cpu(lambda: dumps(base), 5) for _ in range(7))[3]

        in_model_node(history(count), measure)
        rows.append(
            [
                str(count),
                us(result["dumps"]),
                us(result["cold"]),
                us(result["known"]),
                us(result["grown"]),
                us(result["grown"] - result["known"]),
            ]
        )
    headers = [
        "messages",
        "LangChain's dumps alone",
        "our key, nothing known",
        "our key, all known",
        "our key, one new message",
        "for the new message",
    ]
    print(table(headers, rows))


def main() -> None:
    hits()
    print()
    key_times()


if __name__ == "__main__":
    main()
