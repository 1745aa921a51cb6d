"""Plain tables: ASCII only, so that they survive every log, terminal and mail."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from agentperf_core.errors import ConfigError

__all__ = ["table"]


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns with a rule under the headers; columns of figures are right-aligned.

    A column counts as figures if every filled cell begins with a digit, a sign or a currency.
    `None` is an empty cell. The first column is always left-aligned: it names the row.

    Args:
        headers: the column names.
        rows: the cells; each row as long as `headers`.

    Raises:
        ConfigError: if a row has another length than `headers`.

    Example:
        >>> print(table(["kind", "spans"], [["llm", 2], ["tool", 14]]))
        kind  spans
        ----  -----
        llm       2
        tool     14
    """
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    for row in cells:
        if len(row) != len(headers):
            msg = (
                f"every row needs one cell per header ({len(headers)}), got {len(row)}: {row!r}; "
                "use None for an empty cell"
            )
            raise ConfigError(msg)
    columns = [[header, *(row[i] for row in cells)] for i, header in enumerate(headers)]
    widths = [max(map(_width, column)) for column in columns]
    right = [i > 0 and _is_figures(column[1:]) for i, column in enumerate(columns)]
    lines = [headers, ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(
            _pad(cell, width, right=to_right)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _width(text: str) -> int:
    # East Asian wide characters take two cells in a terminal, combining marks none.
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _pad(cell: str, width: int, *, right: bool) -> str:
    blank = " " * (width - _width(cell))
    return blank + cell if right else cell + blank


def _is_figures(column: Sequence[str]) -> bool:
    filled = [cell for cell in column if cell and cell != "-"]
    return bool(filled) and all(cell[0].isdigit() or cell[0] in "+-<$~" for cell in filled)
