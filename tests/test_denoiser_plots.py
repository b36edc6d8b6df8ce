"""Curves and tables of a denoiser: what is drawn where, and what is said beside it."""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from tests.pictured import assert_apart, points  # noqa: E402
from training.denoiser import plots as plots  # noqa: E402
from training.denoiser.summary import summary  # noqa: E402
from training.history import history_figure  # noqa: E402

NAN = math.nan


def test_curves_of_a_denoiser() -> None:
    """Loss, gain with the line of doing nothing, learning rate."""
    row = {"step": 10, "loss": 0.5, "si_sdr_gain": 3.0, "rate": 0.1}
    rows = [{**row, "kind": kind} for kind in ("train", "valid")]
    figure = history_figure(rows, plots.PANELS, 10, "si_sdr_gain", "a run")
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["loss", "SI-SDR gain, dB", "learning rate"]
    lines = {line.get_label(): line for line in figure.axes[1].get_lines()}
    assert points(lines["best epoch 1: 3 dB"]) == [(1, 3)]
    assert set(lines["doing nothing"].get_ydata()) == {0}


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
        plots.history([{"kind": "valid", "step": 5, "loss": 1.0}], path)
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
    ]
    for figure in busy:
        assert_apart(figure)
