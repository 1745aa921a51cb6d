"""Seeded latency: the same request waits the same time, on every server and in every order."""

from __future__ import annotations

import http.client
import json
import random
import statistics
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.accounting import TokenCounter
from agentperf_core.bench.endpoint import (
    ChatRequest,
    LatencyProfile,
    Lognormal,
    Reply,
    ScriptedEndpoint,
)
from agentperf_core.bench.endpoint.latency import Pacer, seeded
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError

PROFILE = LatencyProfile(ttft_s=Lognormal(0.4, 0.5), tokens_per_s=Lognormal(50.0, 0.3))
STEADY = LatencyProfile(ttft_s=Lognormal(0.5), tokens_per_s=Lognormal(10.0))


def words(text: str) -> int:
    return len(text.split())


class Waits:
    """Stands in for waiting: moves the clock and notes how long each wait was."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.clock.advance(seconds)


def waits_of(
    texts: Sequence[str],
    *,
    reply: Reply | None = None,
    stream: bool = False,
    latency: LatencyProfile = PROFILE,
    time_scale: float = 1.0,
    seed: int = 0,
) -> dict[str, list[float]]:
    """The waits of each request when `texts` are sent one after the other."""
    waits = Waits()
    found: dict[str, list[float]] = {}
    with ScriptedEndpoint(
        lambda request: reply or Reply(request.last_user_text),
        latency=latency,
        seed=seed,
        time_scale=time_scale,
        counter=TokenCounter(words),
        clock=waits.clock,
        wait=waits,
    ) as server:
        host, _, port = server.base_url[7:-3].partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        for text in texts:
            waits.seconds.clear()
            message = {"role": "user", "content": text}
            body = {"model": "m", "messages": [message], "stream": stream}
            connection.request("POST", "/v1/chat/completions", json.dumps(body))
            connection.getresponse().read()
            key = text if text not in found else f"{text} again"
            found[key] = [round(seconds, 9) for seconds in waits.seconds]
        connection.close()
    return found


def test_draws_depend_on_the_request_and_not_on_the_order_of_arrival():
    forward = waits_of(["a", "b", "c", "a"])
    backward = waits_of(["c", "a", "a", "b"])
    assert forward == backward
    assert len({tuple(waits) for waits in forward.values()}) == 4


def test_another_seed_draws_other_waits():
    assert waits_of(["a"], seed=1) != waits_of(["a"], seed=2)


def test_a_plain_reply_takes_ttft_plus_all_its_tokens():
    waits = waits_of(["hi"], reply=Reply("one two three four five"), latency=STEADY)
    assert waits["hi"] == [pytest.approx(0.5 + 5 / 10)]


def test_a_stream_takes_as_long_in_total_and_starts_after_ttft():
    reply = Reply("one two three four five")
    waits = waits_of(["hi"], reply=reply, latency=STEADY, stream=True)["hi"]
    assert waits[0] == pytest.approx(0.5)
    assert sum(waits) == pytest.approx(0.5 + 5 / 10)
    assert len(waits) > 3


def test_reasoning_tokens_delay_the_first_token():
    reply = Reply("one", reasoning_tokens=20)
    waits = waits_of(["hi"], reply=reply, latency=STEADY, stream=True)["hi"]
    assert waits[0] == pytest.approx(0.5 + 20 / 10)


@pytest.mark.parametrize("stream", [False, True])
def test_time_scale_stretches_every_wait_and_zero_never_waits(stream: bool):
    full = waits_of(["hi there"], stream=stream)["hi there"]
    half = waits_of(["hi there"], stream=stream, time_scale=0.5)["hi there"]
    assert sum(half) == pytest.approx(sum(full) / 2)
    assert waits_of(["hi there"], stream=stream, time_scale=0)["hi there"] == []


def test_each_model_has_its_own_speed():
    waits = Waits()
    profiles = {name: LatencyProfile(Lognormal(s), Lognormal(1e9)) for name, s in SPEEDS.items()}
    with ScriptedEndpoint(
        lambda _: Reply("ok"),
        latency=profiles,
        counter=TokenCounter(words),
        clock=waits.clock,
        wait=waits,
    ) as server:
        host, _, port = server.base_url[7:-3].partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        for model in SPEEDS:
            body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
            connection.request("POST", "/v1/chat/completions", json.dumps(body))
            connection.getresponse().read()
        connection.close()
        seconds = [record.seconds for record in server.requests]
    assert seconds == [pytest.approx(s, rel=1e-6) for s in SPEEDS.values()]


SPEEDS = {"fast": 0.1, "slow": 2.0}


def test_the_time_sending_takes_does_not_add_up():
    """Offsets count from the start: what was late is not waited for again."""
    waits = Waits()
    pacer = Pacer(waits.clock, waits, 1.0)
    for offset in (1.0, 2.0, 3.0):
        pacer.until(offset)
        waits.clock.advance(0.25)
    assert waits.seconds == [1.0, 0.75, 0.75]
    waits.clock.advance(5)
    pacer.until(4.0)
    assert len(waits.seconds) == 3


def test_draws_follow_the_profile():
    draws = [PROFILE.pace(seeded(0, f"d{i}", 0)) for i in range(2000)]
    assert statistics.median(d.ttft_s for d in draws) == pytest.approx(0.4, rel=0.1)
    assert statistics.median(d.tokens_per_s for d in draws) == pytest.approx(50, rel=0.1)
    assert min(d.ttft_s for d in draws) > 0


@given(st.integers(), st.text(max_size=20), st.integers(min_value=0, max_value=99))
def test_the_same_seed_digest_and_occurrence_give_the_same_draw(seed: int, digest: str, n: int):
    assert PROFILE.pace(seeded(seed, digest, n)) == PROFILE.pace(seeded(seed, digest, n))


def test_streamed_and_plain_forms_of_a_request_share_their_draw():
    plain = waits_of(["hi"])["hi"]
    streamed = waits_of(["hi"], stream=True)["hi"]
    assert sum(plain) == pytest.approx(sum(streamed))


def test_a_wait_on_the_socket_ends_when_the_client_leaves():
    """A cancelled request must not hold its thread until the scripted model would be done."""
    slow = LatencyProfile(Lognormal(600.0), Lognormal(1.0))
    asked = threading.Event()

    def script(request: ChatRequest) -> Reply:
        asked.set()
        return Reply("late")

    with ScriptedEndpoint(script, latency=slow, counter=TokenCounter(words)) as server:
        host, _, port = server.base_url[7:-3].partition(":")
        before = threading.active_count()
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        assert asked.wait(10)
        connection.close()
        for thread in threading.enumerate():
            if thread.name.startswith("scripted-endpoint-"):
                thread.join(10)
        assert threading.active_count() == before
        assert [record.status for record in server.requests] == [499]


@pytest.mark.parametrize(("median", "sigma"), [(0, 0), (-1, 0), (1, -1), (float("nan"), 0)])
def test_impossible_distributions_are_refused(median: float, sigma: float):
    with pytest.raises(ConfigError, match="median > 0"):
        Lognormal(median, sigma)


def test_sigma_zero_is_the_median():
    assert Lognormal(3.0).draw(random.Random(5)) == 3.0
