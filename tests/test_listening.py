"""A recording heard block by block: as if it were read, averaged and resampled as a whole.

Writes sounds into pytest's folders, and reads them. Against soundfile, NumPy and soxr over all of a
recording at once.
"""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from training import recordings
from training.data.index import DataError
from training.listening import listened

QUALITIES = ("QQ", "LQ", "MQ", "HQ", "VHQ")


def noise(frames: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return 0.25 * random.standard_normal((frames, channels)).clip(-3, 3)


def put(path: Path, wave: np.ndarray, rate: int, **form: Any) -> Path:
    soundfile.write(path, wave, rate, **form)
    return path


def heard(path: Path, rate: int, quality: str = "HQ") -> np.ndarray:
    with listened(path, rate, quality) as sound:
        blocks = list(sound)
    assert all(block.dtype == np.float32 and block.ndim == 1 for block in blocks)
    return np.concatenate(blocks)


def whole(path: Path, rate: int, quality: str = "HQ") -> np.ndarray:
    """At once, in float64 as far as soxr has it."""
    wave, own = soundfile.read(path, dtype="float64", always_2d=True)
    mono = wave.sum(1) / wave.shape[1]
    return np.asarray(soxr.resample(mono, own, rate, quality) if own != rate else mono)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize(("native", "rate"), [(8000, 8000), (44100, 16000), (8000, 22050)])
def test_a_recording_is_heard_as_if_read_at_once(
    tmp_path: Path, channels: int, native: int, rate: int
) -> None:
    path = put(tmp_path / "a.wav", noise(30_000, channels), native, subtype="FLOAT")
    found, wanted = heard(path, rate), whole(path, rate)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-6


@pytest.mark.parametrize("quality", QUALITIES)
def test_every_quality_is_the_resampler_s(tmp_path: Path, quality: str) -> None:
    path = put(tmp_path / "a.wav", noise(20_000), 44100, subtype="FLOAT")
    others = [whole(path, 16000, other) for other in QUALITIES if other != quality]
    found = heard(path, 16000, quality)
    assert np.abs(found - whole(path, 16000, quality)).max() < 1e-6
    assert all(np.abs(found - other).max() > 1e-5 for other in others)


@pytest.mark.parametrize("block", [1, 7, 1000, 4096, 19_999, 20_000, 20_001])
@pytest.mark.parametrize("rate", [44100, 16000])
def test_any_edges_of_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, rate: int
) -> None:
    frames = 20_000 if block > 10 else 2000
    path = put(tmp_path / "a.flac", noise(frames, 2), 44100, subtype="PCM_24")
    monkeypatch.setattr(recordings, "READ", block)
    found, wanted = heard(path, rate), whole(path, rate)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-6


@pytest.mark.parametrize(
    ("frames", "native", "rate"), [(441, 44100, 16000), (80, 8000, 48000), (100, 8000, 16000)]
)
def test_the_shortest_of_sounds(tmp_path: Path, frames: int, native: int, rate: int) -> None:
    path = put(tmp_path / "a.wav", noise(frames), native, subtype="FLOAT")
    found, wanted = heard(path, rate), whole(path, rate)
    assert found.shape == wanted.shape
    assert np.allclose(found, wanted, rtol=0, atol=1e-6)


def test_what_two_channels_have_apart_is_gone(tmp_path: Path) -> None:
    both, apart = noise(5000, seed=1)[:, 0], noise(5000, seed=2)[:, 0]
    wave = np.stack([both + apart, both - apart], 1)
    path = put(tmp_path / "a.wav", wave, 16000, subtype="FLOAT")
    assert np.abs(heard(path, 16000) - both).max() < 1e-6
    path = put(tmp_path / "b.wav", np.stack([both, 0 * both], 1), 16000, subtype="FLOAT")
    assert np.abs(heard(path, 16000) - both / 2).max() < 1e-6


def test_a_tone_stays_the_tone(tmp_path: Path) -> None:
    t = np.arange(44100) / 44100
    path = put(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 1000 * t), 44100, subtype="FLOAT")
    found = heard(path, 16000)
    wanted = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted)[500:-500].max() < 1e-4  # both ends ring


def test_each_block_is_counted_as_it_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "a.wav", noise(2500, 2), 8000)
    monkeypatch.setattr(recordings, "READ", 1000)
    ticks: list[float] = []
    with listened(path, 16000, "HQ", ticks.append) as sound:
        assert sound.seconds == 0
        blocks = iter(sound)
        next(blocks)
        assert sound.seconds == 1000 / 8000
        list(blocks)
        assert sound.seconds == 2500 / 8000
        assert (sound.rate, sound.quality, sound.source) == (16000, "HQ", path)
    assert ticks == pytest.approx([1000 / 8000, 1000 / 8000, 500 / 8000])


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    peaks = []
    for seconds in (20, 80):
        path = put(tmp_path / f"{seconds}.wav", noise(seconds * 48000, 2), 48000)
        with listened(path, 16000, "HQ") as sound:
            tracemalloc.start()
            heard = sum(len(block) for block in sound)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert heard == seconds * 16000
    assert peaks[1] < peaks[0] * 1.2
    assert peaks[1] < 80 * 48000 * 2 * 4 / 8  # an eighth of the longer one


