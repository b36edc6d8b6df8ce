"""Curves of a run: what is drawn where, and what is said beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from tests.pictured import assert_apart, points  # noqa: E402
from training.history import LOSS, RATE, Panel, best_row, history, history_figure  # noqa: E402

GAINS = [1.0, 3.0, 2.0]  # of three validations
GAIN = Panel("gain", "gain, dB", "dB", (0.0, "doing nothing"))
F1 = Panel("macro_f1", "macro-F1")
PANELS = (LOSS, GAIN, F1, RATE)


def metrics() -> list[dict[str, Any]]:
    """Three epochs of ten steps, a line of training every five."""
    rows: list[dict[str, Any]] = []
    for step in range(5, 31, 5):
        rows.append({"kind": "train", "step": step, "seconds": 1.0, "loss": 1 / step,
                     "rate": step / 1000, "gain": step / 10, "grad_norm": None})  # fmt: skip
        if step % 10 == 0:
            rows.append({"kind": "valid", "step": step, "seconds": 1.0, "loss": 2 / step,
                         "gain": GAINS[step // 10 - 1]})  # fmt: skip
    return rows


def drawn(figure: Any, label: str) -> dict[str, Any]:
    """The lines of the panel with this label on its y axis, by their own label."""
    (axes,) = [axes for axes in figure.axes if axes.get_ylabel() == label]
    return {line.get_label(): line for line in axes.get_lines()}


def figure_of(rows: Any, steps: int = 0, score: str = "gain") -> Any:
    return history_figure(rows, PANELS, steps, score, "a run")


def test_curves_over_epochs() -> None:
    figure = figure_of(metrics())
    gain = drawn(figure, "gain, dB")
    assert points(gain["validation"]) == [(1, 1), (2, 3), (3, 2)]
    assert points(gain["train"])[:2] == [(0.5, 0.5), (1, 1)]
    assert set(gain["doing nothing"].get_ydata()) == {0}
    loss = drawn(figure, "loss")
    assert points(loss["validation"]) == [(1, 0.2), (2, 0.1), (3, pytest.approx(2 / 30))]
    assert len(points(loss["train"])) == 6
    assert "doing nothing" not in loss
    assert points(drawn(figure, "learning rate")["train"])[-1] == (3, 0.03)
    assert [axes.get_legend() is None for axes in figure.axes] == [False, False, True]
    assert figure.axes[-1].get_xlabel() == "epoch"
    assert figure.get_suptitle() == "a run"


def test_what_was_never_measured_has_no_panel_and_the_order_is_as_asked() -> None:
    labels = [axes.get_ylabel() for axes in figure_of(metrics()).axes]
    assert labels == ["loss", "gain, dB", "learning rate"]
    rows = [{**row, "macro_f1": 0.5} for row in metrics()]
    figure = history_figure(rows, (F1, RATE), 0, "macro_f1", "")
    assert [axes.get_ylabel() for axes in figure.axes] == ["macro-F1", "learning rate"]
    assert points(drawn(figure, "macro-F1")["best epoch 1: 0.5"]) == [(1, 0.5)]


def test_the_best_epoch_is_marked_in_every_panel() -> None:
    figure = figure_of(metrics())
    assert points(drawn(figure, "gain, dB")["best epoch 2: 3 dB"]) == [(2, 3)]
    assert points(drawn(figure, "loss")["best epoch 2: 0.1"]) == [(2, 0.1)]
    for axes in figure.axes:
        assert any(list(line.get_xdata()) == [2, 2] for line in axes.get_lines())
    by_loss = figure_of(metrics(), score="-loss")
    assert "best epoch 3: 2 dB" in drawn(by_loss, "gain, dB")


@pytest.mark.parametrize("score", ["gain", "-loss", "-other"])
def test_of_equals_the_first_is_best(score: str) -> None:
    rows = [{"kind": "valid", "step": s, "loss": 1.0, "gain": 2.0} for s in (10, 20)]
    best = best_row(rows, score)
    assert best is not None
    assert best["step"] == 10
    assert best_row([], score) is None


def test_one_point_nulls_and_nothing(tmp_path: Path) -> None:
    one = [{"kind": "valid", "step": 7, "loss": None, "gain": -1.0}]
    assert points(drawn(figure_of(one), "gain, dB")["validation"]) == [(1, -1)]
    assert [axes.get_ylabel() for axes in figure_of(one).axes] == ["gain, dB"]
    early = [{"kind": "train", "step": 50, "loss": None, "rate": 0.1, "grad_norm": None}]
    figure = figure_of(early)
    assert [axes.get_ylabel() for axes in figure.axes] == ["learning rate"]
    assert figure.axes[0].get_xlabel() == "step"
    half = figure_of([{"kind": "valid", "step": 5, "loss": 1.0}], steps=10)
    assert points(drawn(half, "loss")["validation"]) == [(0.5, 1)]
    for i, rows in enumerate(([], one, early)):
        history(rows, tmp_path / f"{i}.png", panels=PANELS)
        assert (tmp_path / f"{i}.png").stat().st_size > 2000


def test_few_points_are_marked_and_wide_losses_are_logarithmic() -> None:
    line = drawn(figure_of(metrics()), "loss")["train"]
    assert line.get_marker() == "o"
    many = [{"kind": "train", "step": s, "loss": 1.0 + s} for s in range(100)]
    figure = figure_of(many)
    assert drawn(figure, "loss")["train"].get_marker() in ("", "None")
    assert figure.axes[0].get_yscale() == "log"
    negative = [{"kind": "train", "step": s, "loss": s - 50.0} for s in range(100)]
    assert figure_of(negative).axes[0].get_yscale() == "linear"


def test_the_file_bears_the_name_of_its_folder(tmp_path: Path) -> None:
    history(metrics(), tmp_path / "a.png", panels=PANELS, score="gain")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert [found.name for found in tmp_path.iterdir()] == ["a.png"]


def test_no_words_lie_on_each_other() -> None:
    assert_apart(figure_of(metrics()))


def test_a_legend_covers_no_curve() -> None:
    """A score that rises fast and stays high, as they do."""
    steps = np.arange(1, 41)
    rows = [
        {"kind": "valid", "step": int(10 * s), "loss": float(np.exp(-s / 8)),
         "macro_f1": float(0.9 - np.exp(-s / 4))} for s in steps
    ]  # fmt: skip
    figure = history_figure(rows, (LOSS, F1), 10, "macro_f1", "a run")
    figure.draw_without_rendering()
    for axes in figure.axes:
        box = axes.get_legend().get_window_extent()
        for line in axes.get_lines()[:1]:
            at = axes.transData.transform(np.array(line.get_data()).T)
            assert not any(box.contains(x, y) for x, y in at)
