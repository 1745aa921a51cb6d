"""One Redis server process: start, stop, pause, ask."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from agentperf_core.bench._redis_binaries import ServerUnavailable

__all__ = ["HOST", "RedisServer", "wait_until"]

HOST = "127.0.0.1"
_START_S = 20.0  # for a busy machine with a cold disk; the usual start takes 0.1 s
_STOP_S = 5.0

# The server itself, under the id that we know, and beside it a reader of our pipe: when the pipe
# closes, because we say so or because this process was killed, it ends the server.
_TIED = 'exec 3<&0 </dev/null; (read -r _ <&3; kill -9 $$) & exec "$@" 3<&-'


@dataclass(eq=False)
class RedisServer:
    """A server process that can be stopped, paused and started again on its port.

    Attributes:
        port: where it listens on 127.0.0.1.
        password: what it asks for, if anything; not part of the representation.
        version: as the binary says it.
    """

    port: int
    password: str | None = field(repr=False)
    version: str
    _command: Sequence[str] = field(repr=False)
    _env: Mapping[str, str] = field(repr=False)
    _folder: Path = field(repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """For `redis.Redis.from_url`, password included."""
        secret = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{secret}{HOST}:{self.port}/0"

    def start(self) -> None:
        """Start the process and wait until it answers.

        Raises:
            ServerUnavailable: if it ends at once or does not answer, with the end of its log.
        """
        # Arguments are ours: paths of installed packages and a file that we wrote.
        self._process = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _TIED, "redis-server", *self._command],
            env=dict(self._env),
            cwd=self._folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._await_answer(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill the process; what it held is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self) -> None:
        """Stop and start on the same port, empty."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Let it hang: connections stay open, nothing is answered (SIGSTOP)."""
        self._signal(signal.SIGSTOP)
        if self._process is not None and hasattr(os, "waitid"):
            # A signal takes effect by and by: on another core it could still answer one question.
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """End a `pause` (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def ask(self, line: str) -> bytes:
        """Send one command in Redis' inline form; the raw answer, and that to QUIT.

        Raises:
            OSError: if the server cannot be reached or is silent for a second.
        """
        with socket.create_connection((HOST, self.port), timeout=1.0) as connection:
            hello = f'AUTH "{_escaped(self.password)}"\r\n' if self.password else ""
            connection.sendall(f"{hello}{line}\r\nQUIT\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        return answer.removeprefix(b"+OK\r\n") if hello else answer

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        def answers() -> bool:
            if process.poll() is not None:
                msg = f"redis-server {self.version} ended at once: {self._log_end()}"
                raise ServerUnavailable(msg)
            with suppress(OSError):
                return self.ask("PING").startswith(b"+PONG")
            return False

        wait_until(answers, f"redis-server {self.version} does not answer at port {self.port}")

    def _log_end(self) -> str:
        with suppress(OSError):
            lines = (self._folder / "log").read_text(encoding="utf-8", errors="replace").split("\n")
            return " / ".join([line for line in lines if line][-4:])
        return "it left no log"


def wait_until(done: Callable[[], bool], complaint: str) -> None:
    """Ask until it is so.

    Raises:
        ServerUnavailable: with the complaint, after a time that no healthy machine needs.
    """
    end = time.monotonic() + _START_S
    while not done():
        if time.monotonic() > end:
            msg = f"{complaint} within {_START_S:g} s"
            raise ServerUnavailable(msg)
        time.sleep(0.01)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
