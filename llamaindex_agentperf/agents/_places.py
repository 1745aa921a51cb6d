"""The places of the calls of one message: who must wait for whom, and in which order results go on.

The order is kept in events and in the workflow's store and not in memory, because a workflow may
stop between two calls (for a person's answer, say), be saved, and go on in another process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, TypeVar

from llama_index.core.agent.workflow import ToolCall, ToolCallResult
from llama_index.core.tools import ToolSelection
from llama_index.core.workflow import Context, Event

__all__ = ["dispatching", "hand_on", "in_order", "note", "placed"]

E = TypeVar("E", bound=Event)

_PLACE = "agentperf_place"  # in a call and its result: which of the message it is, from 0
_HELD = "agentperf_held"  # in them: that calls of the message are held back; in the store: which


async def note(
    ctx: Context, calls: Sequence[ToolSelection], after: Mapping[int, tuple[int, ...]]
) -> None:
    """Keep the calls of a message that are held back, and until when.

    Args:
        ctx: the context of the step that hands them out.
        calls: all calls of the message.
        after: for calls by their place, those that must have ended before.
    """
    if after:
        held = [
            {"place": place, "after": list(earlier), "call": calls[place].model_dump()}
            for place, earlier in after.items()
        ]
        await ctx.store.set(_HELD, {"calls": held, "done": []})


def dispatching(ctx: Context, after: Mapping[int, tuple[int, ...]]) -> Context:
    """The context for the step that hands out the calls: each gets its place, some must wait."""
    places = count()

    def send_event(message: Event, step: str | None = None) -> None:
        if isinstance(message, ToolCall):
            place = next(places)
            if place in after:
                return
            _tag(message, place, held=bool(after))
        ctx.send_event(message, step)

    return _with(ctx, send_event=send_event)


def placed(result: ToolCallResult, call: ToolCall) -> ToolCallResult:
    """The result with its call's place; the one without it is in the event stream by now."""
    place = call.get(_PLACE)
    if place is None:
        return result
    mine = _copy(result)
    _tag(mine, place, held=_HELD in call)
    return mine


async def hand_on(ctx: Context, result: ToolCallResult) -> None:
    """Send the calls that have waited for this result, and for no other."""
    if _HELD not in result:
        return
    noted: dict[str, Any] = await ctx.store.get(_HELD)
    place = result[_PLACE]
    done = {*noted["done"], place}
    await ctx.store.set(_HELD, {**noted, "done": sorted(done)})
    for held in noted["calls"]:
        # Told from the result alone: the step may run again with it, and then sends the same.
        if place in held["after"] and done.issuperset(held["after"]):
            call = ToolCall(**held["call"])
            _tag(call, held["place"], held=True)
            ctx.send_event(call)


def in_order(ctx: Context) -> Context:
    """The context for the step that collects the results: they come in the order of the calls."""

    def collect_events(
        ev: Event, expected: list[type[Event]], buffer_id: str | None = None
    ) -> list[Event] | None:
        found = ctx.collect_events(ev, expected, buffer_id)
        return None if found is None else [_plain(event) for event in sorted(found, key=_order)]

    return _with(ctx, collect_events=collect_events)


def _with(ctx: Context, **methods: Any) -> Context:
    """The same context with other methods: LlamaIndex's own steps take it for theirs."""
    mine: Context = object.__new__(type(ctx))
    vars(mine).update(vars(ctx), **methods)
    return mine


def _tag(event: Event, place: int, *, held: bool) -> None:
    event[_PLACE] = place
    if held:
        event[_HELD] = True


def _order(event: Event) -> int:
    place: int = event.get(_PLACE, -1)  # somebody else's call has none
    return place


def _plain(event: Event) -> Event:
    """The result as it is without us: it ends up in what the run returns."""
    if _PLACE not in event:
        return event
    mine = _copy(event)
    for tag in (_PLACE, _HELD):
        mine._data.pop(tag, None)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - nothing public removes
    return mine


def _copy(event: E) -> E:
    mine = event.model_copy()
    mine._data = dict(event.to_dict())  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - a copy shares it
    return mine
