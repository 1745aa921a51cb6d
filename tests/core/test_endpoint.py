"""The scripted endpoint over raw HTTP: wire format, streams, connections, bad input."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.accounting import TokenCounter
from agentperf_core.bench.endpoint import (
    ChatRequest,
    LatencyProfile,
    Lognormal,
    Provider,
    Reply,
    ScriptedEndpoint,
    ScriptedReplies,
    provider_from_env,
    text_of,
)
from agentperf_core.bench.endpoint.usage import Billing
from agentperf_core.bench.endpoint.wire import BadRequest, Envelope, parse_body
from agentperf_core.errors import ConfigError
from agentperf_core.types import ToolCall

USER = {"role": "user", "content": "What time is it in Paris?"}
CALLS = Reply.calling(("get_time", {"city": "Paris"}), ("get_weather", {"city": "Zürich"}))


def words(text: str) -> int:
    return len(text.split())


DEFAULTS: dict[str, Any] = {"time_scale": 0, "counter": TokenCounter(words)}


def endpoint(*replies: Reply | str, **options: Any) -> ScriptedEndpoint:
    script = ScriptedReplies(replies or ("It is noon in Paris.",), cycle=True)
    return ScriptedEndpoint(script, **(DEFAULTS | options))


def connect(server: ScriptedEndpoint) -> http.client.HTTPConnection:
    host, _, port = server.base_url.removeprefix("http://").removesuffix("/v1").partition(":")
    return http.client.HTTPConnection(host, int(port), timeout=10)


def ask(
    connection: http.client.HTTPConnection, path: str = "/v1/chat/completions", **body: Any
) -> tuple[int, dict[str, Any]]:
    payload = {"model": "gpt-4o-mini", "messages": [USER], **body}
    connection.request("POST", path, json.dumps(payload), {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def stream(server: ScriptedEndpoint, **body: Any) -> list[Any]:
    """The events of a stream, parsed; the last one is the string `[DONE]`."""
    connection = connect(server)
    payload = {"model": "gpt-4o-mini", "messages": [USER], "stream": True, **body}
    connection.request("POST", "/v1/chat/completions", json.dumps(payload))
    response = connection.getresponse()
    assert response.status == 200
    assert response.getheader("Content-Type") == "text/event-stream; charset=utf-8"
    events = response.read().decode().split("\n\n")
    connection.close()
    assert events.pop() == ""
    datas = [event.removeprefix("data: ") for event in events]
    return [data if data == "[DONE]" else json.loads(data) for data in datas]


def test_plain_reply_has_the_shape_of_a_chat_completion():
    with endpoint() as server:
        connection = connect(server)
        status, body = ask(connection)
        connection.close()
    assert status == 200
    assert body["object"] == "chat.completion"
    assert body["model"] == "gpt-4o-mini"
    assert body["choices"][0]["message"]["content"] == "It is noon in Paris."
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["total_tokens"] == (
        body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    )


def test_it_says_that_it_is_a_stand_in():
    with endpoint() as server:
        connection = connect(server)
        _, body = ask(connection)
        connection.request("GET", "/v1/models")
        models = json.loads(connection.getresponse().read())
        connection.close()
    assert body["system_fingerprint"] == "scripted-endpoint"
    assert models["data"][0]["owned_by"] == "scripted-endpoint"
    assert "no model runs here" in models["data"][0]["description"]


def test_stream_carries_role_pieces_finish_reason_and_done():
    with endpoint() as server:
        *chunks, done = stream(server)
    assert done == "[DONE]"
    first, *pieces, last = [chunk["choices"][0] for chunk in chunks]
    assert first["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert "".join(piece["delta"]["content"] for piece in pieces) == "It is noon in Paris."
    assert len(pieces) > 1
    assert last["delta"] == {}
    assert last["finish_reason"] == "stop"
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all("usage" not in chunk for chunk in chunks)


def test_stream_ends_with_usage_in_a_chunk_without_choices_when_asked():
    with endpoint() as server:
        *chunks, usage, _ = stream(server, stream_options={"include_usage": True})
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 5
    assert all(chunk["usage"] is None for chunk in chunks)


def test_parallel_tool_calls_arrive_by_index_in_argument_fragments():
    with endpoint(CALLS) as server:
        *chunks, last, _ = stream(server)
    assert last["choices"][0]["finish_reason"] == "tool_calls"
    parts = [c["choices"][0]["delta"]["tool_calls"][0] for c in chunks[1:]]
    assert [part["index"] for part in parts] == sorted(part["index"] for part in parts)
    for index, call in enumerate(CALLS.tool_calls):
        head, *fragments = [part for part in parts if part["index"] == index]
        assert head["type"] == "function"
        assert head["id"].startswith("call_")
        assert head["function"] == {"name": call.name, "arguments": ""}
        assert len(fragments) > 1
        assert all(set(f) == {"index", "function"} for f in fragments)
        joined = "".join(fragment["function"]["arguments"] for fragment in fragments)
        assert json.loads(joined) == call.arguments


def test_streamed_and_plain_tool_calls_agree():
    with endpoint(CALLS) as server:
        connection = connect(server)
        _, body = ask(connection)
        connection.close()
    message = body["choices"][0]["message"]
    assert message["content"] is None
    assert [c["function"]["name"] for c in message["tool_calls"]] == ["get_time", "get_weather"]
    assert len({c["id"] for c in message["tool_calls"]}) == 2


def test_given_ids_are_kept_and_missing_ones_are_the_same_on_every_server():
    reply = Reply("", [ToolCall("call_mine", "a", {}), ToolCall("", "b", {})])
    ids: list[list[str]] = []
    for _ in range(2):
        with endpoint(reply) as server:
            connection = connect(server)
            for _ in range(2):
                _, body = ask(connection)
                ids.append([c["id"] for c in body["choices"][0]["message"]["tool_calls"]])
            connection.close()
    assert [i[0] for i in ids] == ["call_mine"] * 4
    assert ids[:2] == ids[2:]
    assert ids[0][1] != ids[1][1]


@given(st.text(max_size=200), st.dictionaries(st.text(max_size=5), st.text(max_size=20)))
def test_deltas_join_to_the_reply(text: str, arguments: dict[str, str]):
    reply = Reply(text, [ToolCall("", "f", arguments)])
    deltas = list(Envelope("chatcmpl-x", "m", 0).deltas(reply))
    assert "".join(d.get("content") or "" for d in deltas) == text
    fragments = [d["tool_calls"][0]["function"]["arguments"] for d in deltas if "tool_calls" in d]
    assert json.loads("".join(fragments)) == arguments


def test_one_connection_serves_plain_and_streamed_requests_in_turn():
    with endpoint() as server:
        connection = connect(server)
        assert ask(connection)[0] == 200
        port = connection.sock.getsockname()[1]
        body = {"model": "m", "messages": [USER], "stream": True}
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        assert connection.getresponse().read().endswith(b"data: [DONE]\n\n")
        assert ask(connection)[0] == 200
        assert ask(connection, messages=[])[0] == 400
        assert ask(connection)[0] == 200
        assert connection.sock.getsockname()[1] == port
        connection.close()


def test_fifty_clients_at_once_are_answered_at_once():
    """All fifty wait inside the script for each other: none of them queues behind another."""
    barrier = threading.Barrier(50, timeout=20)

    def script(request: ChatRequest) -> Reply:
        barrier.wait()
        return Reply(request.last_user_text)

    with ScriptedEndpoint(script, time_scale=0, counter=TokenCounter(words)) as server:

        def call(index: int) -> str:
            connection = connect(server)
            _, body = ask(connection, messages=[{"role": "user", "content": f"n{index}"}])
            connection.close()
            return body["choices"][0]["message"]["content"]

        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(call, range(50)))
    assert answers == [f"n{index}" for index in range(50)]
    assert len(server.requests) == 50


def test_closing_hangs_up_on_idle_and_waiting_clients_and_leaves_no_thread():
    before = set(threading.enumerate())
    slow = LatencyProfile(Lognormal(600.0), Lognormal(1.0))
    server = endpoint(latency=slow, time_scale=1.0).start()
    idle, waiting = connect(server), connect(server)
    idle.connect()
    waiting.request("POST", "/v1/chat/completions", json.dumps({"model": "m", "messages": [USER]}))
    server.close()
    server.close()
    assert set(threading.enumerate()) == before
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        waiting.getresponse()
    for connection in (idle, waiting):
        connection.close()


def test_an_endpoint_can_be_started_again_and_keeps_its_journal():
    server = endpoint()
    for _ in range(2):
        with server:
            connection = connect(server)
            assert ask(connection)[0] == 200
            connection.close()
    assert len(server.requests) == 2


def test_journal_tells_what_was_asked_and_nothing_secret():
    with endpoint(journal_size=2) as server:
        connection = connect(server)
        connection.request(
            "POST",
            "/v1/chat/completions",
            json.dumps({"model": "m", "messages": [USER, USER]}),
            {"Authorization": "Bearer sk-secret"},
        )
        connection.getresponse().read()
        connection.close()
        first = server.requests[0]
        stream(server)
        stream(server)
    assert (first.model, first.messages, first.stream, first.status) == ("m", 2, False, 200)
    assert first.seconds >= 0
    assert "secret" not in repr(first)
    assert "Paris" not in repr(first)
    assert [record.stream for record in server.requests] == [True, True]


@dataclass(frozen=True)
class Bad:
    name: str
    body: bytes
    status: int = 400
    says: str = ""


def body(**changes: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [USER], **changes}).encode()


ASKED = {
    "role": "assistant",
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
ANSWERED = {"role": "tool", "tool_call_id": "c1", "content": "1"}
FIELDS = ("role", "content", "type", "text", "function", "name", "id", "arguments", "parameters")
BAD = [
    Bad("no JSON", b"{", says="must be JSON"),
    Bad("no UTF-8", b'"\xff"', says="must be JSON"),
    Bad("deep JSON", b"[" * 3000, says="must be JSON"),
    Bad("no object", b"[]", says="JSON object"),
    Bad("no body", b"", says="must be JSON"),
    Bad("no model", body(model=None), says="'model'"),
    Bad("no messages", body(messages=None), says="'messages'"),
    Bad("empty messages", body(messages=[]), says="'messages'"),
    Bad("messages of another type", body(messages="hi"), says="'messages'"),
    Bad("message of another type", body(messages=["hi"]), says="'messages'"),
    Bad("unknown role", body(messages=[{"role": "wizard"}]), says="'wizard'"),
    Bad("role of another type", body(messages=[{"role": ["user"]}]), says="role"),
    Bad("several choices", body(n=3), says="n=3"),
    Bad("tools of another type", body(tools={"a": 1}), says="'tools'"),
    Bad("tool without function", body(tools=[{"type": "function"}]), says="function"),
    Bad("stream of another type", body(stream="yes"), says="'stream'"),
    Bad("options of another type", body(stream_options=[1]), says="'stream_options'"),
    Bad(
        "call without function",
        body(messages=[{"role": "assistant", "tool_calls": [{"id": "c1"}]}]),
    ),
    Bad("orphan tool result", body(messages=[USER, ANSWERED]), says="c1"),
    Bad("unanswered tool call", body(messages=[USER, ASKED]), says="c1"),
    Bad("call split from result", body(messages=[ASKED, USER, ANSWERED]), says="c1"),
    Bad("answered twice", body(messages=[ASKED, ANSWERED, ANSWERED]), says="c1"),
    Bad("too long", body(user="x" * 5000), status=413, says="at most 4096 bytes"),
]


@pytest.fixture(scope="module")
def small():
    with endpoint(max_body_bytes=4096, latency={"m": LatencyProfile(SLOW, SLOW)}) as server:
        yield server


SLOW = Lognormal(1.0)


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_bad_requests_get_an_openai_shaped_error(small: ScriptedEndpoint, case: Bad):
    connection = connect(small)
    connection.request("POST", "/v1/chat/completions", case.body)
    response = connection.getresponse()
    error = json.loads(response.read())["error"]
    connection.close()
    assert response.status == case.status
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert case.says in error["message"]
    assert small.requests[-1].status == case.status or case.status == 413


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4)
    ),
    max_leaves=12,
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "system"])},
    optional={"content": json_values, "name": json_values, "tool_calls": json_values},
)


@given(
    st.fixed_dictionaries(
        {"model": st.just("m") | json_values, "messages": st.lists(messages) | json_values},
        optional={"tools": json_values, "stream": json_values, "n": json_values},
    )
)
def test_any_json_is_either_refused_with_a_reason_or_counted(data: dict[str, Any]):
    try:
        parsed = parse_body(json.dumps(data).encode())
    except BadRequest:
        return
    request = ChatRequest(
        model="m", messages=tuple(parsed["messages"]), tools=tuple(parsed.get("tools") or ())
    )
    assert Billing(TokenCounter(words)).prompt(request)[0] > 0


@pytest.mark.parametrize("depth", [900, 985, 2000])
def test_deep_nesting_gets_an_answer_and_no_silence(small: ScriptedEndpoint, depth: int):
    """How deep a parser goes differs between Python versions; hanging up is wrong in all."""
    connection = connect(small)
    deep = b"[" * depth + b"]" * depth
    payload = b'{"model":"m","messages":[{"role":"user"}],"x":' + deep + b"}"
    connection.request("POST", "/v1/chat/completions", payload)
    assert connection.getresponse().status in {200, 400}
    connection.close()


def test_a_valid_tool_round_trip_is_accepted(small: ScriptedEndpoint):
    connection = connect(small)
    assert ask(connection, model="m", messages=[USER, ASKED, ANSWERED])[0] == 200
    connection.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/responses", 404),
        ("POST", "/v1/embeddings", 404),
        ("GET", "/", 404),
        ("GET", "/v1/chat/completions", 404),
        ("DELETE", "/v1/models", 501),
    ],
)
def test_unknown_paths_and_methods_get_json_errors(
    small: ScriptedEndpoint, method: str, path: str, status: int
):
    connection = connect(small)
    connection.request(method, path, b"{}" if method == "POST" else None)
    response = connection.getresponse()
    assert response.status == status
    assert "send" in (text := json.loads(response.read())["error"]["message"]) or "speaks" in text
    connection.close()


def test_an_unknown_model_is_not_found_when_models_are_listed(small: ScriptedEndpoint):
    connection = connect(small)
    status, answer = ask(connection, model="gpt-9")
    connection.request("GET", "/v1/models")
    models = json.loads(connection.getresponse().read())
    connection.close()
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
    assert [model["id"] for model in models["data"]] == ["m"]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"NOT HTTP\r\n\r\n", b"400"),
        (b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"411"),
    ],
)
def test_what_is_not_http_gets_an_error_and_the_line_is_closed(
    small: ScriptedEndpoint, raw: bytes, status: bytes
):
    with raw_socket(small) as line:
        line.sendall(raw)
        answer = read_all(line)
    assert status in answer.split(b"\r\n")[0]
    assert b"Connection: close" in answer


def test_a_client_that_leaves_inside_its_body_disturbs_nobody(small: ScriptedEndpoint):
    with raw_socket(small) as line:
        line.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
    connection = connect(small)
    assert ask(connection, model="m")[0] == 200
    connection.close()


def raw_socket(server: ScriptedEndpoint) -> socket.socket:
    connection = connect(server)
    return socket.create_connection((connection.host, connection.port), timeout=10)


def read_all(line: socket.socket) -> bytes:
    parts: list[bytes] = []
    while part := line.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_a_failing_script_is_a_500_that_names_the_error_and_asks_for_no_retry():
    def script(request: ChatRequest) -> Reply:
        raise KeyError("order")

    with ScriptedEndpoint(script, time_scale=0, counter=TokenCounter(words)) as server:
        connection = connect(server)
        connection.request("POST", "/v1/chat/completions", body())
        response = connection.getresponse()
        error = json.loads(response.read())["error"]
        connection.close()
    assert response.status == 500
    assert response.getheader("x-should-retry") == "false"
    assert error["type"] == "script_error"
    assert "KeyError: 'order'" in error["message"]


def test_a_sequence_that_runs_out_says_so():
    with ScriptedEndpoint(
        ScriptedReplies(["one"]), time_scale=0, counter=TokenCounter(words)
    ) as server:
        connection = connect(server)
        assert ask(connection)[0] == 200
        status, answer = ask(connection)
        connection.close()
    assert status == 500
    assert "holds 1 replies and got request 2" in answer["error"]["message"]


def test_the_script_sees_the_request_without_its_headers():
    seen: list[ChatRequest] = []

    def script(request: ChatRequest) -> Reply:
        seen.append(request)
        return Reply("ok")

    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    with ScriptedEndpoint(script, time_scale=0, counter=TokenCounter(words)) as server:
        connection = connect(server)
        messages = [USER, {"role": "assistant", "content": "hm"}, USER, ASKED, ANSWERED]
        ask(connection, messages=messages, tools=[tool], temperature=0.5)
        ask(connection, messages=messages, tools=[tool], temperature=0.5)
        connection.close()
    first, second = seen
    assert first.tool_names == ("f",)
    assert first.params == {"temperature": 0.5}
    assert first.last_user_text == USER["content"]
    assert [m["role"] for m in first.turn] == ["user", "assistant", "tool"]
    assert (first.number, first.occurrence, second.number, second.occurrence) == (0, 0, 1, 1)
    assert first.digest == second.digest


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("hi", "hi"),
        (
            [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}],
            "ab",
        ),
        (["odd", 3], ""),
    ],
)
def test_text_of_reads_every_kind_of_content(content: object, text: str):
    assert text_of({"content": content}) == text


@pytest.mark.parametrize(
    "build",
    [
        lambda: ScriptedReplies([]),
        lambda: Reply("x", reasoning_tokens=-1),
        lambda: endpoint(time_scale=-1),
        lambda: endpoint(time_scale=float("nan")),
        lambda: endpoint(journal_size=0),
        lambda: endpoint().base_url,
    ],
)
def test_arguments_that_mean_nothing_are_config_errors(build: Any):
    with pytest.raises(ConfigError):
        build()


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, None),
        ({"OPENAI_API_KEY": "k"}, None),
        ({"OPENAI_BASE_URL": "http://x/v1", "OPENAI_API_KEY": ""}, None),
        (
            {"OPENAI_BASE_URL": "http://x/v1", "OPENAI_API_KEY": "k"},
            Provider("http://x/v1", "k"),
        ),
    ],
)
def test_the_real_provider_is_used_only_if_address_and_key_are_set(
    environ: dict[str, str], found: Provider | None, monkeypatch: pytest.MonkeyPatch
):
    assert provider_from_env(environ) == found
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert provider_from_env() == found
    assert "'k'" not in repr(found)
