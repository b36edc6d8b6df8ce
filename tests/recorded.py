"""Recordings of tones, good ones and odd ones, and what is said of them by whatever hears files.

Reads shards, and what was said. Does: makes tones by name and folders with files of all kinds; says
whether each odd one was told, and how much memory a long file takes. Writes: sound files, where it
is told.
"""

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import soundfile

from training.data.index import DataError
from training.errors import RunError

TONES = {"hum": 100.0, "voice": 440.0, "whistle": 2500.0}  # Hz


def tone(name: str, seconds: float, rate: int) -> np.ndarray:
    """Of one name, or of several at once ("hum voice"); silence, if it is none of TONES."""
    t = np.arange(round(seconds * rate)) / rate
    found = [np.sin(2 * np.pi * TONES[one] * t) for one in name.split() if one in TONES]
    return 0.3 * np.sum([0 * t, *found], axis=0)


def put(path: Path, *parts: tuple[str, float], rate: int, **form: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.concatenate([tone(*part, rate) for part in parts])
    soundfile.write(os.fsencode(path), wave, rate, **form)
    return path


def cut_short(path: Path, seconds: float, rate: int) -> Path:
    """A FLAC file whose end is missing."""
    put(path, ("hum", seconds), rate=rate)
    path.write_bytes(path.read_bytes()[:-20_000])
    return path


def two_channels(folder: Path, rate: int) -> None:
    """A file that hums in both, and one whose channels are a whistle only together."""
    left, right = tone("hum", 6, rate), tone("whistle", 6, rate)
    for name, both in (("a", (left, left)), ("b", (right + left, right - left))):
        soundfile.write(folder / f"{name}.wav", np.stack(both, 1) / 2, rate)


def odd_folder(folder: Path, rate: int) -> None:
    """Two good files, of a hum and a whistle, five that cannot be heard, and one of no sound."""
    put(folder / "b.wav", ("hum", 3), rate=rate)
    put(folder / "a" / "c.flac", ("whistle", 3), rate=rate)
    put(folder / "a" / "none.wav", ("hum", 0), rate=rate)
    put(folder / "a" / "wrong.wav", ("hum", 0.01), rate=7)
    (folder / "bad.wav").write_text("no sound")
    (folder / "song.m4a").write_bytes(b"sound")
    (folder / "notes.txt").touch()
    cut_short(folder / "cut.flac", 9, rate)


def assert_good_ones_told(folder: Path, lines: list[str]) -> None:
    """Of an odd folder, in this order: a line for each."""
    firsts = [line.split("  ") for line in lines]
    assert [(line[0], line[2].split(",")[0]) for line in firsts] == [
        (f"{folder}/b.wav", "hum 90 %"), (f"{folder}/a/c.flac", "whistle 90 %")
    ]  # fmt: skip


def assert_odd_ones_told(said: str, done: str) -> None:
    """Each by its reason; `done` says what is done with recordings."""
    assert "bad.wav: cannot be read; got Format not recognised" in said
    assert "song.m4a: libsndfile does not read .m4a" in said
    assert "none.wav: holds no sound. Leave it out" in said
    assert "wrong.wav: no rate of sound; expected 4000 to 384000 Hz; got 7" in said
    assert "cut.flac: c" in said
    assert f"{done} 2 of 7 recordings, 6.0 s of sound in " in said


def assert_rows_of_all(rows: list[dict[str, Any]]) -> None:
    """As JSON: what is heard of the good ones, why not of the others."""
    assert [Path(row["path"]).name for row in rows if "error" not in row] == ["b.wav", "c.flac"]
    assert sum("error" in row for row in rows) == 5


def assert_nothing_to_hear(folder: Path, asked: Callable[[Path], object]) -> None:
    """Of an empty folder, and of a file that there is not: refused before anything is done."""
    for source, said in ((folder, "no sound files"), (folder / "none.wav", "no such file or fo")):
        with pytest.raises(RunError, match=said):
            asked(source)


def assert_breaks_off(
    path: Path, most: int, rate: int,
    heard: Callable[[np.ndarray], np.ndarray],
    asked: Callable[[Callable[[np.ndarray], np.ndarray], Path], object],
) -> None:  # fmt: skip
    """A file at this path that is good for a while, for `most` patches at least, and no further."""
    answered: list[int] = []

    def count(batch: np.ndarray) -> np.ndarray:
        answered.append(len(batch))
        return heard(batch)

    cut_short(path, 80, rate)
    with pytest.raises(DataError):
        asked(count, path)
    assert sum(answered) >= most


def peaks(folder: Path, work: Callable[[Path], Any]) -> dict[int, tuple[Any, int]]:
    """Minutes -> what comes of a file that long, and how many bytes were in use at once."""
    found = {}
    for minutes in (2, 10):
        path = folder / f"{minutes}.wav"
        with soundfile.SoundFile(path, "w", 16000, 1) as file:
            for _ in range(minutes):
                file.write(tone("hum", 60, 16000))
        tracemalloc.start()
        answer = work(path)
        found[minutes] = answer, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return found


def stored(artifacts: Path, name: str, field: str) -> dict[str, dict[int, np.ndarray]]:
    """File -> start -> window of a recipe's shards, by plain h5py."""
    manifest = [json.loads(line) for line in (artifacts / "manifest.jsonl").open()]
    path_of = {row["id"][:32]: row["path"] for row in manifest if "id" in row}
    found: dict[str, dict[int, np.ndarray]] = {}
    for path in (artifacts / name).glob("*.h5"):
        with h5py.File(path) as file:
            for source, start, one in zip(file["source"], file["start"], file[field], strict=True):
                found.setdefault(path_of[source.decode()], {})[int(start)] = one
    return found
