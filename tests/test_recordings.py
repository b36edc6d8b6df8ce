"""Sound files in and out: form, length, what is refused and in what words."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training import recordings
from training.data.index import DataError
from training.errors import RunError
from training.recordings import blocks, opened, writing

RATE = 48000


def sound(frames: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (frames, channels)).astype("f4")


def copied(source: Path, target: Path) -> np.ndarray:
    with opened(source) as recording, writing(source, recording, target) as out:
        for block in blocks(recording, source):
            out.write(block)
    return np.asarray(soundfile.read(os.fsencode(target), always_2d=True)[0])


def form(path: Path) -> tuple[str, str, int, int, int]:
    info = soundfile.info(path)
    return info.format, info.subtype, info.samplerate, info.channels, info.frames


@pytest.mark.parametrize(
    ("name", "kind", "subtype"),
    [("a.wav", "WAV", "PCM_24"), ("a.wav", "WAVEX", "FLOAT"), ("a.wav", "RF64", "PCM_16"),
     ("a.FLAC", "FLAC", "PCM_16"), ("a.ogg", "OGG", "VORBIS"), ("a.opus", "OGG", "OPUS"),
     ("a.mp3", "MP3", "MPEG_LAYER_III"), ("a.aif", "AIFF", "PCM_U8"), ("a.w64", "W64", "DOUBLE"),
     ("a.caf", "CAF", "ALAC_16"), ("a.snd", "AU", "ULAW"), ("a.sph", "NIST", "PCM_16")],
)  # fmt: skip
@pytest.mark.parametrize("frames", [1, 150_001])
def test_a_file_keeps_its_form(
    name: str, kind: str, subtype: str, frames: int, tmp_path: Path
) -> None:
    source, target = tmp_path / name, tmp_path / "to" / name
    target.parent.mkdir()
    soundfile.write(source, sound(frames, 2), RATE, subtype, format=kind)
    found = copied(source, target)
    assert form(target) == (kind, subtype, RATE, 2, frames)
    assert [path.name for path in target.parent.iterdir()] == [name]
    if subtype.startswith(("PCM", "FLOAT", "DOUBLE", "ULAW")):
        assert np.array_equal(found, soundfile.read(source, always_2d=True)[0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("b.flac", ("FLAC", "PCM_24")), ("b.opus", ("OGG", "OPUS")), ("b.oga", ("OGG", "VORBIS")),
     ("b.wave", ("WAV", "PCM_24")), ("b.aifc", ("AIFF", "PCM_24")), ("b.snd", ("AU", "PCM_24"))],
)  # fmt: skip
def test_another_name_is_another_form(name: str, expected: tuple[str, str], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(1000), RATE, "PCM_24")
    copied(tmp_path / "a.wav", tmp_path / name)
    assert form(tmp_path / name) == (*expected, RATE, 1, 1000)


def test_without_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(0), RATE)
    assert copied(tmp_path / "a.wav", tmp_path / "b.wav").shape == (0, 1)
    with pytest.raises(DataError, match=r"b\.flac: this form cannot hold 0 frames"):
        copied(tmp_path / "a.wav", tmp_path / "b.flac")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "b.wav"]


def test_more_than_a_wav_holds_is_written_as_rf64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "WAV_MOST", 4 * 1000 * 2)
    for frames, kind in ((1000, "WAV"), (1001, "RF64")):
        soundfile.write(tmp_path / "a.flac", sound(frames, 2), RATE)
        copied(tmp_path / "a.flac", tmp_path / "b.wav")
        assert form(tmp_path / "b.wav")[0] == kind


def mp3(path: Path) -> np.ndarray:
    """Of a variable bit rate: 1 s of noise, then 3 s of silence; its samples."""
    wave = np.concatenate([sound(RATE), np.zeros((3 * RATE, 1), "f4")])
    with soundfile.SoundFile(
        path, "w", RATE, 1, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5
    ) as file:
        file.write(wave)
    return np.asarray(soundfile.read(path, always_2d=True)[0])


@pytest.mark.parametrize("tag", [0, 300, 100_000])
def test_mpeg_audio_is_read_to_its_end(
    tag: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    whole = mp3(tmp_path / "a.mp3")
    data = (tmp_path / "a.mp3").read_bytes()
    head = b"ID3\4\0\0" + bytes((tag >> 7 * i) & 127 for i in (3, 2, 1, 0)) + bytes(tag)
    (tmp_path / "a.mp3").write_bytes((head if tag else b"") + data)
    monkeypatch.setattr(recordings, "READ", 10_000)
    with opened(tmp_path / "a.mp3") as recording:
        found = np.concatenate(list(blocks(recording, tmp_path / "a.mp3")))
    assert np.abs(found - whole).max() < 1e-4  # a seek between the blocks would disturb it
    assert not capfd.readouterr().err  # where the decoder complains of a wrong length

    start = data.index(b"\xff\xfb", 4)  # the first frame, which tells the length, cut off
    assert b"Xing" in data[:start]
    (tmp_path / "b.mp3").write_bytes((head if tag else b"") + data[start:])
    with opened(tmp_path / "b.mp3") as recording:
        found = np.concatenate(list(blocks(recording, tmp_path / "b.mp3")))
    assert len(found) >= len(whole)
    assert soundfile.info(tmp_path / "b.mp3").frames < len(found)  # guessed by its beginning


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    wave = sound(200_000)
    soundfile.write(tmp_path / "cut.flac", wave, RATE)
    data = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])
    wave[60_000] = np.inf
    soundfile.write(tmp_path / "inf.wav", wave, RATE, "FLOAT")
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "none.wav").touch()
    (tmp_path / "a.m4a").write_bytes(b"sound")
    (tmp_path / "a.raw").write_bytes(bytes(100))
    (tmp_path / "folder.wav").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "said"),
    [("cut.flac", r"cannot be read to its end; got .*after 1\.4 s"),
     ("inf.wav", r"no numbers; got at 1\.250 s"), ("text.wav", r"cannot be read; got Format not"),
     ("none.wav", "an empty file"), ("a.m4a", r"does not read \.m4a. Convert .* ffmpeg -i a\.m4a"),
     ("a.raw", "cannot be read"), ("folder.wav", "not a plain file"), ("x.wav", "no such file")],
)  # fmt: skip
def test_what_cannot_be_read_is_said(name: str, said: str, bad: Path) -> None:
    before = sorted(bad.iterdir())
    with pytest.raises(DataError, match=said):
        copied(bad / name, bad / "out.wav")
    assert sorted(bad.iterdir()) == before


def test_a_name_need_not_be_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xe9.wav")
    with (tmp_path / name).open("wb") as file:
        soundfile.write(file, sound(1000), RATE, format="WAV")
    (tmp_path / "to").mkdir()
    copied(tmp_path / name, tmp_path / "to" / name.replace(".wav", ".flac"))
    assert os.listdir(os.fsencode(tmp_path / "to")) == [b"\xff\xe9.flac"]


def test_a_recording_that_ends_early_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", sound(1000), RATE)
    monkeypatch.setattr(recordings.Recording, "frames", 1001)
    with pytest.raises(DataError, match="cut short; expected 1001 frames as it declares; got 1000"):
        copied(tmp_path / "a.wav", tmp_path / "b.wav")


@pytest.mark.parametrize(
    ("name", "said"), [("b.xyz", "unknown format"), ("b", "unknown format"),
                       ("b.opus", r"b\.opus: cannot be written; got .*44100 Hz, 1 channels")],
)  # fmt: skip
def test_a_form_that_cannot_be_had(name: str, said: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(1000), 44100)
    with pytest.raises(DataError, match=said):
        copied(tmp_path / "a.wav", tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def started(folder: Path, meanwhile: Callable[[Path], None]) -> None:
    """1000 frames of a.wav into b.wav; `meanwhile` is given the unfinished file."""
    soundfile.write(folder / "a.wav", sound(200_000), RATE)
    with (
        opened(folder / "a.wav") as recording,
        writing(folder / "a.wav", recording, folder / "b.wav") as out,
    ):
        out.write(sound(1000))
        meanwhile(folder / ".b.wav.part")


def test_what_was_there_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    def stop(part: Path) -> None:
        assert part.exists()
        raise KeyboardInterrupt

    (tmp_path / "b.wav").write_text("before")
    with pytest.raises(KeyboardInterrupt):
        started(tmp_path, stop)
    assert (tmp_path / "b.wav").read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "b.wav"]


def test_a_file_that_turns_out_short_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot hold 1000 frames"):
        started(tmp_path, lambda part: os.truncate(part, 500))
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def full(folder: str) -> None:
    """In a process of its own: no file may grow beyond 100 kB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        copied(Path(folder, "a.wav"), Path(folder, "b.wav"))
    except RunError as error:
        print(error)


def test_a_full_disk_ends_the_run(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(200_000), RATE)
    code = f"from tests.test_recordings import full; full({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "b.wav: cannot be written" in done.stdout, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
