"""A denoiser's curves and tables as pictures to look at.

Reads nothing: what is drawn is given as plain numbers. Does: draws how training went, how much is
gained at which noise, one domain against another. Writes: one PNG for each, whole or not at all.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.denoiser.summary import INPUT, Summary
from training.history import LOSS, RATE, Panel, Row
from training.history import history as curves
from training.pictures import BLACK, COLOURS, GREY, MARKERS, blank, heat, save, spectrograms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["gains", "history", "matrix", "spectrograms"]

GAIN = "si_sdr_gain"  # its key in a run's metrics
PANELS = (LOSS, Panel(GAIN, "SI-SDR gain, dB", "dB", (0.0, "doing nothing")), RATE)


def history(
    rows: Sequence[Row], path: Path, *, steps: int = 0, score: str = GAIN, title: str = ""
) -> None:
    """How a run went, from its metrics."""
    curves(rows, path, panels=PANELS, steps=steps, score=score, title=title)


def gains(told: Summary, path: Path) -> None:
    """What each system gains at each level; ours by noise and level."""
    save(gains_figure(told), path)


def matrix(cells: Mapping[str, Mapping[str, Mapping[str, Any]]], path: Path) -> None:
    """Networks down, recipes across, as `matrix_table` takes them."""
    save(matrix_figure(cells), path)


def gains_figure(told: Summary) -> "Figure":
    """Lines over the levels, the mean with its interval beside them; for several kinds of noise a
    table of ours below."""
    own = told["ours"]
    kinds = told["systems"][own]["kinds"] if own else {}
    table = len(kinds) > 1
    height = 4.6 + (1.1 + 0.36 * len(kinds) if table else 0)
    figure = blank(9, height)
    ratios = [4.4, height - 4.4] if table else [1]
    grid = figure.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
    _lines(grid[0], told, own)
    if own and table:
        _cells(figure, grid[1], told, own)
    figure.suptitle(f"{told['recipe']}, {told['split']}: {told['mixtures']} mixtures")
    return figure


def _lines(axes: "Axes", told: Summary, own: str | None) -> None:
    names = [name for name in told["systems"] if name != INPUT]
    names.sort(key=lambda name: name != own)
    levels, end = told["levels"], len(told["levels"]) + 0.4
    for i, name in enumerate(names):
        one, colour = told["systems"][name], COLOURS[i % len(COLOURS)]
        form: dict[str, Any] = {"color": colour, "marker": MARKERS[i % len(MARKERS)], "ms": 5}
        wide = 2.4 if name == own else 1.3
        found = [one["levels"][f"{x:g}"]["gain"] for x in levels]
        axes.plot(range(len(levels)), _floats(found), lw=wide, label=name, **form)
        mean, low, high = (one["over"]["gain"][part] for part in ("mean", "low", "high"))
        if mean is not None:
            reach = None if low is None else [[mean - low], [high - mean]]
            at = end + (i - (len(names) - 1) / 2) * 0.8 / len(names)
            axes.errorbar([at], [mean], reach, capsize=4, lw=wide, **form)
    axes.axhline(0, color=BLACK, lw=1, ls="--", label="doing nothing")
    axes.axvline(len(levels) - 0.3, color=GREY, lw=0.6)
    span = told["span"]
    over = f"{span[0]:g} to {span[-1]:g}" if len(span) > 1 else f"{span[0]:g}"
    words = [*(f"{x:g}" for x in levels), f"mean of {over}\n95 % interval"]
    axes.set_xticks([*range(len(levels)), end], words)
    axes.set_xlim(-0.5, end + 0.7)
    axes.set_xlabel("SNR of the input, dB" if told["unit"] == "dB" else _SIGMA)
    axes.set_ylabel("SI-SDR gain, dB")
    axes.grid(alpha=0.3, axis="y")
    axes.legend(fontsize=8, ncols=2 if len(names) > 4 else 1)


_SIGMA = "standard deviation of the noise"


def _cells(figure: "Figure", axes: "Axes", told: Summary, own: str) -> None:
    kinds, levels = told["systems"][own]["kinds"], [f"{x:g}" for x in told["levels"]]
    found = [_floats(kind["levels"][x]["gain"] for x in levels) for kind in kinds.values()]
    shown = [[_signed(value) for value in row] for row in found]
    heat(axes, np.array(found), shown, list(kinds), levels)
    axes.set_title(f"gain of {own} by noise, dB", fontsize=10)
    axes.set_xlabel("SNR of the input, dB" if told["unit"] == "dB" else _SIGMA)


def matrix_figure(cells: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> "Figure":
    """Mean gain of each network on each recipe."""
    down, across = list(cells), list(next(iter(cells.values())))
    found = np.array([_floats(cells[name][on]["mean"] for on in across) for name in down])
    shown = [[_cell(cells[name][on]) for on in across] for name in down]
    figure = blank(2.6 + 2.2 * len(across), 1.7 + 0.9 * len(down))
    axes = figure.subplots()
    heat(axes, found, shown, down, across)
    axes.set_ylabel("network")
    axes.set_xlabel("on the test split of")
    figure.suptitle("mean SI-SDR gain, dB", fontsize=11)
    return figure


def _cell(cell: Mapping[str, Any]) -> str:
    text = _signed(cell["mean"])
    if cell.get("low") is not None:
        text += f"\n[{cell['low']:.1f} {cell['high']:.1f}]"
    return text + (f"\nat {cell['rate']} Hz" if cell.get("rate") else "")


def _signed(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{round(value, 1) + 0.0:+.1f}"


def _floats(values: Any) -> list[float]:
    return [math.nan if value is None else float(value) for value in values]
