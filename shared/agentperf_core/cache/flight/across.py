"""Single flight across processes: a lease in the store says whose call it is.

Whoever gets the lease makes the call and stores the answer. The others look into the store again
and again, in growing pauses, until the answer is there, the lease is free, or they have waited long
enough; then they call by themselves. A lease lasts a few seconds and is renewed while the call goes
on: that of a process that was killed or stopped ends by itself.

A miss costs a request for the lease and a second look: between the first look and the lease,
another process may have stored its answer and left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeAlias
from uuid import uuid4

from agentperf_core.accounting.deadline import clamped
from agentperf_core.cache.flight.renewals import Renewals
from agentperf_core.cache.policy import CachePolicy
from agentperf_core.cache.stores import LeaseStore, Store, lease_store
from agentperf_core.clock import Clock
from agentperf_core.errors import ConfigError
from agentperf_core.events import EventBus
from agentperf_core.flow import Flow, Step

__all__ = ["Held", "Pause", "ProcessFlight", "process_flight", "sleeping"]

Pause: TypeAlias = Callable[[float], Step[None]]
"""Waits for some seconds; tests give one that moves their clock."""

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.1  # so much later than its leader a follower has the answer, at worst
_GROWTH = 1.5
_LEASE_S = 5.0  # for so long, others wait for a process that was killed

# Beside an answer that may not be stored: the others need not wait for each other's either.
_NOTHING = b"AP-nothing"
_NOTHING_S = 5.0


def sleeping(seconds: float) -> Step[None]:
    """A pause of the real clock."""
    return Step(time.sleep, asyncio.sleep, seconds)


class Held:
    """A lease that this process holds: end it with one of the two."""

    __slots__ = ("_flight", "_holder", "_key", "_open")

    def __init__(self, flight: ProcessFlight, key: str, holder: str) -> None:
        self._flight = flight
        self._key = key
        self._holder = holder
        self._open = True

    def end(self, *, stored: bool) -> Flow[None]:
        """The call is over, and its answer is in the store or never will be."""
        if self._open:
            self._open = False
            yield from self._flight.end(self._key, self._holder, stored=stored)

    def drop(self) -> None:
        """The call failed or was given up: let the others try, without waiting for the store."""
        if self._open:
            self._open = False
            self._flight.drop(self._key, self._holder)


class ProcessFlight:
    """Joins equal calls of several processes; one call per process may come here at a time.

    Args:
        store: where the leases are, and the answers.
        max_wait_s: seconds to wait for another process, and that one may lead at most; less where
            the run has a deadline.
        clock: where the time comes from.
        bus: where faults go.
        pause: how to wait between two looks.
    """

    def __init__(
        self,
        store: LeaseStore,
        *,
        max_wait_s: float,
        clock: Clock,
        bus: EventBus,
        pause: Pause = sleeping,
    ) -> None:
        self._store = store
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._bus = bus
        self._pause = pause
        self._lease_s = min(_LEASE_S, max_wait_s)
        self.renewals = Renewals(
            store, lease_s=self._lease_s, most_s=max_wait_s, clock=clock, bus=bus
        )
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self, key: str, usable: Callable[[bytes], bool]) -> Flow[Held | bytes | None]:
        """The lease, or the answer of the process that has it.

        Args:
            key: of the call.
            usable: whether a stored value is an answer to it.

        Returns:
            `None` if nothing is to be waited for: the time is over, the store failed, or the answer
            may not be stored. Then call, and tell nobody.
        """
        holder = uuid4().hex
        try:
            return (yield from self._join(key, holder, usable))
        except Exception as error:
            self._bus.fault("cache.store", error)
            self.drop(key, holder)
            return None
        except BaseException:
            self.drop(key, holder)
            raise

    def lead_now(self, key: str) -> Flow[Held | None]:
        """The lease if it is free; `None` otherwise. Never waits for another process."""
        holder = uuid4().hex
        store = self._store
        try:
            leads = yield from Step(store.try_lead, store.atry_lead, key, holder, self._lease_s)
            return (yield from self._lead(key, holder)) if leads else None
        except Exception as error:
            self._bus.fault("cache.store", error)
            return None

    def end(self, key: str, holder: str, *, stored: bool) -> Flow[None]:
        """Give the lease back; called by its `Held`."""
        self.renewals.end(holder)
        store = self._store
        try:
            if not stored:
                yield from Step(store.set, store.aset, _mark(key), _NOTHING, _NOTHING_S)
            yield from Step(store.stop_leading, store.astop_leading, key, holder)
        except Exception as error:
            self._bus.fault("cache.store", error)

    def drop(self, key: str, holder: str) -> None:
        """Give the lease back from where nobody can wait; called by its `Held`."""
        self.renewals.end(holder)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            try:
                self._store.stop_leading(key, holder)
            except Exception as error:
                self._bus.fault("cache.store", error)
        else:
            task = loop.create_task(self._adrop(key, holder))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _adrop(self, key: str, holder: str) -> None:
        try:
            await self._store.astop_leading(key, holder)
        except Exception as error:
            self._bus.fault("cache.store", error)

    def _join(
        self, key: str, holder: str, usable: Callable[[bytes], bool]
    ) -> Flow[Held | bytes | None]:
        over = self._clock.monotonic() + clamped(self._max_wait_s)
        pause, waited = _FIRST_PAUSE_S, False
        while True:
            leads, raw = yield from Step(self._ask, self._aask, key, holder)
            if raw is not None and usable(raw):
                if leads:
                    yield from self.end(key, holder, stored=True)
                return raw
            if leads:
                if waited and (yield from self._nothing_comes(key)):
                    yield from self.end(key, holder, stored=True)
                    return None
                return (yield from self._lead(key, holder))
            if self._clock.monotonic() >= over:
                return None
            yield from self._pause(pause)
            pause, waited = min(pause * _GROWTH, _LONGEST_PAUSE_S), True

    def _lead(self, key: str, holder: str) -> Flow[Held]:
        yield from self.renewals.begin(key, holder)
        return Held(self, key, holder)

    def _nothing_comes(self, key: str) -> Flow[bool]:
        found = yield from Step(self._store.get, self._store.aget, _mark(key))
        return found is not None

    def _ask(self, key: str, holder: str) -> tuple[bool, bytes | None]:
        return self._store.try_lead(key, holder, self._lease_s), self._store.get(key)

    async def _aask(self, key: str, holder: str) -> tuple[bool, bytes | None]:
        leads = await self._store.atry_lead(key, holder, self._lease_s)
        return leads, await self._store.aget(key)


def process_flight(
    policy: CachePolicy,
    store: Store,
    *,
    max_wait_s: float | None,
    clock: Clock,
    bus: EventBus,
    pause: Pause,
) -> ProcessFlight | None:
    """The flight that a policy, or one of its routes, asks for; `None` if none does.

    Raises:
        ConfigError: if the store has no leases, or nothing bounds how long one would last.
    """
    policies = (policy, *policy.routes.values())
    if not any(one is not None and one.across_processes for one in policies):
        return None
    able = lease_store(store)
    if able is None:
        msg = (
            f"across_processes=True needs a store= with leases, got a {type(store).__name__}; "
            "give one that processes share"
        )
        raise ConfigError(msg)
    if max_wait_s is None:
        msg = (
            "across_processes=True needs a bound on how long a process may lead, got "
            "max_wait_s=None; give seconds"
        )
        raise ConfigError(msg)
    return ProcessFlight(able, max_wait_s=max_wait_s, clock=clock, bus=bus, pause=pause)


def _mark(key: str) -> str:
    return f"{key}:nothing"
