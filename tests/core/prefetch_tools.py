"""A shop with tools that can be watched and stopped, called sync or async under a prefetcher."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from tool_results_tools import CODEC, Text

from agentperf_core.cache.toolresults.cache import ToolRequest, ToolResultCache
from agentperf_core.clock import FakeClock
from agentperf_core.events import DecisionMade, EventBus
from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import ToolExecutor, ToolFailure, ToolJob, ToolRun
from agentperf_core.tools.prefetch.paths import plain
from agentperf_core.tools.prefetch.prefetcher import Prefetcher
from agentperf_core.tools.prefetch.session import PrefetchSession
from agentperf_core.types import ToolCall

LOOKS = ToolPolicy(read_only=True, ttl_s=60.0, prefetch=True)
ORDERS = "after get_user: get_order(order_id=result.orders[])"
USERS: dict[Any, list[int]] = {1: [10, 11, 12, 13], 2: []}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that threads or tasks bring about."""
    while not condition():  # noqa: ASYNC110 - the parts under test have no events to wait for
        await asyncio.sleep(0)


class Gate:
    """Holds up a tool, sync or async, until it is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)

    def pass_(self) -> None:
        self.entered.release()
        assert self.open.wait(10)

    async def apass(self) -> None:
        self.entered.release()
        await until(self.open.is_set)


class Texts:
    """How the executor reads and makes results of the shop."""

    def failed(self, result: Text) -> bool:
        return result.status == "error"

    def passes(self, error: BaseException) -> bool:
        return False

    def of_failure(self, call: ToolCall, failure: ToolFailure) -> Text:
        return Text(str(failure), status="error")

    def of_value(self, call: ToolCall, value: Any) -> Text:
        return Text(str(value))

    def mark(self, result: Text, run: ToolRun) -> Text:
        return result


class Shop:
    """Tools behind one cache, an executor, and a prefetcher on a clock of its own."""

    def __init__(
        self,
        rules: list[str] | None = None,
        *,
        sync: bool,
        policies: Mapping[str, ToolPolicy] | None = None,
        max_concurrency: int = 32,
        **options: Any,
    ) -> None:
        self.sync = sync
        self.clock = FakeClock()
        self.bus = EventBus()
        self.seen: list[Any] = []
        self.bus.subscribe(self.seen.append)
        self.cache = ToolResultCache(clock=self.clock, bus=self.bus)
        self.executor = ToolExecutor(
            max_concurrency=max_concurrency, clock=self.clock, bus=self.bus
        )
        self.prefetcher = Prefetcher(
            [ORDERS] if rules is None else rules,
            executor=self.executor,
            clock=self.clock,
            bus=self.bus,
            **options,
        )
        self.policies = {"get_user": LOOKS, "get_order": LOOKS, **(policies or {})}
        self.calls: list[tuple[str, Any]] = []
        self.gates: dict[tuple[str, Any], Gate] = {}
        self.broken: dict[tuple[str, Any], Callable[[], str]] = {}
        self.takes_s = 0.0
        self.session: PrefetchSession[Text] = self.prefetcher.session(self)

    # What the tools do.

    def answer(self, name: str, arguments: Mapping[str, Any]) -> Text:
        key = (name, next(iter(arguments.values()), None))
        if key in self.broken:
            return Text(self.broken[key](), status="error")
        self.clock.advance(self.takes_s)
        if name == "get_user":
            return Text(json.dumps({"orders": USERS.get(key[1], [])}))
        return Text(json.dumps({"id": key[1]}))

    def step(self, name: str, arguments: Mapping[str, Any]) -> Step[Text]:
        key = (name, next(iter(arguments.values()), None))

        def call() -> Text:
            self.calls.append(key)
            if key in self.gates:
                self.gates[key].pass_()
            return self.answer(name, arguments)

        async def acall() -> Text:
            self.calls.append(key)
            if key in self.gates:
                await self.gates[key].apass()
            return self.answer(name, arguments)

        return Step(call, acall)

    # What an adapter does.

    def policy(self, tool: str) -> ToolPolicy | None:
        return self.policies.get(tool)

    def arguments(self, tool: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"full": False, **given} if tool == "get_order" else given

    def through(self, call: ToolCall) -> Callable[[Step[Text]], Flow[Text]]:
        policy = self.policies.get(call.name)
        arguments = self.arguments(call.name, call.arguments)
        request = ToolRequest(tool=call.name, arguments=arguments, policy=policy)
        return lambda step: self.cache.run(request, step, CODEC)

    def job(self, call: ToolCall) -> ToolJob[Text]:
        return ToolJob(
            call=call,
            step=self.step(call.name, call.arguments),
            results=Texts(),
            policy=self.policies.get(call.name),
            through=self.through(call),
        )

    # What the agent does.

    def flow(self, name: str, **arguments: Any) -> Flow[Text]:
        call = ToolCall("1", name, arguments)
        return self.session.around(
            call, self.step(name, arguments), through=self.through(call), read=read
        )

    async def drive(self, flow: Flow[Any]) -> Any:
        return await asyncio.to_thread(run, flow) if self.sync else await arun(flow)

    async def call(self, name: str, **arguments: Any) -> Text:
        return await self.drive(self.flow(name, **arguments))

    async def beside(self, name: str, **arguments: Any) -> asyncio.Future[Text]:
        """The same call, not waited for."""
        flow = self.flow(name, **arguments)
        return asyncio.ensure_future(self.drive(flow))

    async def quiet(self) -> None:
        """Wait for what is called on a guess."""
        if self.sync:
            await asyncio.to_thread(self.prefetcher.drain, 10)
        else:
            await self.prefetcher.adrain()

    async def entered(self, gate: Gate) -> None:
        """Wait until somebody stands at a gate."""
        await until(lambda: gate.entered.acquire(blocking=False))

    @property
    def guesses(self) -> list[Any]:
        """What happened to calls on a guess, in order."""
        return [
            event.outcome
            for event in self.seen
            if isinstance(event, DecisionMade) and event.room == "prefetch"
        ]


def read(result: Text) -> Any:
    return plain(result.content) if result.status == "success" else None
