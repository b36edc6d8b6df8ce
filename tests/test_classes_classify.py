"""Recordings through a classifier: cut as the shards are, answered by second, told as asked.

The classifier here knows four tones by their pitch; it needs no network.
"""

import functools
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipeline import cookbook
from tests import here, recorded
from training import folders
from training.classes.classify import BATCH, Cut, _span, classified, classify_path, runs

CLASSES = ["hum", "voice", "whistle", "silence"]
EDGES = [20.0, 200.0, 1000.0]  # Hz between them; below the first is silence
RATE = 22050
RECIPE: dict[str, Any] = {
    "audio": {"rate": RATE, "resample": "HQ"},
    "window": {"samples": 66048, "hop": 66048, "pad": "repeat", "min_fill": 0.5},
}


def heard(windows: np.ndarray) -> np.ndarray:
    """0.9 for the class whose tone is strongest."""
    assert windows.dtype == np.float32
    assert windows.shape[1:] == (RECIPE["window"]["samples"],)
    assert len(windows) <= BATCH
    spectrum = np.abs(np.fft.rfft(windows[:, ::2]))  # to 5.5 kHz
    spectrum[:, 0] = 1e-3
    hertz = spectrum.argmax(1) * RATE / windows.shape[1]
    best = (np.searchsorted(EDGES, hertz) - 1) % len(CLASSES)
    return np.where(np.arange(len(CLASSES)) == best[:, None], 0.9, 0.1 / 3)


put = functools.partial(recorded.put, rate=RATE)


def table(source: Path, **how: Any) -> tuple[int, str]:
    out = io.StringIO()
    code = classify_path(heard, RECIPE, CLASSES, source, out=out, **how)
    return code, out.getvalue()


def rows(source: Path, **how: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in table(source, as_json=True, **how)[1].splitlines()]


# ---- what is told ------------------------------------------------------------------------------


def test_a_table_names_the_classes_and_when_each_is_heard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "a.wav", ("hum", 7), ("whistle", 3), ("hum", 60.5))
    code, told = table(tmp_path / "a.wav")
    first, *lines = told.splitlines()
    assert code == 0
    assert first.startswith(f"{tmp_path}/a.wav  01:10  hum 8")
    assert first.endswith("6 %, whistle 7 %, voice 3 %")
    assert lines == [
        "  0:00-0:07  hum       90 %",
        "  0:07-0:10  whistle   90 %",
        "  0:10-1:11  hum       90 %",
    ]
    assert "classified 1 of 1 recording, 01:10 of sound in " in capsys.readouterr().err


def test_json_tells_the_same(tmp_path: Path) -> None:
    put(tmp_path / "a.wav", ("voice", 4), ("whistle", 8.2))
    (row,) = rows(tmp_path / "a.wav", top=2)
    assert list(row) == ["path", "seconds", "top", "per_second"]
    assert (row["path"], row["seconds"]) == (str(tmp_path / "a.wav"), 12.2)
    assert [second["start"] for second in row["per_second"]] == list(range(13))
    firsts = [second["top"][0][0] for second in row["per_second"]]
    assert firsts == ["voice"] * 4 + ["whistle"] * 9
    assert [name for name, _ in row["top"]] == ["whistle", "voice"]
    # windows start at 0 to 10, those at 0 to 2 have more of the first tone in them: 3 of 11
    assert row["top"][1][1] == pytest.approx((3 * 0.9 + 8 * 0.1 / 3) / 11, abs=1e-6)
    assert row["per_second"][0]["top"][0] == ["voice", 0.9]
    assert len(row["per_second"][0]["top"]) == 2


def test_seconds_in_a_row_are_one_line_with_their_mean() -> None:
    each = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.5, 0.5]])
    assert runs(each) == [(0, 2, 0, pytest.approx(0.8)), (2, 3, 1, 0.8), (3, 4, 0, 0.5)]
    assert _span(3599, 3661) == "59:59-1:01:01"


def test_more_classes_than_there_are_is_all_of_them(tmp_path: Path) -> None:
    (row,) = rows(put(tmp_path / "a.wav", ("hum", 3)), top=9)
    assert len(row["top"]) == len(CLASSES)
    assert sum(p for _, p in row["top"]) == pytest.approx(1, abs=1e-5)


