"""How the clients of both frameworks take faults, from `llmock` and from our own endpoint.

`llmock` is an independent server: if its fault and ours raise the same exception type in the same
client, our endpoint breaks in the way that clients know.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import pytest
from langchain_openai import ChatOpenAI
from llama_index.core.base.llms.types import ChatMessage
from llama_index.llms.openai import OpenAI
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer
from pydantic import SecretStr

from agentperf_core.bench.endpoint import Fault, Reply, ScriptedEndpoint

ANSWER = "Order 7 has shipped and will arrive on Friday."


@pytest.fixture(scope="module")
def llmock_process() -> Iterator[LLMockServer]:
    with LLMockServer() as server:
        yield server


@pytest.fixture
def llmock(llmock_process: LLMockServer) -> LLMock:
    """The plugin's own fixture also sets environment variables; ours gets its address by hand."""
    return LLMock(llmock_process).reset().tool_mode("off")


class Clients:
    """One sync model of each framework, on HTTP clients that the test closes."""

    def __init__(self, http: dict[str, Any]) -> None:
        self.http = http

    def langchain(self, base_url: str, retries: int) -> Ask:
        model = ChatOpenAI(
            model="gpt-4o-mini",
            base_url=base_url,
            api_key=SecretStr("x"),
            max_retries=retries,
            http_client=self.http["http_client"],
            http_async_client=self.http["async_http_client"],
        )
        return lambda stream: (
            "".join(str(chunk.content) for chunk in model.stream("Order 7?"))
            if stream
            else str(model.invoke("Order 7?").content)
        )

    def llamaindex(self, base_url: str, retries: int) -> Ask:
        llm = OpenAI(
            model="gpt-4o-mini", api_base=base_url, api_key="x", max_retries=retries, **self.http
        )
        messages = [ChatMessage("Order 7?")]
        return lambda stream: (
            "".join(chunk.delta or "" for chunk in llm.stream_chat(messages))
            if stream
            else llm.chat(messages).message.content or ""
        )

    def of(self, framework: str, base_url: str, *, retries: int = 0) -> Ask:
        return getattr(self, framework)(base_url, retries)


Ask = Callable[[bool], str]


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    with openai.DefaultHttpxClient() as sync_client:
        async with openai.DefaultAsyncHttpxClient() as async_client:
            yield Clients({"http_client": sync_client, "async_http_client": async_client})


@dataclass(frozen=True)
class Case:
    """The same fault on both servers; the first two are the ones that clients retry at once."""

    name: str
    ours: Fault
    theirs: Callable[[LLMock], LLMock]
    raises: type[Exception] | tuple[type[Exception], ...]
    stream: bool = False


CASES = [
    Case(
        "429",
        Fault("rate_limit", at=0, retry_after_s=0.01),
        lambda mock: mock.rate_limit(retry_after=0.01),
        openai.RateLimitError,
    ),
    Case(
        "429 before a stream",
        Fault("rate_limit", at=0, retry_after_s=0.01),
        lambda mock: mock.rate_limit(retry_after=0.01),
        openai.RateLimitError,
        stream=True,
    ),
    Case(
        "500",
        Fault("server_error", at=0),
        lambda mock: mock.fail(500),
        openai.InternalServerError,
    ),
    Case(
        "503",
        Fault("server_error", at=0, status=503),
        lambda mock: mock.fail(503),
        openai.InternalServerError,
    ),
    Case(
        "dropped stream",
        Fault("drop_stream", at=0, after_chunks=2),
        lambda mock: mock.disconnect(after_chunks=2),
        # The OpenAI SDK lets httpx's own error through before its version 3.
        (openai.APIConnectionError, httpx.RemoteProtocolError),
        stream=True,
    ),
]
frameworks = pytest.mark.parametrize("framework", ["langchain", "llamaindex"])
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def scripted(fault: Fault) -> ScriptedEndpoint:
    return ScriptedEndpoint(lambda _: Reply(ANSWER), time_scale=0, faults=[fault])


def error_of(ask: Ask, *, stream: bool) -> BaseException:
    with pytest.raises(Exception) as caught:
        ask(stream)
    return caught.value


@each_case
@frameworks
def test_the_same_fault_raises_the_same_type_from_both_servers(
    llmock: LLMock, clients: Clients, framework: str, case: Case
):
    case.theirs(llmock)
    theirs = error_of(clients.of(framework, llmock.base_url()), stream=case.stream)
    with scripted(case.ours) as endpoint:
        ours = error_of(clients.of(framework, endpoint.base_url), stream=case.stream)
        assert type(ours) is type(theirs)
        assert isinstance(ours, case.raises)


@pytest.mark.parametrize("case", CASES[:2], ids=lambda case: case.name)
@frameworks
def test_one_retry_after_the_time_asked_for_gets_over_a_rate_limit(
    llmock: LLMock, clients: Clients, framework: str, case: Case
):
    """Only 429 here: the clients wait half a second before they retry a 5xx."""
    case.theirs(llmock).reply(ANSWER)
    assert clients.of(framework, llmock.base_url(), retries=1)(case.stream) == ANSWER
    llmock.assert_resilient()
    with scripted(case.ours) as endpoint:
        assert clients.of(framework, endpoint.base_url, retries=1)(case.stream) == ANSWER


@frameworks
def test_a_truncated_stream_is_taken_for_a_whole_answer(
    llmock: LLMock, clients: Clients, framework: str
):
    """Neither client notices a missing finish reason: whoever streams must check it himself."""
    llmock.reply(ANSWER).truncate(after_chunks=2)
    theirs = clients.of(framework, llmock.base_url())(True)
    with scripted(Fault("truncate_stream", at=0, after_chunks=2)) as endpoint:
        ours = clients.of(framework, endpoint.base_url)(True)
    for text in (theirs, ours):
        assert ANSWER.startswith(text)
        assert text != ANSWER
