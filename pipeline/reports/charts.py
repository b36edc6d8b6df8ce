"""Charts of a page, as HTML and SVG.

Reads and writes nothing. Does: bars of three splits, histograms, plots of points. Places along the
width are shares of it, so that a chart fits any screen while its letters stay as they are.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.layouts.splits import SPLITS
from pipeline.reports.words import brief, name, safe, whole

Tick = tuple[float, str]  # a share of the axis, from the left or from the bottom; what stands there


def key(parts: Sequence[tuple[str, str]]) -> str:
    """What the colours mean: (class, meaning)."""
    inner = "".join(f'<span><i class="{kind}"></i>{safe(what)}</span>' for kind, what in parts)
    return f'<div class="key">{inner}</div>'


SPLIT_KEY = key([(split, split) for split in SPLITS])


def bars(rows: Sequence[tuple[str, Mapping[str, float]]], head: str) -> str:
    """One bar a row, its parts the splits; all of one scale."""
    top = max((sum(parts.values()) for _, parts in rows), default=0) or 1
    heads = "".join(f'<span class="head n">{split}</span>' for split in SPLITS)
    cells = [f'<span class="head">{safe(head)}</span><span></span>{heads}']
    for what, parts in rows:
        drawn = "".join(
            f'<i class="{split}" style="width:{100 * parts.get(split, 0) / top:.2f}%"></i>'
            for split in SPLITS
            if parts.get(split, 0)
        )
        told = "".join(_count(parts.get(split, 0)) for split in SPLITS)
        cells.append(
            f'<span class="what">{name(what)}</span><span class="bar">{drawn}</span>{told}'
        )
    return f'<div class="bars">{"".join(cells)}</div>'


def _count(number: float) -> str:
    """A number; none is worth a look."""
    return f'<span class="n{"" if number else " none"}">{whole(number)}</span>'


def plot(
    body: str, height: int, across: Sequence[Tick], up: Sequence[Tick], told: str, lines: bool
) -> str:
    """`body` in axes; `told` says in words what is seen, `lines` asks for a grid."""
    parts = []
    for share, text in up:
        y = height * (1 - share)
        if lines:
            parts.append(f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text x="0" dx="-7" y="{y:.1f}" dy="4" text-anchor="end">{safe(text)}</text>'
        )
    for share, text in across:
        place = f'x="{100 * share:.2f}%" y="{height}"'
        parts.append(f'<text {place} dy="17" text-anchor="middle">{safe(text)}</text>')
    return (
        f'<div class="plot"><svg height="{height}" role="img" aria-label="{safe(told)}">'
        f"{''.join(parts)}{body}</svg></div>"
    )


def nice(top: float, most: int = 4) -> list[float]:
    """Round numbers from 0 to `top`, at most `most` steps."""
    if not top > 0:
        return [0.0]
    step = 10.0 ** np.floor(np.log10(top / most))
    step *= next(f for f in (1, 2, 2.5, 5, 10) if top / (f * step) <= most)
    return [float(step * i) for i in range(int(top / step * (1 + 1e-9)) + 1)]


def histogram(
    counts: Mapping[str, np.ndarray], across: Sequence[Tick], what: str, told: str
) -> str:
    """Columns of three splits, one on the other; `counts` has as many numbers for each."""
    height, bins = 150, len(next(iter(counts.values())))
    top = max(1.0, float(sum(counts.values(), np.zeros(bins)).max()))
    under = np.zeros(bins)
    body = []
    for split, column in counts.items():
        for i, number in enumerate(column):
            if number:
                tall = height * number / top
                y = height - height * under[i] / top - tall
                body.append(
                    f'<rect class="{split}" x="{100 * (i + 0.06) / bins:.2f}%" y="{y:.1f}" '
                    f'width="{88 / bins:.2f}%" height="{tall:.1f}"/>'
                )
        under += column
    up = [(n / top, brief(n)) for n in nice(top) if n == int(n)]
    axis = f'<line class="axis" x1="0" x2="100%" y1="{height}" y2="{height}"/>'
    return f'<p class="note">{what}</p>' + plot(
        "".join(body) + axis, height, across, up, told, lines=True
    )


def points(
    dots: Sequence[tuple[float, float]],
    across: Sequence[Tick],
    up: Sequence[Tick],
    told: str,
    ideal: tuple[float, float],
) -> str:
    """Dots at shares (from the left, from the bottom); `ideal` is where a line of those without
    fault begins and ends, from the bottom."""
    height = 190
    y1, y2 = (f"{height * (1 - share):.1f}" for share in ideal)
    body = f'<line class="ideal" x1="0" x2="100%" y1="{y1}" y2="{y2}"/>'
    body += "".join(
        f'<circle class="dot" cx="{100 * x:.2f}%" cy="{height * (1 - y):.1f}" r="3"/>'
        for x, y in dots
    )
    return plot(body, height, across, up, told, lines=True)
