"""The order of calls of one message that a framework hands out one by one.

`ToolExecutor.call_all` sees all calls of a message and knows which must wait for which. An agent
that starts each call by itself shows only one at a time, in the order in which its threads happen
to arrive: here a call waits for the earlier ones that it would disturb.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import TypeVar

from agentperf_core.accounting.deadline import clamped
from agentperf_core.errors import require_positive
from agentperf_core.flow import Flow, Step
from agentperf_core.tools.waits import Moment

__all__ = ["Turns"]

T = TypeVar("T")

_MOST_MESSAGES = 1024


class _Turn:
    """One call: whether it has begun, when it has ended, and whether in a pause of its run."""

    __slots__ = ("begun", "ended", "paused", "run")

    def __init__(self, run: Hashable) -> None:
        self.run = run
        self.begun = False
        self.ended = Moment()
        self.paused = False


class Turns:
    """Lets calls of one message wait for earlier ones; safe under threads and event loops.

    Args:
        pause: the error by which a call pauses its run, to ask a person. It has not been made by
            then, so those after it raise one, too, and are made when the run is resumed.
        late_s: seconds to wait for an earlier call that has not begun. One that never comes was
            answered elsewhere: before the run was resumed, or by a person.

    Raises:
        ConfigError: if `late_s` is not above zero.

    Example:
        >>> from agentperf_core.flow import run
        >>> async def move() -> str:
        ...     return "moved"
        >>> turns = Turns()
        >>> run(turns.after("message", "run", "b", ["a"], Step(lambda: "moved", move)))
        'moved'
    """

    def __init__(
        self,
        *,
        pause: type[BaseException] | None = None,
        late_s: float = 1.0,
    ) -> None:
        require_positive(late_s=late_s)
        self._pause = pause
        self._late_s = late_s
        self._messages: OrderedDict[Hashable, dict[str, _Turn]] = OrderedDict()
        self._lock = threading.Lock()

    def after(
        self, message: Hashable, run: Hashable, call_id: str, earlier: Sequence[str], step: Step[T]
    ) -> Flow[T]:
        """Make a call once the earlier ones have ended.

        Args:
            message: what tells the message from all others.
            run: what tells this run from an earlier one that was paused at the same message.
            call_id: id of the call.
            earlier: ids of those to wait for; none for a call that only others wait for.
            step: makes the call.

        Raises:
            BaseException: what the call raises; a `pause`, if an earlier call has raised one.
        """
        turn = self._turn(message, run, call_id)
        try:
            for other in earlier:
                yield from self._ended(self._turn(message, run, other))
            turn.begun = True
            return (yield from step)
        except BaseException as error:
            turn.paused = self._pause is not None and isinstance(error, self._pause)
            raise
        finally:
            turn.ended.happen()

    def _ended(self, turn: _Turn) -> Flow[None]:
        """Wait for the end of a call, or of the time to do so."""
        if not (yield from turn.ended.wait(clamped(self._late_s))) and turn.begun:
            yield from turn.ended.wait(clamped(None))
        if turn.paused and self._pause is not None:
            raise self._pause

    def _turn(self, message: Hashable, run: Hashable, call_id: str) -> _Turn:
        with self._lock:
            calls = self._messages.get(message)
            if calls is None:
                calls = self._messages[message] = {}
                while len(self._messages) > _MOST_MESSAGES:
                    self._messages.popitem(last=False)
            turn = calls.get(call_id)
            if turn is None or (turn.paused and turn.run != run):
                turn = calls[call_id] = _Turn(run)
            return turn
