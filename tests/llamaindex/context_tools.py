"""Tools that take a context; LlamaIndex reads annotations as they are, so no future import here."""

from typing import Any

from llama_index.core.workflow import Context
from workflows.events import HumanResponseEvent, InputRequiredEvent


class Counter:
    """Counts how often it was asked in all runs."""

    def __init__(self) -> None:
        self.asked = 0

    async def steps(self, ctx: Context) -> str:
        """Count."""
        self.asked += 1
        return f"{await ctx.store.get('count', default=self.asked)}"


async def confirm(ctx: Context) -> str:
    """Ask a person."""
    got = await ctx.wait_for_event(
        HumanResponseEvent, waiter_event=InputRequiredEvent(), waiter_id="sure"
    )
    return str(got.response)


async def ask(ctx: Context, who: str) -> str:
    """Ask one of several persons."""
    got = await ctx.wait_for_event(
        HumanResponseEvent,
        waiter_event=InputRequiredEvent(who=who),  # pyright: ignore[reportCallIssue] - events take anything
        waiter_id=who,
        requirements={"who": who},
    )
    return f"{who} says {got.response}"


class NotedOrders:
    """Looks orders up and notes it."""

    def __init__(self, calls: list[Any]) -> None:
        self.calls = calls

    async def get_order(self, ctx: Context, order_id: int) -> str:
        """Look an order up."""
        assert ctx is not None
        self.calls.append(("get_order", order_id))
        return "sent"
