"""A classifier's summary as pictures to look at.

Reads nothing: what is drawn is given as plain numbers. Does: draws what is taken for what, how sure
answers are beside how right, and F1 by class. Writes: one PNG for each, whole or not at all.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.classes.summary import Summary, rival
from training.pictures import BLACK, BLUE, GREY, ORANGE, blank, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DARK = 0.55  # share from which a cell is too dark for black words
ACROSS = 48  # letters that fit below the smallest picture
GAP = 0.38  # height of a bar, of the place that a class has


def confusion(told: Summary, path: Path) -> None:
    """What ours answers for what is true."""
    save(confusion_figure(told), path)


def calibration(told: Summary, path: Path) -> None:
    """How often ours is right that is so sure."""
    save(calibration_figure(told), path)


def classes(told: Summary, path: Path) -> None:
    """F1 of each class, ours beside the best baseline."""
    save(classes_figure(told), path)


def confusion_figure(told: Summary) -> "Figure":
    """The truth down, the answer across; colours are shares of a row, numbers are clips."""
    own = told["systems"][told["ours"]]
    counts = np.array(own["confusion"])
    names, size = told["classes"], len(told["classes"])
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    cell, font = (0.62, 9.0) if size <= 12 else (0.42, 8.5) if size <= 25 else (0.31, 7.5)
    longest = max(map(len, names))
    wide = 0.085 * longest * font / 8
    figure = blank(max(5.6, size * cell + wide + 2), max(3.6, size * cell + wide + 1.0))
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(
        range(size), names, rotation=90 if size * longest > ACROSS else 0, fontsize=font
    )
    rows = [f"{name} ({count})" for name, count in zip(names, totals[:, 0], strict=True)]
    axes.set_yticks(range(size), rows, fontsize=font)
    axes.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=0.8)
    axes.tick_params(which="minor", length=0)
    for (y, x), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[y, x] > DARK else BLACK
            axes.text(x, y, str(count), ha="center", va="center", color=colour, fontsize=font)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth (clips)")
    figure.colorbar(image, ax=axes, label="share of the clips of a class", shrink=0.7, pad=0.02)
    axes.set_title(
        f"{told['ours']}\n{_where(told)}, accuracy {100 * own['accuracy']['mean']:.1f} %",
        fontsize=11,
    )
    return figure


def calibration_figure(told: Summary) -> "Figure":
    """Above, how often an answer is right by how sure it is; below, how many are so sure."""
    own = told["systems"][told["ours"]]
    filled = [one for one in own["bins"] if one["examples"]]
    figure = blank(5.6, 6.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    middles = [(one["low"] + one["high"]) / 2 for one in own["bins"]]
    width = middles[1] - middles[0]
    held = [one["accuracy"] or 0.0 for one in own["bins"]]
    upper.bar(middles, held, 0.94 * width, color=BLUE, alpha=0.75, label="right")
    sure = [one["confidence"] for one in filled]
    right = [one["accuracy"] for one in filled]
    upper.plot([0, 1], [0, 1], "--", color=BLACK, lw=1, label="as sure as right")
    upper.vlines(sure, right, sure, color=ORANGE, lw=2.5, label="how far apart")
    upper.set_ylim(0, 1.02)
    upper.set_ylabel("share of right answers")
    lower.bar(middles, [one["examples"] for one in own["bins"]], 0.94 * width, color=GREY)
    lower.set_ylabel("clips")
    lower.set_xlabel("probability of the answer")
    lower.set_xlim(0, 1)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    for axes in (upper, lower):
        axes.grid(alpha=0.3, axis="y")
        axes.set_axisbelow(True)
    figure.suptitle(
        f"{told['ours']}\n{_where(told)}\nexpected calibration error {100 * own['ece']:.1f} %",
        fontsize=11,
    )
    return figure


def classes_figure(told: Summary) -> "Figure":
    """The best class first, with the mean over classes as lines."""
    own = told["systems"][told["ours"]]["classes"]
    names = sorted(told["classes"], key=lambda name: -(own[name]["f1"] or 0.0))
    figure = blank(7.5, 1.7 + (0.36 if len(names) <= 25 else 0.28) * len(names))
    axes = figure.subplots()
    shown = [name for name in (told["ours"], rival(told)) if name]
    for i, name in enumerate(shown):
        _bars(axes, told, name, names, (i - (len(shown) - 1) / 2) * GAP, (BLUE, ORANGE)[i])
    rows = [f"{name} ({own[name]['examples']})" for name in names]
    axes.set_yticks(range(len(names)), rows, fontsize=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("F1; lines: the mean over classes")
    axes.grid(alpha=0.3, axis="x")
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=len(shown), fontsize=9, title=_where(told))
    return figure


def _bars(
    axes: "Axes", told: Summary, name: str, names: list[str], offset: float, colour: str
) -> None:
    one = told["systems"][name]
    held = [one["classes"][label]["f1"] or 0.0 for label in names]
    mean = one["macro_f1"]["mean"]
    label = f"{name}: {100 * mean:.1f} %"
    axes.barh(np.arange(len(names)) + offset, held, GAP, color=colour, label=label)
    axes.axvline(mean, color=colour, lw=1.2, ls="--")


def _where(told: Summary) -> str:
    where = f"{told['folds']} folds" if told["folds"] else told["split"]
    return f"{told['recipe']}, {where}: {told['examples']} clips"
