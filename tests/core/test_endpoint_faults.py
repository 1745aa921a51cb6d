"""Fault injection: each fault on the wire, which request it hits, and that a rate is seeded."""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any

import pytest

from agentperf_core.accounting import TokenCounter
from agentperf_core.bench.endpoint import ChatRequest, Fault, Reply, ScriptedEndpoint
from agentperf_core.errors import ConfigError

TEXT = "The order left the warehouse this morning."


def words(text: str) -> int:
    return len(text.split())


def endpoint(**options: Any) -> ScriptedEndpoint:
    return ScriptedEndpoint(
        lambda _: Reply(TEXT), time_scale=0, counter=TokenCounter(words), **options
    )


def send(
    server: ScriptedEndpoint, text: str = "hi", **body: Any
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    host, _, port = server.base_url[7:-3].partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    payload = {"model": "m", "messages": [{"role": "user", "content": text}], **body}
    connection.request("POST", "/v1/chat/completions", json.dumps(payload))
    try:
        return connection, connection.getresponse()
    except BaseException:
        connection.close()
        raise


def status_of(server: ScriptedEndpoint, text: str = "hi") -> int:
    connection, response = send(server, text)
    response.read()
    connection.close()
    return response.status


def test_rate_limit_is_a_429_with_retry_after():
    with endpoint(faults=[Fault("rate_limit", at=0, retry_after_s=0.25)]) as server:
        connection, response = send(server)
        error = json.loads(response.read())["error"]
        connection.close()
        assert status_of(server) == 200
    assert response.status == 429
    assert response.getheader("Retry-After") == "0.25"
    assert error["code"] == "rate_limit_exceeded"
    assert [(r.status, r.fault) for r in server.requests] == [(429, "rate_limit"), (200, None)]


@pytest.mark.parametrize("status", [500, 503, 529])
def test_server_error_has_the_status_asked_for(status: int):
    with endpoint(faults=[Fault("server_error", at=0, status=status)]) as server:
        assert status_of(server) == status


def test_drop_closes_before_the_headers():
    with endpoint(faults=[Fault("drop", at=0)]) as server:
        with pytest.raises(http.client.RemoteDisconnected):
            send(server)
        assert status_of(server) == 200
    assert server.requests[0].status == 0


def test_timeout_holds_the_line_until_the_client_leaves():
    with endpoint(faults=[Fault("timeout", at=0)]) as server:
        host, _, port = server.base_url[7:-3].partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=0.05)
        payload = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        connection.request("POST", "/v1/chat/completions", json.dumps(payload))
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()
        for thread in threading.enumerate():
            if thread.name.startswith("scripted-endpoint-"):
                thread.join(10)
        assert [(r.status, r.fault) for r in server.requests] == [(0, "timeout")]


def test_timeout_ends_when_the_server_stops():
    asked = threading.Event()

    def plan(request: ChatRequest) -> Fault:
        asked.set()
        return Fault("timeout")

    with endpoint(faults=plan) as server:
        host, _, port = server.base_url[7:-3].partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        payload = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        connection.request("POST", "/v1/chat/completions", json.dumps(payload))
        assert asked.wait(10)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        connection.getresponse()
    connection.close()


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_dropped_stream_delivers_its_chunks_and_breaks_off(chunks: int):
    with endpoint(faults=[Fault("drop_stream", at=0, after_chunks=chunks)]) as server:
        connection, response = send(server, stream=True)
        with pytest.raises(http.client.IncompleteRead) as broken:
            response.read()
        connection.close()
    events = broken.value.partial.decode().split("\n\n")[:-1]
    assert len(events) == chunks
    assert "[DONE]" not in "".join(events)
    assert server.requests[0].fault == "drop_stream"


def test_dropped_plain_reply_breaks_off_inside_its_body():
    with endpoint(faults=[Fault("drop_stream", at=0)]) as server:
        connection, response = send(server)
        with pytest.raises(http.client.IncompleteRead):
            response.read()
        connection.close()


def test_truncated_stream_ends_cleanly_without_finish_reason():
    with endpoint(faults=[Fault("truncate_stream", at=0, after_chunks=2)]) as server:
        connection, response = send(server, stream=True)
        text = response.read().decode()
        connection.close()
    events = [json.loads(e.removeprefix("data: ")) for e in text.split("\n\n")[:-1]]
    assert len(events) == 2
    assert all(event["choices"][0]["finish_reason"] is None for event in events)


def test_a_callable_decides_per_request():
    def plan(request: ChatRequest) -> Fault | None:
        return Fault("server_error") if "bad" in request.last_user_text else None

    with endpoint(faults=plan) as server:
        assert [status_of(server, text) for text in ("good", "bad", "good")] == [200, 500, 200]


def test_a_plan_that_fails_is_a_500_that_says_so():
    def plan(request: ChatRequest) -> Fault | None:
        raise RuntimeError("no plan")

    with endpoint(faults=plan) as server:
        connection, response = send(server)
        error = json.loads(response.read())["error"]
        connection.close()
    assert (response.status, error["type"]) == (500, "script_error")


def test_the_fault_rate_hits_a_seeded_share_in_any_order():
    texts = [f"request {index}" for index in range(60)]
    options: dict[str, Any] = {"faults": [Fault("rate_limit")], "fault_rate": 0.3, "seed": 5}
    with endpoint(**options) as one, endpoint(**options) as two:
        forward = {text: status_of(one, text) for text in texts}
        backward = {text: status_of(two, text) for text in reversed(texts)}
    assert forward == backward
    assert 8 <= list(forward.values()).count(429) <= 28


def test_a_retry_draws_anew():
    with endpoint(faults=[Fault("server_error")], fault_rate=0.5) as server:
        assert {status_of(server, "same") for _ in range(30)} == {200, 500}


@pytest.mark.parametrize(
    "build",
    [
        lambda: Fault("explode"),  # pyright: ignore[reportArgumentType] - the wrong kind is the test
        lambda: Fault("drop", at=-1),
        lambda: Fault("rate_limit", retry_after_s=-1.0),
        lambda: Fault("server_error", status=404),
        lambda: endpoint(fault_rate=0.5),
        lambda: endpoint(faults=[Fault("drop")]),
        lambda: endpoint(faults=[Fault("drop")], fault_rate=1.5),
    ],
)
def test_impossible_faults_are_refused(build: Any):
    with pytest.raises(ConfigError):
        build()
