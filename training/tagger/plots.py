"""A tagger's answers and its summary as pictures to look at.

Reads nothing: what is drawn is given as numbers. Does: draws the tags of a track over time, and the
average precision of each tag beside chance. Writes: one PNG for each, whole or not at all.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.pictures import BLACK, BLUE, GREY, ORANGE, blank, save
from training.tagger.baselines import MFCC
from training.tagger.summary import Summary, ordered

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 20  # tags of a taggram: the likeliest of the whole track
COLUMNS = 1200  # of a taggram at most: more than a picture shows
GAP = 0.38  # height of a bar, of the place that a tag has


def taggram(
    each: np.ndarray, tags: Sequence[str], seconds: float, step: float, name: str, path: Path
) -> None:
    """(patches, tags) probabilities, one patch every `step` seconds."""
    _saved(taggram_figure(each, tags, seconds, step, name), path)


def tags(told: Summary, path: Path) -> None:
    """Average precision of each tag, ours beside the baseline."""
    _saved(tags_figure(told), path)


def _saved(figure: "Figure", path: Path) -> None:
    """Names come from all over the world: a character that the font lacks is drawn as a box."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        save(figure, path)


def taggram_figure(
    each: np.ndarray, tags: Sequence[str], seconds: float, step: float, name: str
) -> "Figure":
    """The likeliest tags of the whole track on top, with their means beside them."""
    mean = each.mean(0)
    order = np.argsort(-mean, kind="stable")[:SHOWN]
    figure = blank(10, 1.9 + 0.24 * len(order))
    left, right = figure.subplots(1, 2, width_ratios=[5, 1], sharey=True)
    end = max(seconds, step * len(each))
    image = left.imshow(
        thinned(each)[:, order].T, cmap="magma", vmin=0, vmax=1, aspect="auto",
        extent=(0, step * len(each), len(order) - 0.5, -0.5), interpolation="nearest",
    )  # fmt: skip
    left.set_xlim(0, end)
    left.set_facecolor(GREY)  # an end too short for a patch was not heard
    names = [tags[k] for k in order]  # a dollar in a name is a dollar
    left.set_yticks(range(len(order)), names, fontsize=8, parse_math=False)
    left.set_xlabel("time, s")
    right.barh(range(len(order)), mean[order], color=BLUE, height=0.8)
    right.set_xlim(0, max(0.05, 1.25 * float(mean.max())))
    for row, value in enumerate(mean[order]):
        right.text(value, row, f" {100 * value:.0f} %", va="center", fontsize=7, color=BLACK)
    right.set_xlabel("mean")
    right.xaxis.set_ticks([])
    for side in ("top", "right", "bottom"):
        right.spines[side].set_visible(False)
    figure.colorbar(image, ax=left, label="probability", location="bottom", aspect=50, shrink=0.6)
    figure.suptitle(name, fontsize=11, parse_math=False)
    return figure


def thinned(each: np.ndarray) -> np.ndarray:
    """No more rows than a picture has columns, each the mean of some."""
    if len(each) <= COLUMNS:
        return each
    return np.stack([part.mean(0) for part in np.array_split(each, COLUMNS)])


def tags_figure(told: Summary) -> "Figure":
    """The best tag first; a grey line is chance, which is how often the tag is given."""
    ours = told["systems"][told["ours"]]
    held = {tag: one for tag, one in ours["tags"].items() if one["average_precision"] is not None}
    names = sorted(held, key=lambda tag: -held[tag]["average_precision"])
    others = [name for name in ordered(told)[1:] if name == MFCC] or ordered(told)[1:2]
    figure = blank(7.5, 1.7 + (0.36 if len(names) <= 25 else 0.26) * max(1, len(names)))
    axes = figure.subplots()
    places = np.arange(len(names))
    shown = [told["ours"], *others]
    for i, name in enumerate(shown):
        one = told["systems"][name]
        values = [one["tags"][tag]["average_precision"] or 0.0 for tag in names]
        offset = (i - (len(shown) - 1) / 2) * GAP
        label = f"{name}: {one['pr_auc']['mean']:.3f}"
        axes.barh(places + offset, values, GAP, color=(BLUE, ORANGE)[i], label=label)
    chance = [held[tag]["tracks"] / told["tracks"] for tag in names]
    axes.vlines(chance, places - 0.45, places + 0.45, color=GREY, lw=2, label="chance")
    rows = [f"{tag} ({held[tag]['tracks']})" for tag in names]
    axes.set_yticks(places, rows, fontsize=9, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1.01)
    axes.set_xlabel("average precision")
    axes.grid(alpha=0.3, axis="x")
    axes.set_axisbelow(True)
    title = f"{told['recipe']}, test: {told['tracks']} tracks; mean over tags"
    figure.legend(loc="outside upper center", ncols=3, fontsize=9, title=title)
    return figure