# ------------------------------------------------------------------ what cannot be heard


def test_a_recording_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.wav").write_bytes(b"<html>")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "song.m4a").write_bytes(b"x")
    for name, said in (
        ("page.wav", "cannot be read"), ("empty.wav", "an empty file"),
        ("song.m4a", "ffmpeg -i song.m4a song.wav"), ("none.wav", "no such file"),
    ):  # fmt: skip
        with (
            pytest.raises(DataError, match=said) as error,
            listened(tmp_path / name, 16000, "HQ"),
        ):
            pass
        assert str(tmp_path / name) in str(error.value)


def test_a_recording_that_is_cut_short_is_refused_after_what_is_there(tmp_path: Path) -> None:
    path = put(tmp_path / "a.flac", noise(200_000), 16000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with (
        listened(path, 16000, "HQ") as sound,
        pytest.raises(DataError, match=r"a\.flac: (cannot be read to its end|cut short)"),
    ):
        list(sound)
    assert 4 < sound.seconds < 6.3  # by whole blocks: half of 12.5 s


def test_samples_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    wave = noise(3000, 2)
    wave[1600, 1] = np.nan
    path = put(tmp_path / "a.wav", wave, 16000, subtype="FLOAT")
    with (
        pytest.raises(DataError, match=r"samples that are no numbers; got at 0\.100 s"),
        listened(path, 8000, "HQ") as sound,
    ):
        list(sound)


@pytest.mark.parametrize("far", [8.1, -8.1, 1e30])
def test_samples_out_of_range_are_refused(tmp_path: Path, far: float) -> None:
    """In whichever channel and block; at the limit itself they are heard."""
    wave = noise(recordings.READ + 3000, 2)
    wave[recordings.READ + 1600, 1] = far
    path, at = put(tmp_path / "a.wav", wave, 16000, subtype="FLOAT"), recordings.READ / 16000 + 0.1
    said = rf"samples out of range; expected at most 8, .*; got {abs(far):g} at {at:.3f} s\. Scale"
    with (
        pytest.raises(DataError, match=said.replace("+", r"\+")),
        listened(path, 8000, "HQ") as sound,
    ):
        list(sound)
    put(path, np.clip(wave, -8, 8), 16000, subtype="FLOAT")
    assert len(heard(path, 16000)) == len(wave)


@pytest.mark.parametrize(("frames", "rate"), [(1, 44100), (440, 44100), (79, 8000)])
def test_what_is_too_short_for_a_shard_is_refused(tmp_path: Path, frames: int, rate: int) -> None:
    path = put(tmp_path / "a.wav", noise(frames), rate)
    said = rf"too short; expected at least 0\.01 s; got {frames} frames at {rate} Hz\. Leave"
    with pytest.raises(DataError, match=said), listened(path, 16000, "HQ") as sound:
        list(sound)


def test_silence_is_known(tmp_path: Path) -> None:
    """Of what is heard: two channels may cancel each other."""
    wave = noise(recordings.READ + 100)
    for name, both, silent in (
        ("none", (0 * wave, 0 * wave), True), ("one", (0 * wave, wave), False),
        ("against", (wave, -wave), True),
    ):  # fmt: skip
        path = put(tmp_path / f"{name}.wav", np.hstack(both), 16000, subtype="FLOAT")
        with listened(path, 8000, "HQ") as sound:
            list(sound)
        assert sound.silent is silent, name


@pytest.mark.parametrize("rate", [1, 3999, 384_001, 1_000_000])
def test_a_rate_of_no_sound_is_refused(tmp_path: Path, rate: int) -> None:
    path = put(tmp_path / "a.wav", noise(100), rate)
    with (
        pytest.raises(DataError, match=f"no rate of sound; expected 4000 to 384000 Hz; got {rate}"),
        listened(path, 16000, "HQ"),
    ):
        pass


@pytest.mark.parametrize("rate", [4000, 384_000])
def test_the_slowest_and_the_fastest_are_heard(tmp_path: Path, rate: int) -> None:
    path = put(tmp_path / "a.wav", noise(rate // 10), rate, subtype="FLOAT")
    assert len(heard(path, 16000)) == pytest.approx(1600, abs=1)


def test_the_file_is_closed_again(tmp_path: Path) -> None:
    path = put(tmp_path / "a.wav", noise(100), 16000)
    with listened(path, 16000, "HQ") as sound:
        assert not sound.recording.closed
    assert sound.recording.closed
