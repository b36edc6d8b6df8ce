"""What pictures of any model share: colours, coloured tables, spectrograms, PNG files.

Reads nothing: what is drawn is given as numbers. Does: draws on figures of its own, so that nothing
global changes. Writes: a PNG, whole or not at all.

Colours are those of Okabe and Ito (2008), told apart by colour-blind eyes, with a marker each.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.durable import write
from training.errors import RunError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, BLACK, GREY = "#0072B2", "#E69F00", "#009E73", "#000000", "#767676"
COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
MARKERS = "osD^vPX"
DPI = 110
WINDOW = 0.04  # seconds, rounded to a power of two samples
COLUMNS = 1500  # of a spectrogram at most: more than a picture shows
RANGE = 80.0  # dB that the colours span
SILENT = -60.0  # dB: what is softer than this throughout stays dark


def blank(width: float, height: float) -> "Figure":
    """A figure of so many inches. matplotlib is imported here: most commands draw nothing."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RunError("no pictures without matplotlib", got=error, do="run make torch") from error
    return Figure(figsize=(width, height), layout="constrained")


def save(figure: "Figure", path: Path) -> None:
    """As a PNG."""
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=DPI)
    write(path, [held.getvalue()])


def heat(
    axes: "Axes",
    values: np.ndarray,
    shown: Sequence[Sequence[str]],
    down: Sequence[str],
    across: Sequence[str],
) -> None:
    """A table whose cells are coloured: blue is above 0, red below."""
    finite = np.abs(values[np.isfinite(values)])
    most = max(float(finite.max()) if len(finite) else 0.0, 1e-9)
    axes.imshow(values, cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
    axes.set_xticks(range(len(across)), across)
    axes.set_yticks(range(len(down)), down)
    for (y, x), value in np.ndenumerate(values):
        dark = np.isfinite(value) and abs(value) > 0.6 * most
        colour = "white" if dark else BLACK
        axes.text(x, y, shown[y][x], ha="center", va="center", color=colour, fontsize=9)


def spectrograms(
    noisy: np.ndarray, estimate: np.ndarray, clean: np.ndarray, rate: int, title: str, path: Path
) -> None:
    """Before, after and clean side by side on one scale; (samples,) at `rate` Hz."""
    save(spectrograms_figure(noisy, estimate, clean, rate, title), path)


def spectrograms_figure(
    noisy: np.ndarray, estimate: np.ndarray, clean: np.ndarray, rate: int, title: str
) -> "Figure":
    """The three panels share both axes and the colours."""
    parts = [spectrogram(wave, rate) for wave in (noisy, estimate, clean)]
    top = max(SILENT, *(float(part.max()) for part in parts))
    figure = blank(13, 4.2)
    grid = figure.subplots(1, 3, sharex=True, sharey=True)
    for axes, part, name in zip(grid, parts, ("before", "after", "clean"), strict=True):
        image = axes.imshow(
            part, origin="lower", aspect="auto", cmap="magma", vmin=top - RANGE, vmax=top,
            extent=(0, max(len(noisy), 1) / rate, 0, rate / 2), interpolation="nearest",
        )  # fmt: skip
        axes.set_title(name)
        axes.set_xlabel("time, s")
    grid[0].set_ylabel("frequency, Hz")
    figure.colorbar(image, ax=grid, label="level, dB (a full sine is 0)", pad=0.01)
    figure.suptitle(title)
    return figure


def spectrogram(wave: np.ndarray, rate: int) -> np.ndarray:
    """(bins, frames) in dB, of Hann windows a quarter apart (more, for a long wave)."""
    size = 2 ** max(4, round(float(np.log2(WINDOW * rate))))
    hop = max(size // 4, len(wave) // COLUMNS)
    window = np.hanning(size + 1)[:-1]
    padded = np.pad(wave.astype(np.float64), (size // 2, size // 2 + 1))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    power = np.abs(np.fft.rfft(frames * window)) ** 2 / (window.sum() / 2) ** 2
    return np.asarray(10 * np.log10(power + 1e-14).T)
