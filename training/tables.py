"""What the tables of any model share: numbers, intervals and columns as plain text.

Reads and writes nothing. Does: lays out what is given, "-" where there is none.
"""

from collections.abc import Mapping, Sequence
from typing import Any


def number(value: float | None, places: int) -> str:
    return "-" if value is None else f"{round(value, places) + 0.0:.{places}f}"  # no -0.0


def bounds(found: Mapping[str, Any], places: int) -> str:
    """`low` and `high`."""
    if found["low"] is None:
        return "-"
    return f"[{number(found['low'], places)}, {number(found['high'], places)}]"


def difference(found: Mapping[str, Any], places: int) -> str:
    """A `mean` with its sign, and its bounds."""
    if found["mean"] is None:
        return "-"
    return f"{round(found['mean'], places) + 0.0:+.{places}f} {bounds(found, places)}"


def scaled(value: float | None) -> str:
    """With k, M or G."""
    if value is None:
        return "-"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def columns(rows: Sequence[Sequence[str | None]]) -> str:
    """As wide as their widest cell; the first to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    wide = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = []
    for row in cells:
        first, *others = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, wide, strict=True))
        ]
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)
