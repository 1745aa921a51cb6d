"""How often keys were asked for lately, in a few bytes each."""

from __future__ import annotations

__all__ = ["FrequencySketch"]

_HALVES = bytes(count >> 1 for count in range(256))
_HIGHEST = 15  # of a counter; what is asked for more often than that is popular enough
_LEAST_WIDTH, _MOST_WIDTH = 256, 1 << 20
_PER_RESIDENT = 4  # counters in each of four rows; one instead of four cost 1 to 3 % of the hits
_PERIOD = 10  # requests per resident after which all counts are halved, as in the paper


class FrequencySketch:
    """Counts requests by key: a count-min sketch whose counts fade (arXiv 1512.00727).

    An estimate may be too high, as keys share counters, and too low only by the fading. The sketch
    grows with the number of residents, at 16 to 32 bytes for each. Not safe under threads by
    itself.

    Example:
        >>> sketch = FrequencySketch()
        >>> for key in ("a", "b", "a"):
        ...     sketch.count(key)
        >>> sketch.estimate("a")
        2
    """

    __slots__ = ("_counted", "_mask", "_period", "_rows")

    def __init__(self) -> None:
        self._rows = tuple(bytearray(_LEAST_WIDTH) for _ in range(4))
        self._mask = _LEAST_WIDTH - 1
        self._counted = 0
        self._period = _PERIOD * _LEAST_WIDTH // _PER_RESIDENT

    def count(self, key: str) -> None:
        """Note that a key was asked for."""
        # Unrolled: this is on the path of every request, and a loop costs three times as much.
        spot, mask = hash(key), self._mask
        first, second, third, fourth = self._rows
        at = spot & mask
        if first[at] < _HIGHEST:
            first[at] += 1
        at = (spot >> 16) & mask
        if second[at] < _HIGHEST:
            second[at] += 1
        at = (spot >> 32) & mask
        if third[at] < _HIGHEST:
            third[at] += 1
        at = (spot >> 44) & mask
        if fourth[at] < _HIGHEST:
            fourth[at] += 1
        self._counted += 1
        if self._counted >= self._period:
            self._fade()

    def estimate(self, key: str) -> int:
        """How often a key was asked for lately, 15 at most."""
        spot, mask = hash(key), self._mask
        first, second, third, fourth = self._rows
        return min(
            first[spot & mask],
            second[(spot >> 16) & mask],
            third[(spot >> 32) & mask],
            fourth[(spot >> 44) & mask],
        )

    def fit(self, residents: int) -> None:
        """Be wide enough for so many residents, and fade at their pace."""
        self._period = _PERIOD * max(residents, _LEAST_WIDTH // _PER_RESIDENT)
        while self._mask < _PER_RESIDENT * residents - 1 and self._mask < _MOST_WIDTH - 1:
            # A wider mask reads one more bit of the hash: with both halves alike, all counts stay.
            self._rows = tuple(row + row for row in self._rows)
            self._mask = 2 * self._mask + 1

    def _fade(self) -> None:
        self._rows = tuple(row.translate(_HALVES) for row in self._rows)
        self._counted //= 2
