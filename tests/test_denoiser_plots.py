"""Curves and tables of a denoiser: what is drawn where, and what is said beside it."""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from training.denoiser import plots as plots  # noqa: E402
from training.denoiser.summary import summary  # noqa: E402

GAINS = [1.0, 3.0, 2.0]  # of three validations
NAN = math.nan


def metrics() -> list[dict[str, Any]]:
    """Three epochs of ten steps, a line of training every five."""
    rows: list[dict[str, Any]] = []
    for step in range(5, 31, 5):
        rows.append({"kind": "train", "step": step, "seconds": 1.0, "loss": 1 / step,
                     "rate": step / 1000, "si_sdr_gain": step / 10, "grad_norm": None})  # fmt: skip
        if step % 10 == 0:
            rows.append({"kind": "valid", "step": step, "seconds": 1.0, "loss": 2 / step,
                         "si_sdr_gain": GAINS[step // 10 - 1]})  # fmt: skip
    return rows


def drawn(figure: Any, label: str) -> dict[str, Any]:
    """The lines of the panel with this label on its y axis, by their own label."""
    (axes,) = [axes for axes in figure.axes if axes.get_ylabel() == label]
    return {line.get_label(): line for line in axes.get_lines()}


def points(line: Any) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.array(line.get_data()).T]


def history(rows: Any, steps: int = 0, score: str = "si_sdr_gain") -> Any:
    return plots.history_figure(rows, steps, score, "a run")


def test_curves_over_epochs() -> None:
    figure = history(metrics())
    gain = drawn(figure, "SI-SDR gain, dB")
    assert points(gain["validation"]) == [(1, 1), (2, 3), (3, 2)]
    assert points(gain["train"])[:2] == [(0.5, 0.5), (1, 1)]
    assert set(gain["doing nothing"].get_ydata()) == {0}
    loss = drawn(figure, "loss")
    assert points(loss["validation"]) == [(1, 0.2), (2, 0.1), (3, pytest.approx(2 / 30))]
    assert len(points(loss["train"])) == 6
    assert points(drawn(figure, "learning rate")["train"])[-1] == (3, 0.03)
    assert figure.axes[-1].get_xlabel() == "epoch"
    assert figure.get_suptitle() == "a run"


def test_the_best_epoch_is_marked_in_every_panel() -> None:
    figure = history(metrics())
    assert points(drawn(figure, "SI-SDR gain, dB")["best epoch 2: 3 dB"]) == [(2, 3)]
    assert points(drawn(figure, "loss")["best epoch 2: 0.1"]) == [(2, 0.1)]
    for axes in figure.axes:
        assert any(list(line.get_xdata()) == [2, 2] for line in axes.get_lines())
    by_loss = history(metrics(), score="-loss")
    assert "best epoch 3: 2 dB" in drawn(by_loss, "SI-SDR gain, dB")


@pytest.mark.parametrize("score", ["si_sdr_gain", "-loss", "-other"])
def test_of_equals_the_first_is_best(score: str) -> None:
    rows = [{"kind": "valid", "step": s, "loss": 1.0, "si_sdr_gain": 2.0} for s in (10, 20)]
    best = plots.best_row(rows, score)
    assert best is not None
    assert best["step"] == 10
    assert plots.best_row([], score) is None


def test_one_point_nulls_and_nothing(tmp_path: Path) -> None:
    one = [{"kind": "valid", "step": 7, "loss": None, "si_sdr_gain": -1.0}]
    assert points(drawn(history(one), "SI-SDR gain, dB")["validation"]) == [(1, -1)]
    assert [axes.get_ylabel() for axes in history(one).axes] == ["SI-SDR gain, dB"]
    early = [{"kind": "train", "step": 50, "loss": None, "rate": 0.1, "grad_norm": None}]
    figure = history(early)
    assert [axes.get_ylabel() for axes in figure.axes] == ["learning rate"]
    assert figure.axes[0].get_xlabel() == "step"
    half = history([{"kind": "valid", "step": 5, "loss": 1.0}], steps=10)
    assert points(drawn(half, "loss")["validation"]) == [(0.5, 1)]
    for i, rows in enumerate(([], one, early)):
        plots.history(rows, tmp_path / f"{i}.png")
        assert (tmp_path / f"{i}.png").stat().st_size > 2000


def test_few_points_are_marked_and_wide_losses_are_logarithmic() -> None:
    line = drawn(history(metrics()), "loss")["train"]
    assert line.get_marker() == "o"
    many = [{"kind": "train", "step": s, "loss": 1.0 + s} for s in range(100)]
    figure = history(many)
    assert drawn(figure, "loss")["train"].get_marker() in ("", "None")
    assert figure.axes[0].get_yscale() == "log"
    negative = [{"kind": "train", "step": s, "loss": s - 50.0} for s in range(100)]
    assert history(negative).axes[0].get_yscale() == "linear"


def measured(
    systems: dict[str, float], levels: list[float], kinds: list[str], unit: str = "dB"
) -> Any:
    """A summary in which each gain is known: the system's, less 1 for each later kind, less a
    hundredth of the level, and apart by 0.5 between two groups."""
    rows = []
    for name, base in systems.items():
        for group in (0, 1):
            for level in levels:
                for i, kind in enumerate(kinds):
                    gain = 0.0 if name == "input" else base - i - level / 100 + group / 2
                    rows.append({
                        "system": name, "recipe": "r", "split": "test", "rate": 16000,
                        "kind": kind, "level": level, "unit": unit, "source": f"s{group}",
                        "group": f"g{group}", "start": 0, "si_sdr": gain, "gain": gain,
                        "pesq": NAN, "estoi": NAN, "dnsmos": NAN, "parameters": 1.0, "macs": 1.0,
                        "rtf": 1.0,
                    })  # fmt: skip
    return summary(rows)


ALL = {"input": 0.0, "other": 2.0, "melmill": 5.0}


def test_gains_by_level_beside_the_mean_with_its_interval() -> None:
    told = measured(ALL, [-5.0, 0.0, 10.0], ["white"])
    told["systems"]["melmill"]["over"]["gain"]["low"] = 4.0
    figure = plots.gains_figure(told)
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert points(lines["melmill"]) == [
        (0, pytest.approx(5.3)), (1, pytest.approx(5.25)), (2, pytest.approx(5.15))
    ]  # fmt: skip
    assert points(lines["other"])[0][1] == pytest.approx(2.3)
    assert "input" not in lines
    assert set(lines["doing nothing"].get_ydata()) == {0}
    words = [label.get_text() for label in axes.get_xticklabels()]
    assert words == ["-5", "0", "10", "mean of 0 to 10\n95 % interval"]
    held, other = (bar.lines for bar in axes.containers)  # ours first
    assert points(held[0])[0][1] == pytest.approx(5.2)
    bars = held[2][0].get_segments()[0]
    assert bars[:, 1] == pytest.approx([4.0, 5.45])
    assert points(held[0])[0][0] != points(other[0])[0][0]
    assert axes.get_xlabel() == "SNR of the input, dB"
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["melmill", "other", "doing nothing"]
    assert figure.get_suptitle() == "r, test: 6 mixtures"


def test_each_system_has_a_colour_and_a_marker_of_its_own() -> None:
    systems = {"input": 0.0, "melmill": 5.0} | {f"peer{i}": float(i) for i in range(5)}
    (axes,) = plots.gains_figure(measured(systems, [0.0, 5.0], ["white"])).axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    held = {(lines[n].get_color(), lines[n].get_marker()) for n in systems if n != "input"}
    assert len({colour for colour, _ in held}) == len({form for _, form in held}) == 6


def test_ours_by_noise_and_level() -> None:
    figure = plots.gains_figure(measured(ALL, [0.005, 0.1], ["white", "babble"], "deviation"))
    lines, table = figure.axes
    assert lines.get_xlabel() == table.get_xlabel() == "standard deviation of the noise"
    assert [label.get_text() for label in table.get_yticklabels()] == ["babble", "white"]
    (image,) = table.get_images()
    assert np.asarray(image.get_array())[:, 0] == pytest.approx([4.25, 5.25], abs=0.01)
    cells = {text.get_position(): text.get_text() for text in table.texts}
    assert (cells[0, 0], cells[0, 1]) == ("+4.2", "+5.2")
    assert table.get_title() == "gain of melmill by noise, dB"


def test_what_was_not_measured_is_a_gap() -> None:
    told = measured(ALL, [0.0, 5.0], ["white", "babble"])
    told["systems"]["melmill"]["kinds"]["white"]["levels"]["5"]["gain"] = None
    told["systems"]["melmill"]["levels"]["5"]["gain"] = None
    told["systems"]["melmill"]["over"]["gain"] = {"mean": None, "low": None, "high": None}
    figure = plots.gains_figure(told)
    assert "-" in {text.get_text() for text in figure.axes[1].texts}
    (ours,) = [line for line in figure.axes[0].get_lines() if line.get_label() == "melmill"]
    assert np.isnan(ours.get_ydata()[1])
    assert len(figure.axes[0].containers) == 1


def test_one_level_and_no_system(tmp_path: Path) -> None:
    told = measured({"input": 0.0}, [5.0], ["white"])
    plots.gains(told, tmp_path / "a.png")
    (axes,) = plots.gains_figure(told).axes
    assert [label.get_text() for label in axes.get_xticklabels()][1].startswith("mean of 5\n")


CELLS = {
    "speech": {
        "s": {"mean": 7.1, "low": 6.5, "high": 7.8, "rate": 22050},
        "m": {"mean": -1.24, "low": -2.0, "high": -0.4, "rate": 22050},
    },
    "music": {
        "s": {"mean": None, "low": None, "high": None, "rate": 22050},
        "m": {"mean": 9.8, "low": None, "high": None, "rate": 44100},
    },
}


def test_networks_down_recipes_across(tmp_path: Path) -> None:
    (axes,) = plots.matrix_figure(CELLS).axes
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells[0, 0] == "+7.1\n[6.5 7.8]\nat 22050 Hz"
    assert cells[1, 0].startswith("-1.2\n")
    assert cells[0, 1] == "-\nat 22050 Hz"
    assert cells[1, 1] == "+9.8\nat 44100 Hz"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["speech", "music"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["s", "m"]


@pytest.mark.parametrize(("kind", "least"), [("history", 800), ("gains", 900), ("matrix", 700)])
def test_files(kind: str, least: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    if kind == "history":
        plots.history(metrics(), path)
    elif kind == "gains":
        plots.gains(measured(ALL, [0.0, 5.0], ["white", "babble"]), path)
    else:
        plots.matrix(CELLS, path)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert struct.unpack(">I", data[16:20])[0] >= least
    assert [found.name for found in tmp_path.iterdir()] == ["a.png"]


def test_no_words_lie_on_each_other() -> None:
    """Of the busiest pictures, as they are drawn."""
    kinds = ["ambient", "babble", "brown", "pink", "white"]
    systems = ALL | {"noisereduce": 1.0, "RNNoise": 3.0, "DTLN": 4.0, "NSNet2": -2.0}
    busy = [
        plots.gains_figure(measured(systems, [-5.0, 0.0, 5.0, 10.0, 15.0, 20.0], kinds)),
        plots.matrix_figure(CELLS),
        history(metrics()),
    ]
    for figure in busy:
        figure.set_dpi(110)
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
