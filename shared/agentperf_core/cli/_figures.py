"""Figures that only the cache commands print."""

from __future__ import annotations

__all__ = ["byte_size", "entries_of", "percent"]


def byte_size(number: float) -> str:
    """Bytes in the unit that needs the fewest digits.

    Example:
        >>> byte_size(312), byte_size(20_480), byte_size(5 * 1024**3)
        ('312 B', '20.0 KiB', '5.0 GiB')
    """
    if number < 1024:
        return f"{number:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        number /= 1024
        if number < 1024:
            return f"{number:.1f} {unit}"
    return f"{number / 1024:,.1f} TiB"


def percent(share: float) -> str:
    """A share in percent; small ones, as errors are, keep two digits that say something.

    Example:
        >>> percent(0.4213), percent(0.0031), percent(0.00004), percent(0)
        ('42.1 %', '0.31 %', '0.004 %', '0 %')
    """
    if share == 0:
        return "0 %"
    digits = 1 if share >= 0.1 else 2 if share >= 0.001 else 3
    return f"{share * 100:.{digits}f} %"


def entries_of(number: int) -> str:
    """A number of entries.

    Example:
        >>> entries_of(1), entries_of(1200)
        ('1 entry', '1,200 entries')
    """
    return f"{number:,} {'entry' if number == 1 else 'entries'}"
