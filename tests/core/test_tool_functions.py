"""Which function a tool calls, where its name does not tell."""

from __future__ import annotations

from flight_tools import in_threads

from agentperf_core.cache.toolresults.functions import function_identity


class Shop:
    def read(self) -> str:
        return "read"


def test_threads_that_ask_at_once_for_the_first_time_are_told_the_same():
    """Two drew a salt each: equal calls had two keys, and the tool ran twice."""
    for _ in range(50):
        shop = Shop()
        assert len(set(in_threads(8, lambda shop=shop: function_identity(shop.read)))) == 1


def test_two_objects_are_two_functions_and_one_stays_the_same():
    first, second = Shop(), Shop()
    assert function_identity(first.read) != function_identity(second.read)
    assert function_identity(first.read) == function_identity(first.read)
    assert function_identity(first.read, named=True) == function_identity(second.read, named=True)
