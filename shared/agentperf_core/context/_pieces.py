"""A long message in pieces, of which one may come back alone."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["pieces_of"]

_PIECE = 1200  # characters, some 250 tokens
_MOST_PIECES = 64  # of one message: the head of a huge one


def pieces_of(text: str) -> Iterator[str]:
    """A text in pieces that end where a line or a sentence does, if one does; a short one as is."""
    if len(text) <= _PIECE:
        yield from [text] if text.strip() else []
        return
    start = 0
    for _ in range(_MOST_PIECES):
        if start >= len(text):
            return
        end = start + _PIECE
        if end < len(text):
            ends = [text.rfind(mark, start + _PIECE // 2, end) for mark in ("\n", ". ", " ")]
            end = next((found + 1 for found in ends if found >= 0), end)
        yield text[start:end].strip()
        start = end
