"""HTTP/1.1 on a socket: keep-alive, fixed-length and chunked bodies, honest disconnects."""

from __future__ import annotations

import contextlib
import json
import socket
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from agentperf_core.bench.endpoint.exchange import ClientLeft, Exchange
from agentperf_core.bench.endpoint.wire import FINGERPRINT, BadRequest, models_body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agentperf_core.bench.endpoint.backend import Backend

__all__ = ["Handler"]

_DRAIN_BYTES = 64 * 1024 * 1024


class Handler(BaseHTTPRequestHandler):
    """One connection; subclassed by the server, which fills in the class attributes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a stream chunk must not wait for the ACK of the one before

    backend: Backend
    max_body_bytes: int
    wait_with: Callable[[float], None] | None

    # Routes ---------------------------------------------------------------------------------

    def do_GET(self) -> None:
        """Answer `/v1/models`."""
        if self._path() == "/v1/models":
            self._guard(lambda: self.send(200, models_body(self.backend.models())))
        else:
            self._guard(self._unknown_path)

    def do_POST(self) -> None:
        """Answer `/v1/chat/completions`."""
        self._guard(self._post)

    def _post(self) -> None:
        raw = self._read_body()
        if self._path() != "/v1/chat/completions":
            self._unknown_path()
        Exchange(self.backend, self, self.wait_with or self._wait).run(raw)

    def _path(self) -> str:
        return urlsplit(self.path).path.rstrip("/")

    def _unknown_path(self) -> NoReturn:
        msg = (
            f"unknown request {self.command} {self._path()!r}; the scripted endpoint speaks "
            "POST /v1/chat/completions and GET /v1/models"
        )
        raise BadRequest(msg, status=404, code="unknown_url")

    def _guard(self, route: Callable[[], None]) -> None:
        try:
            try:
                route()
            except BadRequest as error:
                self.send(error.status, error.body())
        except ClientLeft:
            self.cut()

    def _read_body(self) -> bytes:
        declared = self.headers.get("Content-Length", "")
        if not (declared.isascii() and declared.isdigit()):
            self.close_connection = True
            msg = f"a request needs a Content-Length, got {declared!r}; send the body in one piece"
            raise BadRequest(msg, status=411)
        length = int(declared)
        if length > self.max_body_bytes:
            # Unread bytes would turn the close into a reset that can overtake the answer.
            self.rfile.read(min(length, _DRAIN_BYTES))
            self.close_connection = True
            msg = f"a body holds at most {self.max_body_bytes} bytes, got {length}; send less"
            raise BadRequest(msg, status=413)
        try:
            raw = self.rfile.read(length)
        except OSError as error:
            raise ClientLeft from error
        if len(raw) < length:
            raise ClientLeft
        return raw

    # The wire of an exchange ----------------------------------------------------------------

    def send(
        self,
        status: int,
        body: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        share: float = 1.0,
    ) -> None:
        """Send an answer with its length; a share below 1 breaks the connection inside it."""
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        # A script may echo half a surrogate pair from the request's JSON; UTF-8 has none.
        data = text.encode(errors="replace")
        head = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        if share < 1.0:
            self.cut()
        self._write(self._head(status, {**head, **(headers or {})}), data[: int(len(data) * share)])

    def open_stream(self) -> None:
        """Send the headers of a chunked event stream."""
        headers = {
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-cache",
            "Transfer-Encoding": "chunked",
        }
        self._write(self._head(200, headers))

    def event(self, data: str) -> None:
        """Send one event as one chunk."""
        payload = f"data: {data}\n\n".encode(errors="replace")
        self._write(b"%x\r\n%b\r\n" % (len(payload), payload))

    def close_stream(self) -> None:
        """Send the last, empty chunk."""
        self._write(b"0\r\n\r\n")

    def cut(self) -> None:
        """Let the connection end after this exchange."""
        self.close_connection = True

    def hold(self) -> None:
        """Wait until a read says that the client is gone; stopping the server ends it too."""
        with contextlib.suppress(OSError):
            while len(self.connection.recv(4096)) > 0:
                pass

    def _wait(self, seconds: float) -> None:
        # A read with a time limit instead of a sleep: it ends at once when the client leaves or
        # when the server stops and shuts the socket, and it needs no second thread.
        try:
            self.connection.settimeout(seconds)
            gone = self.connection.recv(1, socket.MSG_PEEK) == b""
        except TimeoutError:
            gone = False
        except OSError as error:
            raise ClientLeft from error
        finally:
            with contextlib.suppress(OSError):
                self.connection.settimeout(None)
        if gone:
            raise ClientLeft

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        phrase = self.responses.get(status, ("Scripted", ""))[0]
        fields = {"Server": FINGERPRINT, "Date": formatdate(usegmt=True), **headers}
        if self.close_connection:
            fields["Connection"] = "close"
        lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {v}" for name, v in fields.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _write(self, *parts: bytes) -> None:
        try:
            self.wfile.write(b"".join(parts))
        except OSError as error:
            raise ClientLeft from error

    # What http.server would print or answer in HTML -------------------------------------------

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that is not HTTP as we speak it, in the shape of every other error."""
        self.close_connection = True
        text = f"{message or 'the request cannot be read'}; send HTTP/1.1 GET or POST"
        with contextlib.suppress(ClientLeft):
            self.send(code, BadRequest(text, status=code).body())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited name
        """Nothing: the journal has it, and a library does not print."""
