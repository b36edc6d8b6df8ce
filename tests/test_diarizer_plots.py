"""Timelines and bars: what is drawn where, in whose colour, and what is said beside it.

Writes pictures in pytest's folders.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from tests.pictured import assert_apart, assert_legend_covers_nothing  # noqa: E402
from training.diarizer import plots  # noqa: E402
from training.diarizer.rttm import Turn  # noqa: E402
from training.diarizer.summary import score, summary  # noqa: E402
from training.pictures import BLACK, BLUE, ORANGE  # noqa: E402

TRUTH = [Turn(0, 10, "Ann"), Turn(8, 20, "Bo"), Turn(25, 30, "Ann")]
FOUND = [Turn(0, 9, "s2"), Turn(8, 20, "s1"), Turn(25, 30, "s2"), Turn(40, 41, "s3")]


def lanes(axes: Any) -> dict[float, tuple[str, list[tuple[float, float]]]]:
    """Middle of a lane -> its colour, and spans in seconds."""
    from matplotlib.colors import to_hex

    found = {}
    for held in axes.collections:
        boxes = [path.get_extents() for path in held.get_paths()]
        if boxes:
            spans = [(round(box.x0, 3), round(box.x1, 3)) for box in boxes]
            middle = round((boxes[0].y0 + boxes[0].y1) / 2)
            found[middle] = (to_hex(held.get_facecolor()[0]).upper(), spans)
    return found


def words(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_truth_stands_above_what_was_found_in_the_same_colours() -> None:
    figure = plots.timeline_figure(TRUTH, FOUND, 60.0, "talk.wav")
    (axes,) = figure.axes
    assert lanes(axes) == {
        0: (BLUE, [(0, 10), (25, 30)]),
        1: (ORANGE, [(8, 20)]),
        2: (BLACK, [(9, 10), (40, 41)]),
        3: (BLUE, [(0, 9), (25, 30)]),
        4: (ORANGE, [(8, 20)]),
        5: (plots.STRANGE, [(40, 41)]),
    }
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "Ann, truth", "Bo, truth", "wrong", "s2, found", "s1, found", "s3, found",
    ]  # fmt: skip
    assert words(figure) == ["Ann (found as s2)", "Bo (found as s1)", "s3 (nobody)"]
    assert figure.get_suptitle() == "talk.wav: DER 7.4 %"
    assert axes.get_xlim() == (0, 60)
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # from above


def test_without_truth_each_has_a_colour_of_its_own() -> None:
    figure = plots.timeline_figure([], FOUND, 60.0, "talk.wav")
    colours = [colour for colour, _ in lanes(figure.axes[0]).values()]
    assert len(set(colours)) == 3
    assert figure.get_suptitle() == "talk.wav"
    assert words(figure) == ["s1", "s2", "s3"]


def test_a_long_recording_is_broken_into_lines() -> None:
    turns = [Turn(290, 310, "a"), Turn(3500, 3601, "b")]
    figure = plots.timeline_figure(turns, turns, 3605.0)
    assert [axes.get_xlim()[0] for axes in figure.axes] == list(range(0, 3605, 600))
    figure = plots.timeline_figure(turns, turns, 3600.0)
    assert len(figure.axes) == 7  # turns go beyond its end
    figure = plots.timeline_figure(turns[:1], turns[:1], 3600.0)
    assert [axes.get_xlim() for axes in figure.axes] == [(x, x + 300) for x in range(0, 3600, 300)]
    assert lanes(figure.axes[0])[0][1] == lanes(figure.axes[1])[0][1] == [(290, 310)]
    assert not lanes(figure.axes[2])


@pytest.mark.parametrize(
    ("seconds", "line"), [(5, 5), (120, 120), (121, 30), (1800, 300), (3600, 300), (86400, 7200)]
)
def test_lines_of_round_times(seconds: float, line: float) -> None:
    assert plots.line_of(seconds) == line
    assert plots.line_of(500_000) * plots.LINES >= 500_000


def test_hostile_names_and_nothing_at_all_are_drawn(tmp_path: Path) -> None:
    name = r"$\frac{" + "x" * 200
    turns = [Turn(0, 1, name), Turn(1, 2, "b$"), Turn(1, 2, "_c")]
    path = tmp_path / "a.png"
    for rows in ({"truth": turns, "found": turns}, {"found": turns}, {"found": []}, {}):
        plots.timeline(rows, 2.0, name, path)
        assert path.read_bytes().startswith(b"\x89PNG")
    assert "_c (found as _c)" in words(plots.timeline_figure(turns, turns))


def measured(names: list[str]) -> Any:
    rows = []
    for i, name in enumerate(names):
        for k in range(4):
            off = 0.5 * i + 0.1 * k
            found = [Turn(off, 9, "x"), Turn(8, 20, "y"), Turn(25, 30 + off, "x")]
            rows.append(score(f"r{k}", name, TRUTH, found, 60.0))
    return summary(rows, recipe="talks")


def test_bars_add_up_to_the_error_rate() -> None:
    told = measured(["other", "melmill"])
    figure = plots.errors_figure(told)
    figure.canvas.draw()
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["melmill", "other"]
    ends = [max(bar.get_x() + bar.get_width() for bar in axes.patches
                if round(bar.get_y() + 0.3) == y) for y in (0, 1)]  # fmt: skip
    rates = [100 * told["systems"][name]["der"]["mean"] for name in ("melmill", "other")]
    np.testing.assert_allclose(ends, rates)
    low, high = axes.get_lines()[0].get_xdata()
    assert low < ends[0] < high
    said = [text.get_text() for text in axes.texts]
    assert said == [f"{rate:.1f}" for rate in rates]
    assert words(figure) == ["missed", "false", "confused"]


def test_many_systems_stay_apart(tmp_path: Path) -> None:
    told = measured([f"a system of others {i}" for i in range(8)])
    figure = plots.errors_figure(told)
    assert_apart(figure)
    assert_legend_covers_nothing(figure)
    plots.errors(told, tmp_path / "errors.png")
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")
