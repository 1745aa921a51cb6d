"""Seeded latency: how long the scripted model takes, the same for the same request.

A draw depends on the seed, the request's digest and how often that request was seen, never on the
order of arrival: two arms of a comparison, each against its own endpoint with the same seed, get
the same waits for the same requests (common random numbers), however their calls interleave.
Log-normal because measured times to first token are skewed to the right and never negative.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentperf_core.errors import ConfigError

if TYPE_CHECKING:
    from agentperf_core.bench.endpoint.script import ChatRequest
    from agentperf_core.clock import Clock

__all__ = ["INSTANT", "LatencyProfile", "Lognormal", "Pace", "Pacer", "seeded"]


@dataclass(frozen=True, slots=True)
class Lognormal:
    """A log-normal distribution given by its median and the spread of its logarithm.

    Attributes:
        median: half of the draws lie below it; in the unit of the quantity, above zero.
        sigma: standard deviation of the logarithm; 0 makes every draw the median.

    Raises:
        ConfigError: if the median is not above zero or sigma is negative.

    Example:
        >>> Lognormal(0.4).draw(random.Random(1))
        0.4
    """

    median: float
    sigma: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.median < math.inf and 0 <= self.sigma < math.inf):
            msg = (
                "a log-normal needs median > 0 and sigma >= 0, got "
                f"{(self.median, self.sigma)!r}; use time_scale=0 for a server that never waits"
            )
            raise ConfigError(msg)

    def draw(self, rng: random.Random) -> float:
        """One value from `rng`."""
        return self.median * math.exp(self.sigma * rng.gauss(0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed of one reply.

    Attributes:
        ttft_s: seconds until the first token.
        tokens_per_s: output tokens a second after that; infinite for no waiting.
    """

    ttft_s: float
    tokens_per_s: float

    def decode_s(self, tokens: int) -> float:
        """Seconds that `tokens` output tokens take after the first token is due."""
        return tokens / self.tokens_per_s


@dataclass(frozen=True, slots=True)
class LatencyProfile:
    """How fast a model answers.

    Attributes:
        ttft_s: distribution of the time to the first token, in seconds.
        tokens_per_s: distribution of the output speed, in tokens a second.

    Example:
        >>> profile = LatencyProfile(Lognormal(0.4, 0.3), Lognormal(80, 0.1))
        >>> profile.pace(seeded(7, "digest", 0)) == profile.pace(seeded(7, "digest", 0))
        True
    """

    ttft_s: Lognormal
    tokens_per_s: Lognormal

    def pace(self, rng: random.Random) -> Pace:
        """Draw the speed of one reply."""
        return Pace(self.ttft_s.draw(rng), self.tokens_per_s.draw(rng))


INSTANT = Pace(0.0, math.inf)


def seeded(seed: int, digest: str, occurrence: int, purpose: str = "latency") -> random.Random:
    """A generator that is the same in every process for the same four values."""
    # Seeding with a string goes through SHA-512 in `random`; a tuple's hash() differs per process.
    return random.Random(f"{purpose}:{seed}:{digest}:{occurrence}")  # noqa: S311 - not for secrets


def seeded_for(seed: int, request: ChatRequest, purpose: str) -> random.Random:
    """The generator of one request."""
    return seeded(seed, request.digest, request.occurrence, purpose)


class Pacer:
    """Waits until offsets from its own start, so that the cost of sending does not add up."""

    def __init__(self, clock: Clock, wait: Callable[[float], None], time_scale: float) -> None:
        self._clock = clock
        self._wait = wait
        self._scale = time_scale
        self._start = clock.monotonic()

    def until(self, offset_s: float) -> None:
        """Wait until `offset_s` scaled seconds after the start; at once if that has passed."""
        if not self._scale:
            return
        delay = self._start + offset_s * self._scale - self._clock.monotonic()
        if delay > 0:
            self._wait(delay)

    def elapsed_s(self) -> float:
        """Real seconds since the start."""
        return self._clock.monotonic() - self._start
