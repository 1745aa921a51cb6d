"""What tests of other code may use: clocks, virtual time, chat rules, conformance suites.

A conformance suite is a class whose tests say what a protocol promises. Subclass it in a test
module, give the fixtures that it names, and pytest collects the rest. The suites import nothing but
this package; the async ones need pytest-asyncio (or any plugin that runs `async def` tests).
"""

from agentperf_core.clock import FakeClock
from agentperf_core.testing.chat_rules import chat_objections
from agentperf_core.testing.leases import LeaseConformance
from agentperf_core.testing.stores import MovableClock, StoreConformance
from agentperf_core.testing.stores_async import AsyncStoreConformance
from agentperf_core.testing.vectors import VectorIndexConformance
from agentperf_core.testing.virtual import VirtualTime

__all__ = [
    "AsyncStoreConformance",
    "FakeClock",
    "LeaseConformance",
    "MovableClock",
    "StoreConformance",
    "VectorIndexConformance",
    "VirtualTime",
    "chat_objections",
]
