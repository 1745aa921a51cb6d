"""What a look-up by meaning found."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias, cast

from agentperf_core.cache.semantic.memory import Near, Remembered
from agentperf_core.cache.semantic.verdict import Verdict

__all__ = [
    "UNSEARCHED",
    "Found",
    "Looked",
    "Looking",
    "Unsearched",
    "found_so_far",
    "worth_telling",
]


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look-up found: the verdict and the nearest questions, best first."""

    verdict: Verdict
    near: Sequence[Near]

    @property
    def servable(self) -> bool:
        """Whether the answer of `best` may be given, and not only compared with a fresh one."""
        return self.verdict.accept and not self.verdict.shadow

    @property
    def best(self) -> Remembered | None:
        """The question whose answer would be served."""
        best = self.verdict.best
        if best is None:
            return None
        return next(one.remembered for one in self.near if one.ident == best.ident)


class Unsearched(Enum):
    """The question is encoded and a server is to search for it, which its asker does."""

    UNSEARCHED = "unsearched"


UNSEARCHED: Final = Unsearched.UNSEARCHED

Found: TypeAlias = "Looked | Unsearched | None"
"""What a look-up beside a call comes to; `None` without any question nearby, or if it failed."""

Looking: TypeAlias = "Future[Found]"
"""A look-up beside a call."""


def found_so_far(memo: object) -> tuple[Looked | None, Looking | None]:
    """What a look-up has found, and the look-up itself where it is still judging."""
    if isinstance(memo, Looked):
        return memo, None
    if not isinstance(memo, Future) or memo.cancelled():
        return None, None
    looking = cast("Looking", memo)
    if not looking.done():
        return None, looking
    found = looking.result()
    return (found if isinstance(found, Looked) else None), None


def worth_telling(found: Found) -> bool:
    """Whether there is an answer to serve, or a server to ask for one."""
    return found is UNSEARCHED or (isinstance(found, Looked) and found.servable)