def test_a_name_stays_on_its_line(tmp_path: Path) -> None:
    put(tmp_path / "a\n\x1b[1m\udcff.wav", ("hum", 1))
    told = table(tmp_path)[1]
    assert told.isascii()
    assert told.splitlines()[0].startswith(f"{tmp_path}/a\\n\\x1b[1m\\udcff.wav  1.0 s  hum 90 %")
    assert rows(tmp_path)[0]["path"] == f"{tmp_path}/a\n\x1b[1m\udcff.wav"


def test_what_is_wrong_with_such_a_name_stays_on_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "EVERY", 0.0)  # a line for each block
    (tmp_path / "a\n\x1b[1m\udcff.wav").touch()
    put(tmp_path / "b\n\x1b[1m.wav", ("hum", 1))
    assert table(tmp_path)[0] == 1
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path}/a\\n\\x1b[1m\\udcff.wav: an empty file")
    assert "file 2 of 2: b\\n\\x1b[1m.wav\n" in said


# ---- what is read ------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_a_rate_is_no_matter(rate: int, tmp_path: Path) -> None:
    (row,) = rows(put(tmp_path / "a.wav", ("hum", 5), ("whistle", 5), rate=rate))
    assert row["seconds"] == 10
    assert [s["top"][0][0] for s in row["per_second"]] == ["hum"] * 5 + ["whistle"] * 5


def test_channels_are_averaged(tmp_path: Path) -> None:
    recorded.two_channels(tmp_path, RATE)
    assert [row["top"][0][0] for row in rows(tmp_path)] == ["hum", "whistle"]


@pytest.mark.skipif("MP3" not in soundfile.available_formats(), reason="libsndfile without MP3")
@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.flac"])
def test_compressed_sound(name: str, tmp_path: Path) -> None:
    (row,) = rows(put(tmp_path / name, ("voice", 4.5), rate=44100))
    assert row["seconds"] == pytest.approx(4.5, abs=0.08)
    assert row["top"][0] == ["voice", 0.9]


@pytest.mark.parametrize("seconds", [221 / RATE, 0.3, 1.0, 2.5])
def test_sound_shorter_than_a_window_is_repeated(seconds: float, tmp_path: Path) -> None:
    (row,) = rows(put(tmp_path / "a.wav", ("voice", seconds)))
    assert len(row["per_second"]) == int(np.ceil(seconds))
    if seconds > 0.1:  # long enough for a pitch
        assert row["top"][0] == ["voice", 0.9]


def test_a_folder_with_odd_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded.odd_folder(tmp_path, RATE)
    code, told = table(tmp_path)
    lines = [line for line in told.splitlines() if not line.startswith(" ")]
    recorded.assert_good_ones_told(tmp_path, lines)
    assert code == 1
    said = capsys.readouterr().err
    recorded.assert_odd_ones_told(said, "classified")
    assert said.endswith("; 1 other file passed over\n")
    recorded.assert_rows_of_all(rows(tmp_path))


def test_no_file_and_an_empty_folder_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.assert_nothing_to_hear(tmp_path, table)
    assert capsys.readouterr() == ("", "")


def test_silence_is_answered_and_called_so(tmp_path: Path) -> None:
    put(tmp_path / "a.wav", ("none", 2))
    put(tmp_path / "b.wav", ("none", 2), ("hum", 2))
    first, second = (line for line in table(tmp_path)[1].splitlines() if line[0] != " ")
    assert first.startswith(f"{tmp_path}/a.wav  2.0 s  ")
    assert first.endswith(" %  (digital silence)")
    assert "silence)" not in second
    assert [row.get("note") for row in rows(tmp_path)] == ["digital silence", None]


def test_names_are_written_as_they_are(tmp_path: Path) -> None:
    put(tmp_path / "Spaß 歌.wav", ("hum", 1))
    (tmp_path / "zu groß.wav").touch()
    told = table(tmp_path, as_json=True)[1]
    assert f'"path": "{tmp_path}/Spaß 歌.wav"' in told
    assert f'"error": "{tmp_path}/zu groß.wav: an empty file' in told


def test_lines_tell_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a.wav", ("hum", 9))
    table(tmp_path / "a.wav")
    assert "left" not in capsys.readouterr().err  # nothing for what is done at once
    monkeypatch.setattr(folders, "EVERY", 0.0)
    table(tmp_path / "a.wav")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("3.0 s of 9.0 s of sound  ")
    assert lines[-2].startswith("9.0 s of 9.0 s of sound  ")


# ---- windows -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw windows, one a second, made by the pipeline of sound of many lengths."""
    root = tmp_path_factory.mktemp("shards")
    random = np.random.default_rng(0)
    for k, seconds in enumerate((0.4, 1.4, 2.9954, 5.497, 5.498, 40.3)):
        channels, coding = 1 + k % 2, "PCM_24" if k % 2 else "PCM_16"
        folder = root / "data" / "noise" / ("wind" if k % 2 else "rain")
        folder.mkdir(parents=True, exist_ok=True)
        wave = random.uniform(-0.5, 0.5, (round(seconds * RATE), channels))
        soundfile.write(folder / f"{k}.wav", wave, RATE, coding)
    wave = np.cumsum(random.normal(0, 0.002, (48000 * 65, 2)), axis=0) % 0.7  # two pieces of 60 s
    soundfile.write(folder / "wide.flac", wave, 48000, "PCM_16")
    text = (cookbook.SHIPPED / "hybrid.toml").read_text()
    (root / "my.toml").write_text(here.changed(text, name="mine", window__hop=RATE))
    here.features(root / "data", root / "artifacts", str(root / "my.toml"))
    return root


def test_windows_are_those_of_the_shards(shards: Path) -> None:
    index = json.loads((shards / "artifacts" / "mine" / "index.json").read_text())
    found = recorded.stored(shards / "artifacts", "mine", "wave")
    assert len(found) == 7
    for path, windows in found.items():
        got: list[np.ndarray] = []

        def keep(batch: np.ndarray, got: list[np.ndarray] = got) -> np.ndarray:
            got.extend(batch)
            return np.ones((len(batch), 1))

        classified(keep, Cut.of(index["recipe"]), shards / "data" / path)
        assert sorted(windows) == [RATE * k for k in range(len(got))], path
        expected = np.stack([windows[start] for start in sorted(windows)])
        if path.endswith(".wav"):
            assert np.array_equal(np.stack(got), expected), path
        else:  # resampled in one stream, there in pieces
            assert np.max(np.abs(np.stack(got) - expected)) < 1e-5


@pytest.mark.parametrize(("samples", "rate"), [(40, 100), (100, 100), (250, 100), (1000, 100)])
@pytest.mark.parametrize("frames", [1, 39, 40, 99, 100, 101, 250, 349, 350, 1000, 1234, 5000])
def test_batches_and_blocks_leave_the_windows_as_they_are(
    samples: int, rate: int, frames: int
) -> None:
    cut, sound = Cut(rate, "HQ", samples, samples // 2, "zero"), np.arange(1.0, frames + 1, 1, "f4")
    padded = np.pad(sound, (0, samples))
    starts = [at for at in range(0, frames, rate) if not at or frames - at >= samples // 2]
    expected = np.stack([padded[at : at + samples] for at in starts])
    for most in (1, 3, 32):
        for block in (7, 100, 10_000):
            parts = [sound[at : at + block] for at in range(0, frames, block)]
            batches = list(cut.windows(parts, most))
            assert max(map(len, batches)) <= most
            assert np.array_equal(np.concatenate(batches), expected)


def test_every_second_has_the_window_around_it() -> None:
    second = Cut(RATE, "HQ", 66048, 33024, "repeat").nearest
    assert second(6, 4).tolist() == [0, 0, 1, 2, 3, 3]  # 6 s: windows at 0 to 3
    assert second(1, 1).tolist() == [0]
    assert Cut(100, "HQ", 50, 25, "repeat").nearest(3, 3).tolist() == [0, 1, 2]
    assert Cut(100, "HQ", 500, 250, "repeat").nearest(6, 4).tolist() == [0, 0, 0, 1, 2, 3]


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    def heard_all(path: Path) -> Any:
        return classified(lambda batch: np.ones((len(batch), 4)), Cut.of(RECIPE), path)

    found = recorded.peaks(tmp_path, heard_all)
    for minutes, (answer, _) in found.items():
        assert answer.each.shape == (60 * minutes, 4)
    assert found[10][1] < 1.05 * found[2][1] < 30e6  # ten minutes are 53 MB, their windows 158 MB


def test_what_breaks_off_is_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    recorded.assert_breaks_off(
        path, BATCH, RATE, heard, lambda by, path: classified(by, Cut.of(RECIPE), path)
    )
    assert table(path) == (1, "")
