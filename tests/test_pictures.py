"""Pictures: what a spectrogram's numbers mean, what the panels share, files that are whole."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from training import pictures
from training.errors import RunError
from training.pictures import heat, save, spectrogram, spectrograms, spectrograms_figure

matplotlib = pytest.importorskip("matplotlib")

RATE = 16000


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, from its header."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[-8:-4] == b"IEND"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def sine(frequency: float, level: float, seconds: float = 2.0) -> np.ndarray:
    return level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)


def test_a_full_sine_is_0_db_at_its_frequency() -> None:
    found = spectrogram(sine(3000, 1.0), RATE)
    assert found.shape[0] == 257  # 513 samples are nearest to 0.04 s
    middle = found[:, found.shape[1] // 2]
    assert np.argmax(middle) == round(3000 / RATE * 512)
    assert middle.max() == pytest.approx(0, abs=0.01)
    assert spectrogram(sine(3000, 0.1), RATE).max() == pytest.approx(-20, abs=0.05)
    assert middle[np.arange(257) > 150].max() < -80


def test_time_runs_from_left_to_right() -> None:
    wave = np.zeros(2 * RATE)
    wave[RATE // 2 : RATE // 2 + 400] = np.random.default_rng(0).uniform(-1, 1, 400)
    loud = spectrogram(wave, RATE).mean(0)
    assert np.argmax(loud) / len(loud) == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("samples", [0, 1, 300, 40 * RATE])
def test_any_length(samples: int) -> None:
    found = spectrogram(np.zeros(samples), RATE)
    assert 1 <= found.shape[1] <= 1.1 * pictures.COLUMNS
    assert np.isfinite(found).all()


def test_three_panels_on_one_scale() -> None:
    waves = [sine(1000, 0.5), sine(1000, 0.1), sine(1000, 0.25)]
    figure = spectrograms_figure(*waves, RATE, "title")
    panels = figure.axes[:3]
    assert [axes.get_title() for axes in panels] == ["before", "after", "clean"]
    for axes, wave in zip(panels, waves, strict=True):
        (image,) = axes.get_images()
        assert image.get_extent() == [0, 2.0, 0, RATE / 2]
        assert np.array_equal(image.get_array(), spectrogram(wave, RATE))
        low, high = image.get_clim()
        assert high == pytest.approx(20 * np.log10(0.5), abs=0.1)
        assert high - low == 80
        assert image.origin == "lower"
        assert axes.get_xlabel() == "time, s"
    assert panels[0].get_ylabel() == "frequency, Hz"
    assert "dB" in figure.axes[3].get_ylabel()
    assert figure.get_suptitle() == "title"


def test_silence_stays_dark() -> None:
    silent = np.zeros(1000)
    (image,) = spectrograms_figure(silent, silent, silent, RATE, "").axes[0].get_images()
    assert image.get_array().max() <= image.get_clim()[0]


def test_a_file_is_a_picture_and_whole(tmp_path: Path) -> None:
    spectrograms(sine(500, 1), sine(500, 0.1), sine(500, 1), RATE, "a", tmp_path / "a.png")
    assert size_of(tmp_path / "a.png") == (13 * 110, 462)
    before = (tmp_path / "a.png").read_bytes()
    spectrograms(sine(500, 1), sine(500, 0.1), sine(500, 1), RATE, "a", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before  # no clock in it
    with pytest.raises(RunError, match="cannot write"):
        save(pictures.blank(1, 1), tmp_path / "none" / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_table_colours_gains_and_losses_alike() -> None:
    axes = pictures.blank(3, 3).subplots()
    values = np.array([[4.0, -2.0], [np.nan, 0.0]])
    heat(axes, values, [["+4", "-2"], ["-", "0"]], ["a", "b"], ["x", "y"])
    (image,) = axes.get_images()
    assert image.get_clim() == (-4, 4)
    cells = {text.get_text(): text for text in axes.texts}
    assert cells["-2"].get_position() == (1, 0)
    assert (cells["+4"].get_color(), cells["-2"].get_color()) == ("white", pictures.BLACK)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    heat(axes, np.full((1, 1), np.nan), [["-"]], ["a"], ["x"])


def test_matplotlib_is_imported_only_where_something_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = (
        "import sys, training.pictures as p; assert 'matplotlib' not in sys.modules; "
        "p.blank(1, 1); assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(RunError, match=r"no pictures without matplotlib.*Run make torch"):
        pictures.blank(1, 1)
