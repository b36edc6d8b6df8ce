"""Pictures of a classifier: what is drawn where, and nothing on anything else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from tests.classified import ANSWERS, NAMES, large, told  # noqa: E402
from tests.pictured import assert_apart, assert_legend_covers_nothing, assert_png  # noqa: E402
from training.classes import plots  # noqa: E402


def test_the_confusion_has_the_truth_down_and_shares_of_rows() -> None:
    axes, bar = plots.confusion_figure(told()).axes
    (image,) = axes.get_images()
    shares = np.asarray(image.get_array())
    assert shares == pytest.approx(np.array([[1, 0, 0], [0, 0.5, 0.5], [0, 0.25, 0.75]]))
    assert image.get_clim() == (0, 1)
    cells = {text.get_position(): text for text in axes.texts}
    assert {at: text.get_text() for at, text in cells.items()} == {
        (0, 0): "4", (1, 1): "2", (2, 1): "2", (1, 2): "1", (2, 2): "3"
    }  # fmt: skip
    assert (cells[0, 0].get_color(), cells[1, 2].get_color()) == ("white", "#000000")
    assert [label.get_text() for label in axes.get_xticklabels()] == list(NAMES)
    assert [label.get_text() for label in axes.get_yticklabels()][0] == "alarm (4)"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("answer", "truth (clips)")
    assert axes.get_title() == "b7\nmine, test: 12 clips, accuracy 75.0 %"
    assert "share" in bar.get_ylabel()


def test_a_class_without_clips_is_an_empty_row() -> None:
    axes = plots.confusion_figure(told(names=[*NAMES, "never"])).axes[0]
    assert np.asarray(axes.get_images()[0].get_array())[3].tolist() == [0, 0, 0, 0]
    plots.classes_figure(told(names=[*NAMES, "never"]))


def bars(axes: Any) -> list[tuple[float, float]]:
    """(where a bar stands, how long it is), of upright ones."""
    return [(p.get_x() + p.get_width() / 2, p.get_height()) for p in axes.patches if p.get_height()]


def test_how_sure_beside_how_right() -> None:
    """All answers are as sure as 80 %, three in four are right."""
    upper, lower = plots.calibration_figure(told()).axes
    assert bars(upper) == [(pytest.approx(11.5 / 15), pytest.approx(0.75))]
    assert bars(lower) == [(pytest.approx(11.5 / 15), 12)]
    (gaps,) = upper.collections
    assert gaps.get_segments()[0] == pytest.approx(np.array([[0.8, 0.75], [0.8, 0.8]]))
    (diagonal,) = upper.get_lines()
    assert np.array(diagonal.get_data()).tolist() == [[0, 1], [0, 1]]
    title = plots.calibration_figure(told()).get_suptitle()
    assert title == "b7\nmine, test: 12 clips\nexpected calibration error 5.0 %"


def test_classes_from_best_to_worst_beside_the_best_baseline() -> None:
    one = told()
    figure = plots.classes_figure(one)
    (axes,) = figure.axes
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == ["alarm (4)", "wind (4)", "rain (4)"]
    ours, other = axes.containers
    assert [bar.get_width() for bar in ours] == pytest.approx([1, 2 / 3, 4 / 7])
    held = one["systems"]["SVM"]["classes"]
    expected = [held[name]["f1"] for name in ("alarm", "wind", "rain")]
    assert [bar.get_width() for bar in other] == pytest.approx(expected)
    assert all(a.get_y() < b.get_y() for a, b in zip(ours, other, strict=True))
    low, high = axes.get_ylim()
    assert low > high  # the best on top
    f1 = [one["systems"][name]["macro_f1"]["mean"] for name in ("b7", "SVM")]
    assert [line.get_xdata()[0] for line in axes.get_lines()] == pytest.approx(f1)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == [f"b7: {100 * f1[0]:.1f} %", f"SVM: {100 * f1[1]:.1f} %"]
    alone = plots.classes_figure(told({"b7": ANSWERS["b7"]}))
    assert len(alone.axes[0].containers) == 1


@pytest.mark.parametrize(
    ("kind", "least"), [("confusion", 500), ("calibration", 500), ("classes", 700)]
)
def test_files(kind: str, least: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    getattr(plots, kind)(told(folds=2), path)
    assert_png(path, least)
    assert [found.name for found in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("size", [2, 4, 8, 13, 26, 50])
def test_no_words_lie_on_each_other(size: int) -> None:
    one = large(size)
    assert_apart(plots.confusion_figure(one))
    assert_apart(plots.classes_figure(one))


def test_legends_cover_no_bars() -> None:
    for figure in (plots.calibration_figure(told()), plots.classes_figure(told())):
        assert_legend_covers_nothing(figure)
