"""The event bus: hooks that fail are counted, logged once, and never reach the caller."""

from __future__ import annotations

import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.events import DecisionMade, Event, EventBus, Fault

HIT = DecisionMade(room="cache", outcome="hit", reason="same request")


def boom(_: Event) -> None:
    raise ValueError("a prompt that must not be logged")


def test_every_hook_gets_every_event_in_order():
    bus, seen = EventBus(), []
    bus.subscribe(lambda event: seen.append(("first", event)))
    bus.subscribe(lambda event: seen.append(("second", event)))
    bus.emit(HIT)
    assert seen == [("first", HIT), ("second", HIT)]


def test_a_hook_that_raises_stops_nobody(caplog: pytest.LogCaptureFixture):
    bus, seen = EventBus(), []
    bus.subscribe(boom)
    bus.subscribe(seen.append)
    with caplog.at_level(logging.WARNING, logger="agentperf"):
        bus.emit(HIT)
        bus.emit(HIT)
    assert seen == [HIT, HIT]
    assert bus.faults() == {"events.hook": 2}
    assert len(caplog.records) == 1


def test_a_hook_that_raises_on_faults_does_not_recurse():
    bus = EventBus()
    bus.subscribe(boom)
    bus.fault("sink.jsonl", OSError("disk full"))
    assert bus.faults() == {"sink.jsonl": 1, "events.hook": 1}


def test_each_component_warns_once_and_counts_every_time(caplog: pytest.LogCaptureFixture):
    bus, seen = EventBus(), []
    bus.subscribe(seen.append)
    with caplog.at_level(logging.WARNING, logger="agentperf"):
        for where in ("cache.store", "cache.store", "sink.otel", "cache.store"):
            bus.fault(where, OSError("x"))
    assert [record.getMessage().split(" failed")[0] for record in caplog.records] == [
        "cache.store",
        "sink.otel",
    ]
    assert [(fault.where, fault.count) for fault in seen] == [
        ("cache.store", 1),
        ("cache.store", 2),
        ("sink.otel", 1),
        ("cache.store", 3),
    ]
    assert bus.faults() == {"cache.store": 3, "sink.otel": 1}


def test_the_log_names_the_type_of_an_error_and_never_its_text(caplog: pytest.LogCaptureFixture):
    """A provider's error message may quote the prompt or the key."""
    bus = EventBus()
    with caplog.at_level(logging.WARNING, logger="agentperf"):
        bus.fault("cache.store", ValueError("sk-secret"))
    assert "ValueError" in caplog.text
    assert "sk-secret" not in caplog.text


def test_the_event_carries_the_error_itself():
    bus, seen = EventBus(), []
    bus.subscribe(seen.append)
    error = OSError("disk full")
    bus.fault("sink.jsonl", error)
    assert seen == [Fault(where="sink.jsonl", error=error, count=1)]


def test_an_unsubscribed_hook_hears_nothing_more():
    bus, seen = EventBus(), []
    unsubscribe = bus.subscribe(seen.append)
    bus.emit(HIT)
    unsubscribe()
    unsubscribe()
    bus.emit(HIT)
    assert seen == [HIT]


def test_unsubscribing_once_leaves_the_other_subscription_of_the_same_hook():
    """Two parts of a program may subscribe one function; each owns its subscription only."""
    bus, seen = EventBus(), []
    hook = seen.append
    first = bus.subscribe(hook)
    bus.subscribe(hook)
    first()
    first()
    bus.emit(HIT)
    assert seen == [HIT]


def test_a_hook_may_unsubscribe_itself_while_it_is_called():
    bus, seen = EventBus(), []

    def once(event: Event) -> None:
        seen.append(event)
        unsubscribe()

    unsubscribe = bus.subscribe(once)
    bus.subscribe(seen.append)
    bus.emit(HIT)
    bus.emit(HIT)
    assert len(seen) == 3


def test_faults_is_a_copy():
    bus = EventBus()
    bus.fault("a", OSError())
    snapshot = bus.faults()
    bus.fault("a", OSError())
    assert snapshot == {"a": 1}


def test_buses_do_not_share_anything():
    one, other, seen = EventBus(), EventBus(), []
    one.subscribe(seen.append)
    other.emit(HIT)
    other.fault("a", OSError())
    assert (seen, one.faults()) == ([], {})


def test_counts_are_exact_under_threads():
    """Every fault gets a number of its own: none is lost, none is given twice."""
    bus, counts = EventBus(), []
    bus.subscribe(lambda event: counts.append(event.count))  # pyright: ignore[reportAttributeAccessIssue] - faults only
    gate = threading.Barrier(8)

    def work() -> None:
        gate.wait()
        for _ in range(100):
            bus.fault("cache.store", OSError())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == list(range(1, 801))


@given(st.lists(st.sampled_from(["a", "b", "c"])))
def test_counts_are_those_of_a_counter(faults: list[str]):
    bus = EventBus()
    for where in faults:
        bus.fault(where, OSError())
    assert bus.faults() == {where: faults.count(where) for where in set(faults)}
