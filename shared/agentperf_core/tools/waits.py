"""Waiting for a moment that another thread or event loop may bring about."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any

from agentperf_core.flow import Step

__all__ = ["waiting_for"]


def waiting_for(moment: Future[None], wait_s: float | None) -> Step[bool]:
    """Wait at most `wait_s` seconds, `None` for no limit; whether the moment has come."""
    return Step(_wait, _await, moment, wait_s)


def _wait(moment: Future[None], wait_s: float | None) -> bool:
    return not wait((moment,), wait_s).not_done


async def _await(moment: Future[Any], wait_s: float | None) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await asyncio.shield(asyncio.wrap_future(moment))
            return True
    return False
