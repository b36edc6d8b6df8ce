"""What is looked for in pictures: points of lines, words and legends that lie on something, size.

Reads figures and files; writes nothing.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np

from training.pictures import DPI


def points(line: Any) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.array(line.get_data()).T]


def assert_png(path: Path, least: int = 1) -> None:
    """A picture that is so many dots wide at least."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert struct.unpack(">I", data[16:20])[0] >= least


def assert_legend_covers_nothing(figure: Any) -> None:
    """It lies inside the picture, and on no panel."""
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert not any(box.overlaps(axes.get_window_extent()) for axes in figure.axes)
    assert figure.bbox.contains(box.x0, box.y0)
    assert figure.bbox.contains(box.x1, box.y1)


def assert_apart(figure: Any) -> None:
    """Of each panel, as it is drawn: no word on another one, nothing outside the picture."""
    figure.set_dpi(DPI)
    figure.draw_without_rendering()
    for axes in figure.axes:
        words = [*axes.get_xticklabels(), *axes.get_yticklabels(), *axes.texts]
        words += [axes.xaxis.label, axes.yaxis.label, axes.title]
        boxes = [w.get_window_extent() for w in words if w.get_text() and w.get_visible()]
        apart = [not a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]]
        assert all(apart)
        held, whole = axes.get_tightbbox(), figure.bbox
        assert held.x0 >= 0
        assert held.y0 >= 0
        assert held.x1 <= whole.x1
        assert held.y1 <= whole.y1
