"""Flows: one generator, two drivers, the same behaviour."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

import pytest

from agentperf_core.flow import Flow, Step, arun, both, run


class BoomError(Exception):
    pass


def step_of(function: Callable[..., Any], *args: Any) -> Step[Any]:
    async def later(*given: Any) -> Any:
        await asyncio.sleep(0)
        return function(*given)

    return Step(function, later, *args)


def raising() -> NoReturn:
    raise BoomError("step")


def drive_sync(flow: Flow[Any]) -> Any:
    return run(flow)


def drive_async(flow: Flow[Any]) -> Any:
    return asyncio.run(arun(flow))


@pytest.fixture(params=[drive_sync, drive_async], ids=["run", "arun"])
def drive(request: pytest.FixtureRequest) -> Callable[[Flow[Any]], Any]:
    return request.param


def test_results_go_back_into_the_flow_and_its_return_value_comes_out(drive):
    def flow() -> Flow[list[int]]:
        first = yield from step_of(lambda a, b: a + b, 1, 2)
        second = yield from step_of(lambda a: a * 10, first)
        return [first, second]

    assert drive(flow()) == [3, 30]


def test_a_plain_yield_of_a_step_works_too(drive):
    def flow() -> Flow[int]:
        value = yield step_of(lambda: 7)
        return value

    assert drive(flow()) == 7


def test_a_flow_without_steps_returns_at_once(drive):
    def flow() -> Flow[str]:
        return "done"
        yield

    assert drive(flow()) == "done"


def test_none_is_a_result_like_any_other(drive):
    def flow() -> Flow[bool]:
        return (yield from step_of(lambda: None)) is None

    assert drive(flow()) is True


def test_flows_nest(drive):
    def inner(n: int) -> Flow[int]:
        return (yield from step_of(lambda: n)) + 1

    def outer() -> Flow[int]:
        return (yield from inner(1)) + (yield from inner(10))

    assert drive(outer()) == 13


def test_an_exception_of_a_step_can_be_caught_in_the_flow(drive):
    def flow() -> Flow[str]:
        try:
            yield from step_of(raising)
        except BoomError as error:
            recovered = yield from step_of(lambda: "recovered")
            return f"{recovered} from {error}"
        return "unreachable"

    assert drive(flow()) == "recovered from step"


def test_an_uncaught_exception_reaches_the_caller_after_finally_has_run(drive):
    seen: list[str] = []

    def flow() -> Flow[None]:
        try:
            yield from step_of(raising)
        finally:
            # Steps work inside finally as well: that is how a lease is given back.
            seen.append((yield from step_of(lambda: "cleaned up")))

    with pytest.raises(BoomError, match="step"):
        drive(flow())
    assert seen == ["cleaned up"]


def test_an_exception_of_the_flow_itself_reaches_the_caller(drive):
    def flow() -> Flow[None]:
        yield from step_of(lambda: None)
        raise BoomError("flow")

    with pytest.raises(BoomError, match="flow"):
        drive(flow())


def test_a_replaced_exception_keeps_its_cause(drive):
    def flow() -> Flow[None]:
        try:
            yield from step_of(raising)
        except BoomError as error:
            raise KeyError("other") from error

    with pytest.raises(KeyError) as caught:
        drive(flow())
    assert isinstance(caught.value.__cause__, BoomError)


def test_a_step_is_called_once_and_only_when_it_is_reached(drive):
    calls: list[int] = []

    def flow() -> Flow[None]:
        steps = [step_of(calls.append, number) for number in range(3)]
        yield from steps[2]
        yield from steps[0]

    drive(flow())
    assert calls == [2, 0]


def test_run_never_touches_the_async_side():
    def never() -> Awaitable[Any]:
        raise AssertionError("the async side was used")

    def flow() -> Flow[int]:
        return (yield from Step(lambda: 1, never))

    assert run(flow()) == 1


async def test_arun_never_touches_the_sync_side():
    def never() -> Any:
        raise AssertionError("the sync side was used")

    async def one() -> int:
        return 1

    def flow() -> Flow[int]:
        return (yield from Step(never, one))

    assert await arun(flow()) == 1


async def test_a_cancellation_is_thrown_into_the_flow_and_goes_on():
    reached, seen = asyncio.Event(), []

    async def forever() -> None:
        reached.set()
        await asyncio.Event().wait()

    def flow() -> Flow[None]:
        try:
            yield from Step(raising, forever)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("finally")

    task = asyncio.create_task(arun(flow()))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled", "finally"]
    assert task.cancelled()


def test_keyboard_interrupt_runs_the_cleanup_of_the_flow():
    seen: list[str] = []

    def interrupted() -> NoReturn:
        raise KeyboardInterrupt

    def flow() -> Flow[None]:
        try:
            yield from step_of(interrupted)
        finally:
            seen.append("finally")

    with pytest.raises(KeyboardInterrupt):
        run(flow())
    assert seen == ["finally"]


def test_a_step_that_raises_stop_iteration_does_not_end_the_flow_quietly():
    def stop() -> NoReturn:
        raise StopIteration("not the result")

    def flow() -> Flow[str]:
        yield from step_of(stop)
        return "unreachable"

    with pytest.raises(RuntimeError):
        run(flow())


def test_a_driven_flow_is_exhausted():
    def flow() -> Flow[int]:
        return (yield from step_of(lambda: 1))

    used = flow()
    run(used)
    assert next(used, "over") == "over"


def test_arun_leaves_no_coroutine_unawaited():
    """A flow that fails in the middle must not leave a coroutine object behind (a warning)."""

    def flow() -> Flow[None]:
        yield from step_of(raising)
        yield from step_of(lambda: None)

    driver: Coroutine[Any, Any, None] = arun(flow())
    with pytest.raises(BoomError):
        asyncio.run(driver)
    gc.collect()


def test_a_function_that_makes_a_flow_becomes_a_sync_and_an_async_one():
    def shout(word: str, *, times: int = 1) -> Flow[str]:
        """Say it loudly."""
        return times * (yield from step_of(word.upper))

    sync, async_ = both(shout)
    assert sync("hi", times=2) == asyncio.run(async_("hi", times=2)) == "HIHI"
    assert (sync.__name__, async_.__name__) == ("shout", "ashout")
    assert sync.__doc__ == "Say it loudly."
    assert inspect.signature(sync) == inspect.signature(async_) == inspect.signature(shout)
    assert inspect.iscoroutinefunction(async_)
