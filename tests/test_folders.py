"""Sound files below a folder: which are found and in what order, and how the work is shown."""

import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tqdm import tqdm

from training import folders
from training.errors import RunError
from training.folders import Bar, seconds_of, sound_files, told


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(folder: Path, apart: Path | None = None) -> tuple[list[str], int]:
    found, passed = sound_files(folder, apart)
    return [str(path.relative_to(folder)) for path in found], passed


def test_every_sound_file_is_found_in_order_and_the_others_counted(tmp_path: Path) -> None:
    good = ["b.wav", "z.m4a", "a/c.FLAC", "a/d/e.opus", "c/f.mp3"]
    touch(tmp_path, *reversed(good))
    touch(tmp_path, "notes.txt", "a/cover.png", ".hidden.wav", ".trash/x.wav", "a/._b.wav")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert names(tmp_path) == (good, 5)  # what lies in a hidden folder is not looked at


def test_what_lies_apart_is_not_found(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b/c.wav", "b/out/a.wav", "d/out/e.wav")
    assert names(tmp_path, tmp_path / "d" / ".." / "b" / "out")[0] == [
        "a.wav", "b/c.wav", "d/out/e.wav"
    ]  # fmt: skip


def test_a_folder_without_sound_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt")
    with pytest.raises(RunError, match=r"no sound files; expected \.aif.*got 1 others"):
        sound_files(tmp_path)


def test_a_closed_folder_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.wav", "b/c.wav")
    scandir = os.scandir

    def closed(path: str) -> object:
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(RunError, match="b: cannot be read: Permission denied"):
        sound_files(tmp_path)


def test_a_length_is_that_of_the_header_or_none(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(12_000), 8000)
    (tmp_path / "b.wav").write_text("no sound")
    found = [seconds_of(tmp_path / name) for name in ("a.wav", "b.wav", "none.wav", ".")]
    assert found == [1.5, 0.0, 0.0, 0.0]


class Clock:
    """A second passes whenever somebody looks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(folders.time, "monotonic", self.look)

    def look(self) -> float:
        self.now += 1.0
        return self.now


def test_a_line_in_ten_seconds_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch)
    with Bar(40.0, 1) as bar:
        bar.file("a.wav")
        for _ in range(40):
            bar.add(1.0)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    first = lines[0].split("  ")
    assert first[0] == "10.0 s of 40.0 s of sound"
    assert (first[2].endswith(" left"), first[3]) == (True, "file 1 of 1: a.wav")


def test_a_bar_on_a_terminal_for_what_lasts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Eager(tqdm):
        def __init__(self, **form: Any) -> None:
            super().__init__(mininterval=0, **form)

    monkeypatch.setattr(folders, "tqdm", Eager)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for patience, shown in ((60.0, False), (0.0, True)):
        monkeypatch.setattr(folders, "PATIENCE", patience)
        with Bar(3.0, 1) as bar:
            bar.file("a.wav")
            for _ in range(3):
                bar.add(1.0)
        err = capsys.readouterr().err
        assert ("% |" in err) == shown
        assert ("file 1 of 1: a.wav" in err) == shown


def test_a_result_goes_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    with Bar(1.0, 1) as bar:
        bar.say("rain", out)
        bar.say("bad file")
    assert (out.getvalue(), capsys.readouterr().err) == ("rain\n", "bad file\n")


def test_times_are_readable() -> None:
    with Bar(7200.0, 3) as bar:
        bar.began -= 60.0
        bar.file("a.wav")
        bar.done = 3599.9999  # a sum of parts
        assert bar.line() == (
            "1:00:00 of 2:00:00 of sound  60 times as fast as it plays  01:00 left  "
            "file 1 of 3: a.wav"
        )


def test_counts_are_readable() -> None:
    assert told(1, 1, 0) == ("1 of 1 recording", "")
    assert told(0, 2, 1) == ("0 of 2 recordings", "; 1 other file passed over")
    assert told(2, 2, 3) == ("2 of 2 recordings", "; 3 other files passed over")
