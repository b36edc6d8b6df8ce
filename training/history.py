"""How a run of any model went, as a picture.

Reads nothing: it is given the rows of metrics.jsonl. Does: draws what was measured over the epochs,
one panel above the other, and marks the best. Writes: a PNG, whole or not at all.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.pictures import BLACK, BLUE, GREEN, ORANGE, blank, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 30  # points, below which each is marked

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Panel:
    """One measure over the epochs."""

    key: str  # in the rows
    label: str  # of its axis
    unit: str = ""
    level: tuple[float, str] | None = None  # a line to compare with, and what it means


LOSS = Panel("loss", "loss")
RATE = Panel("rate", "learning rate")


def history(
    rows: Sequence[Row],
    path: Path,
    *,
    panels: Sequence[Panel],
    steps: int = 0,
    score: str = "-loss",
    title: str = "",
) -> None:
    """A run from its metrics. `panels` from top to bottom, of which those are drawn that there is a
    value of; `steps` in an epoch (0: as the first validation tells); `score` by which the best
    epoch is judged (with a minus, lower is better)."""
    save(history_figure(rows, panels, steps, score, title or path.resolve().parent.name), path)


def history_figure(
    rows: Sequence[Row], panels: Sequence[Panel], steps: int, score: str, title: str
) -> "Figure":
    ends = [row["step"] for row in rows if row["kind"] == "valid"]
    steps = steps or min(ends, default=0)
    panels = [panel for panel in panels if _points(rows, panel.key)[0]] or panels[:1]
    figure = blank(8, 1 + 2.2 * len(panels))
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    best = best_row(rows, score)
    for axes, panel in zip(grid, panels, strict=True):
        _lines(axes, rows, panel, steps)
        _best(axes, best, panel, steps)
        _loss_or_rate(axes, panel.key)
        axes.set_ylabel(panel.label)
        axes.grid(alpha=0.3)
        if panel.key != RATE.key and axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    grid[-1].set_xlabel("epoch" if steps else "step")
    grid[-1].locator_params(axis="x", integer=True)
    grid[-1].set_xlim(left=0)
    figure.suptitle(title)
    return figure


def best_row(rows: Sequence[Row], score: str) -> Row | None:
    """The validation with the best score, the first among equals; by its loss if there is no such
    score."""
    name, sign = score.lstrip("-"), -1 if score.startswith("-") else 1
    found = [row for row in rows if row["kind"] == "valid"]
    held = [row for row in found if row.get(name) is not None]
    if not held:
        name, sign = "loss", -1
        held = [row for row in found if row.get(name) is not None]
    return max(held, key=lambda row: sign * row[name], default=None)


def _points(
    rows: Sequence[Row], key: str, kind: str = "", steps: int = 0
) -> tuple[list[float], list[float]]:
    """(epochs, values) where there is a value."""
    held = [row for row in rows if row["kind"] in (kind or row["kind"])]
    held = [row for row in held if row.get(key) is not None]
    return [row["step"] / max(steps, 1) for row in held], [row[key] for row in held]


def _lines(axes: "Axes", rows: Sequence[Row], panel: Panel, steps: int) -> None:
    for kind, name, colour in (("train", "train", ORANGE), ("valid", "validation", BLUE)):
        x, y = _points(rows, panel.key, kind, steps)
        form = "o-" if kind == "valid" or len(x) < FEW else "-"
        if x:
            axes.plot(x, y, form, color=colour, ms=4, lw=1.4, label=name)
    if panel.level:
        axes.axhline(panel.level[0], color=BLACK, lw=1, ls="--", label=panel.level[1])


def _best(axes: "Axes", best: Row | None, panel: Panel, steps: int) -> None:
    if best is None:
        return
    at = best["step"] / max(steps, 1)
    axes.axvline(at, color=GREEN, lw=1, ls=":")
    if best.get(panel.key) is not None:
        what = f"epoch {math.ceil(at)}" if steps else f"step {best['step']}"
        label = f"best {what}: {best[panel.key]:.3g} {panel.unit}".rstrip()
        axes.plot([at], [best[panel.key]], "*", color=GREEN, ms=13, label=label, zorder=3)


def _loss_or_rate(axes: "Axes", key: str) -> None:
    lines = [np.asarray(line.get_ydata(), float) for line in axes.get_lines()]
    values = [float(value) for line in lines for value in line]
    if key == LOSS.key and values and min(values) > 0 and max(values) > 10 * min(values):
        axes.set_yscale("log")
    if key == RATE.key:
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
