"""The server's life: bind, accept, stop without leaving a thread or a socket behind."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Self

from agentperf_core.bench.endpoint.backend import Backend, Journal, RequestRecord
from agentperf_core.bench.endpoint.faults import Fault, FaultPlan, plan_of
from agentperf_core.bench.endpoint.handler import Handler
from agentperf_core.bench.endpoint.usage import Billing
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType

    from agentperf_core.accounting import TokenCounter
    from agentperf_core.bench.endpoint.latency import LatencyProfile
    from agentperf_core.bench.endpoint.script import Script

__all__ = ["ScriptedEndpoint"]

_POLL_S = 0.02  # how soon the accept loop notices stop()
_JOIN_S = 5.0


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a forgotten server must not keep the interpreter alive
    request_queue_size = 256  # the default of 5 refuses the sixth client of a burst

    def __init__(self, handler: type[Handler]) -> None:
        self._open: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), handler)

    def server_bind(self) -> None:
        # HTTPServer.server_bind asks DNS for the host name, which can take seconds offline.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        # Registered by the accepting thread, so that stop() knows every connection there is.
        thread = threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name=f"scripted-endpoint-{client_address[1]}",
            daemon=True,
        )
        with self._lock:
            self._open[request] = thread
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that breaks off is an everyday event for this server."""

    def hang_up(self) -> None:
        """End every open connection and wait for its thread."""
        with self._lock:
            open_now = dict(self._open)
        for connection in open_now:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in open_now.values():
            thread.join(_JOIN_S)


@dataclass(kw_only=True, eq=False)
class ScriptedEndpoint:
    """An OpenAI-compatible server on loopback that answers from a script.

    It is a stand-in for a provider, and says so in `/v1/models` and in `system_fingerprint`. Give
    each arm of a comparison its own endpoint with the same seed: then equal requests get equal
    waits.

    Attributes:
        script: function from `ChatRequest` to `Reply`; called from several threads at once.
        latency: one profile for every model name, or a profile per model (any other model gets a
            404); `None` answers at once.
        seed: of the latency and fault draws.
        time_scale: factor on every wait; 0 never waits.
        faults: faults by request number (`Fault(..., at=2)`), candidates for `fault_rate`, or a
            function from `ChatRequest` to `Fault | None`.
        fault_rate: share of the requests that get one of the faults without `at`.
        counter: counts tokens for usage; `None` uses each model's own counter.
        clock: where times come from.
        wait: called with seconds instead of waiting on the connection.
        max_body_bytes: larger requests get a 413.
        journal_size: how many `requests` are kept.

    Raises:
        ConfigError: for values out of range, or `base_url` of an endpoint that is not running.

    Example:
        >>> import json, urllib.request
        >>> from agentperf_core.bench.endpoint import ScriptedReplies
        >>> body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
        >>> with ScriptedEndpoint(ScriptedReplies(["Hello!"]), time_scale=0) as endpoint:
        ...     url = endpoint.base_url + "/chat/completions"
        ...     with urllib.request.urlopen(url, json.dumps(body).encode()) as answer:
        ...         json.load(answer)["choices"][0]["message"]["content"]
        'Hello!'
        >>> endpoint.requests[0].status
        200
    """

    script: Script = field(kw_only=False)
    latency: LatencyProfile | Mapping[str, LatencyProfile] | None = None
    seed: int = 0
    time_scale: float = 1.0
    faults: FaultPlan | Sequence[Fault] = ()
    fault_rate: float = 0.0
    counter: TokenCounter | None = None
    clock: Clock = SYSTEM_CLOCK
    wait: Callable[[float], None] | None = None
    max_body_bytes: int = 8 * 1024 * 1024
    journal_size: int = 10_000
    _server: _Server | None = field(default=None, init=False, repr=False)
    _thread: threading.Thread | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.time_scale < math.inf or min(self.max_body_bytes, self.journal_size) < 1:
            msg = (
                "time_scale is >= 0, max_body_bytes and journal_size are >= 1, got "
                f"{(self.time_scale, self.max_body_bytes, self.journal_size)!r}; change them"
            )
            raise ConfigError(msg)
        self._journal = Journal(self.journal_size)
        self._plan = plan_of(self.faults, rate=self.fault_rate, seed=self.seed)

    @property
    def base_url(self) -> str:
        """What a client takes as `base_url`; ends in `/v1`."""
        if self._server is None:
            msg = "the endpoint has no address, got base_url before start(); use 'with' or start()"
            raise ConfigError(msg)
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def requests(self) -> tuple[RequestRecord, ...]:
        """The journal of chat requests, oldest first; stays readable after `close()`."""
        return self._journal.records()

    def start(self) -> Self:
        """Bind an ephemeral loopback port and answer from now on; a second start changes nothing.

        Counters and prompt cache start anew, the journal goes on.
        """
        if self._server is None:
            self._server = _Server(self._handler())
            self._thread = threading.Thread(
                target=self._server.serve_forever,
                kwargs={"poll_interval": _POLL_S},
                name="scripted-endpoint",
                daemon=True,
            )
            self._thread.start()
        return self

    def close(self) -> None:
        """Stop accepting, hang up on every client, wait for the threads; safe to repeat."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is None or thread is None:
            return
        server.shutdown()
        thread.join(_JOIN_S)
        server.hang_up()
        server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _handler(self) -> type[Handler]:
        backend = Backend(
            script=self.script,
            latency=self.latency,
            seed=self.seed,
            time_scale=self.time_scale,
            plan=self._plan,
            billing=Billing(self.counter),
            clock=self.clock,
            journal=self._journal,
        )
        wait = self.wait
        attributes = {
            "backend": backend,
            "max_body_bytes": self.max_body_bytes,
            # A plain function as a class attribute would be bound to the handler.
            "wait_with": None if wait is None else staticmethod(wait),
        }
        return type("ScriptedHandler", (Handler,), attributes)
