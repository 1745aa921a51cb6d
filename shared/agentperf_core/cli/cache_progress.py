"""A counter on stderr while something takes long, where somebody watches."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

__all__ = ["Progress"]

_EVERY_S = 0.1


class Progress:
    """Shows how far a piece of work is; nothing where stderr is no terminal.

    Args:
        label: what is being done.
        total: how much there is to do, if that is known.
    """

    def __init__(self, label: str, total: int | None = None) -> None:
        self._label = label
        self._of = "" if total is None else f" of {total:,}"
        self._is_watched = sys.stderr.isatty()
        self._next = time.monotonic() + _EVERY_S  # what is done at once shows nothing
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._show("")

    def __call__(self, done: int) -> None:
        """So much is done."""
        if self._is_watched and time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY_S
            self._show(f"{self._label}: {done:,}{self._of}")

    def _show(self, text: str) -> None:
        if text or self._width:
            print(f"\r{text:{self._width}}\r{text}", end="", file=sys.stderr, flush=True)
            self._width = len(text)
