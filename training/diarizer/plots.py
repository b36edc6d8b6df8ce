"""Who speaks when, and a diarizer's errors, as pictures to look at.

Reads nothing: what is drawn is given as turns and plain numbers. Does: draws the truth above what
was found, in the same colours for the same voices; what each system gets wrong. Writes: one PNG for
each, whole or not at all.

A recording longer than SHORT is broken into lines, as a text is.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.diarizer import scores
from training.diarizer.rttm import Turn
from training.diarizer.scores import speakers
from training.diarizer.summary import Summary, ordered
from training.pictures import BLACK, BLUE, COLOURS, GREY, ORANGE, blank, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHORT = 120.0  # seconds that one line holds well
LINES = 12  # at most
STEPS = (30, 60, 120, 300, 600, 900, 1800, 3600, 7200)  # seconds that lines may hold
STRANGE = "#BBBBBB"  # of a voice that nobody has in truth
RED = "#D55E00"
TRUTH, WRONG, FOUND = "truth", "wrong", "found"
LANE, WIDE, SPACE = 0.13, 0.3, 0.42  # inches of a voice, in many lines or one; beside them
PARTS = {"missed": BLUE, "false": ORANGE, "confused": RED}


def timeline(rows: Mapping[str, Sequence[Turn]], seconds: float, title: str, path: Path) -> None:
    """Of a recording so many seconds long. `rows` are the turns that were "found" and, where it is
    known, the "truth"."""
    save(timeline_figure(rows.get("truth", ()), rows.get("found", ()), seconds, title), path)


def timeline_figure(
    truth: Sequence[Turn], found: Sequence[Turn], seconds: float = 0.0, title: str = ""
) -> "Figure":
    """A lane a voice: those of the truth, a lane of errors, those that were found."""
    seconds = max([seconds, *(turn.end for turn in (*truth, *found)), 0.1])
    line = line_of(seconds)
    count = math.ceil(round(seconds / line, 6))
    who = scores.named(truth, found)
    colours = coloured(truth, found, who)
    lanes = _lanes(truth, found, who)
    lane = WIDE if count == 1 else LANE
    figure = blank(13, 1.1 + count * (lane * max(2, len(lanes)) + SPACE))
    grid = figure.subplots(count, 1, squeeze=False)[:, 0]
    held = _spans(truth, found)
    for number, axes in enumerate(grid):
        begin = number * line
        for y, (side, name) in enumerate(lanes):
            spans = held.get((side, name), np.zeros((0, 2)))
            inside = (spans[:, 0] < begin + line) & (spans[:, 0] + spans[:, 1] > begin)
            colour = BLACK if side == WRONG else colours[side, name]
            axes.broken_barh(spans[inside], (y - 0.42, 0.84), facecolors=colour, linewidth=0)
        _ruled(axes, begin, line, lanes, seconds)
        _named(axes, lanes, count == 1)
    _words(figure, truth, found, colours, title)
    return figure


def _spans(truth: Sequence[Turn], found: Sequence[Turn]) -> dict[tuple[str, str], np.ndarray]:
    """Lane -> (n, 2) starts and lengths."""
    wrong = [Turn(*span, "") for span in scores.wrong(truth, found)]
    held: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for side, turns in ((TRUTH, truth), (WRONG, wrong), (FOUND, found)):
        for turn in turns:
            held.setdefault((side, turn.speaker), []).append((turn.start, turn.end - turn.start))
    return {lane: np.array(spans) for lane, spans in held.items()}


def line_of(seconds: float) -> float:
    """Seconds of a line."""
    if seconds <= SHORT:
        return seconds
    return float(next((s for s in STEPS if s >= seconds / LINES), math.ceil(seconds / LINES)))


def coloured(
    truth: Sequence[Turn], found: Sequence[Turn], who: Mapping[str, str]
) -> dict[tuple[str, str], str]:
    """("truth" or "found", voice) -> colour: one that was found has that of whom it is. Without a
    truth all have their own."""
    names = speakers(truth) or speakers(found)
    own = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    told = {(TRUTH, name): own[name] for name in speakers(truth)}
    if not truth:
        return {(FOUND, name): own[name] for name in names}
    return told | {(FOUND, n): own[who[n]] if n in who else STRANGE for n in speakers(found)}


def _lanes(
    truth: Sequence[Turn], found: Sequence[Turn], who: Mapping[str, str]
) -> list[tuple[str, str]]:
    """From above; what was found in the order of whom it is, strangers last."""
    true = speakers(truth)
    order = {name: true.index(who[name]) if name in who else len(true) for name in speakers(found)}
    lanes = [(TRUTH, name) for name in true]
    lanes += [(WRONG, "")] if truth else []
    return lanes + [(FOUND, name) for name in sorted(order, key=lambda n: (order[n], n))]


def _ruled(
    axes: "Axes", begin: float, line: float, lanes: Sequence[tuple[str, str]], seconds: float
) -> None:
    axes.set_xlim(begin, begin + line)
    axes.set_ylim(max(len(lanes), 1) - 0.4, -0.6)
    if begin + line > seconds + 1e-6:
        axes.axvspan(seconds, begin + line, color="#EEEEEE", lw=0)  # it is over
    step = next((s for s in (1, 2, 5, 10, 30, 60, 300, 600, 1800) if line / s <= 12), 3600)
    ticks = np.arange(math.ceil(begin / step) * step, begin + line + 1e-6, step)
    axes.set_xticks(ticks, [clock(x) for x in ticks], fontsize=8)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _named(axes: "Axes", lanes: Sequence[tuple[str, str]], each: bool) -> None:
    """What lanes are: each by its name, or their sides alone."""
    words: dict[float, str] = {}
    for side in (TRUTH, WRONG, FOUND):
        places = [y for y, lane in enumerate(lanes) if lane[0] == side]
        if places and places[0]:
            axes.axhline(places[0] - 0.5, color=GREY, lw=0.5)
        if each and side != WRONG:
            words |= {y: f"{_short(lanes[y][1])}, {side}" for y in places}
        elif places:
            words[float(np.mean(places))] = side
    axes.set_yticks(list(words), list(words.values()), fontsize=8)
    axes.tick_params(axis="y", length=0)


def _words(
    figure: "Figure", truth: Sequence[Turn], found: Sequence[Turn],
    colours: Mapping[tuple[str, str], str], title: str,
) -> None:  # fmt: skip
    from matplotlib.patches import Patch

    who = scores.named(truth, found)
    back = {true: name for name, true in who.items()}
    patches = []
    for (side, name), colour in colours.items():
        if side == TRUTH:
            label = f"{_short(name)} (found as {_short(back[name])})" if name in back else (
                f"{_short(name)} (not found)"
            )  # fmt: skip
            patches.append(Patch(color=colour, label=label))
        elif name not in who:
            label = f"{_short(name)} (nobody)" if truth else _short(name)
            patches.append(Patch(color=colour, label=label))
    if patches:
        figure.legend(handles=patches, loc="outside lower center", ncols=4, fontsize=8)
    rate = f"DER {100 * scores.errors(truth, found).rate:.1f} %" if truth else ""
    parts = [part for part in (title, rate) if part]
    figure.suptitle(": ".join(parts).replace("$", r"\$"), fontsize=11)


def _short(name: str) -> str:
    """A name of any length; a dollar would begin a formula."""
    return (name if len(name) <= 24 else name[:23] + "…").replace("$", r"\$")


def clock(seconds: float) -> str:
    """Such as 4:05 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def errors(told: Summary, path: Path) -> None:
    """What each system misses, makes up and confuses."""
    save(errors_figure(told), path)


