"""The garbage collector may end a span, price it and export it inside any of our locks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentperf_core.accounting import catalogue
from agentperf_core.accounting._memo import Memo
from agentperf_core.accounting.pricing import PriceBook
from agentperf_core.telemetry import LatencyReport, Recorder
from agentperf_core.telemetry.sinks import jsonl
from agentperf_core.types import Usage


def _in_time(work: Callable[[], object]) -> None:
    """Run something that may lock itself out, in a thread that the test can leave behind."""
    done = threading.Event()

    def target() -> None:
        work()
        done.set()

    threading.Thread(target=target, daemon=True).start()
    assert done.wait(timeout=30), "locked itself out"


def test_a_memo_that_is_asked_while_it_looks() -> None:
    memo = Memo(10_000)

    class Key:
        def __hash__(self) -> int:
            return memo.get("inner", 1, lambda: 7)

    _in_time(lambda: memo.get(Key(), 1, lambda: 1))
    assert len(memo) == 2


def test_a_price_that_is_asked_for_while_another_is_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book, usage = PriceBook(), Usage(output_tokens=5)
    look_up: Any = catalogue._look_up  # pyright: ignore[reportPrivateUsage] - where time is spent
    asked: list[str] = []

    def nested(*args: Any) -> Any:
        asked.append(args[1])
        if len(asked) == 1:
            book.price(usage, "gpt-4o")
        return look_up(*args)

    monkeypatch.setattr(catalogue, "_look_up", nested)
    _in_time(lambda: book.price(usage, "gpt-4o-mini"))
    assert asked == ["gpt-4o-mini", "gpt-4o"]


def test_a_run_that_ends_while_another_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sink = jsonl.JsonlSink(tmp_path / "runs.jsonl")
    recorder = Recorder(sinks=[sink])
    cut_off: Any = jsonl._cut_off  # pyright: ignore[reportPrivateUsage] - inside the lock
    calls: list[object] = []

    def nested(file: Any) -> bool:
        calls.append(file)
        if len(calls) == 1:
            with recorder.span("agent", "inner"):
                pass
        return cut_off(file)

    monkeypatch.setattr(jsonl, "_cut_off", nested)

    def work() -> None:
        with recorder.span("agent", "outer"):
            pass

    _in_time(work)
    names = [trace.root.name for trace in LatencyReport.load(sink.path).traces]
    assert names == ["inner", "outer"]