def errors_figure(told: Summary) -> "Figure":
    names = ordered(told)
    figure = blank(9, 1.9 + 0.45 * len(names))
    axes = figure.subplots()
    left = np.zeros(len(names))
    for part, colour in PARTS.items():
        wide = np.array([100 * (told["systems"][name][part] or 0.0) for name in names])
        axes.barh(range(len(names)), wide, left=left, color=colour, label=part, height=0.6)
        left += wide
    ends = left.copy()
    for y, name in enumerate(names):
        der = told["systems"][name]["der"]
        if der["low"] is not None:
            low, high = 100 * der["low"], 100 * der["high"]
            axes.plot([low, high], [y, y], color=BLACK, lw=1, marker="|", ms=7)
            ends[y] = max(ends[y], high)
    for y, end in enumerate(ends):
        axes.annotate(f"{left[y]:.1f}", (end, y), (4, 0), textcoords="offset points",
                      va="center", fontsize=9)  # fmt: skip
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1.08 * max([*ends, 1.0]))
    axes.set_xlabel("% of the speech; the line is the 95 % interval of their sum, the DER")
    figure.legend(loc="outside lower center", ncols=len(PARTS), fontsize=9)
    title = f"{told['recipe']}, test: " if told["recipe"] else ""
    figure.suptitle(f"{title}{told['recordings']} recordings".replace("$", r"\$"), fontsize=11)
    return figure
