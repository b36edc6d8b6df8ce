"""Sound files below a folder, and how far the work on them is.

Reads: the names in a folder, and the length that a header tells. Does: finds every sound file in a
fixed order, counts what is none; lays out what is told of each. Writes: stderr, a bar on a terminal
and plain lines elsewhere.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import soundfile
from tqdm import tqdm

from training.engine.progress import EVERY
from training.errors import RunError
from training.recordings import FOREIGN, HEARD, UNKNOWN

PATIENCE = 2.0  # seconds of work before a bar is shown


def sound_files(source: Path, apart: Path | None = None) -> tuple[list[Path], int]:
    """(every sound file below a folder but for those below `apart`, how many other files)."""
    out = apart.resolve() if apart else None
    found, passed = [], 0
    for folder, folders, names in os.walk(source, onerror=_closed):  # links are not followed
        here = Path(folder)
        folders[:] = sorted(f for f in folders if f[0] != "." and (here / f).resolve() != out)
        passed += sum((here / f).is_symlink() for f in folders)
        for name in sorted(names):
            path = here / name
            if path.suffix.lower() in HEARD | FOREIGN and name[0] != ".":
                found.append(path)
            else:
                passed += 1
    if not found:
        kinds = ", ".join(sorted(HEARD))
        raise RunError("no sound files", source, kinds, f"{passed} others", "look at IN=")
    return found, passed


def asked_for(source: Path) -> tuple[list[Path], int]:
    """(the file that is named, or every sound file below the folder; how many other files)."""
    if source.is_dir():
        return sound_files(source)
    if not os.path.lexists(source):
        raise RunError("no such file or folder", source, do="look at IN=")
    return [source], 0


def _closed(error: OSError) -> None:
    raise RunError(f"cannot be read: {error.strerror}", error.filename, do="make it readable")


def seconds_of(path: Path) -> float:
    """As its header tells; 0 where it does not."""
    try:
        if not path.is_file():
            return 0.0
        with soundfile.SoundFile(os.fsencode(path)) as recording:
            return 0.0 if recording.frames == UNKNOWN else recording.frames / recording.samplerate
    except (OSError, soundfile.LibsndfileError, TypeError):
        return 0.0  # the reason is told when its turn comes


def told(good: int, of: int, passed: int) -> tuple[str, str]:
    """("3 of 4 recordings", "; 1 other file passed over")."""
    others = f"; {passed} other {'file' if passed == 1 else 'files'} passed over" if passed else ""
    return f"{good} of {of} {'recording' if of == 1 else 'recordings'}", others


def speed(sound: float, took: float) -> str:
    return f"{sound / max(took, 1e-9):.0f} times as fast as it plays"


def clock(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else str(tqdm.format_interval(round(seconds)))


def json_line(row: Mapping[str, Any], out: TextIO | None = None) -> str:
    """JSON with names as they are written, and escaped where `out` (UTF-8) cannot hold them, such
    as those of bytes that are no text."""
    text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode(getattr(out, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(row)
    return text


class Bar:
    """Seconds of sound that are done: a bar on a terminal, plain lines elsewhere, neither for what
    is done at once."""

    def __init__(self, total: float, files: int) -> None:
        self.total, self.files = max(total, 1e-9), files
        self.done, self.number, self.name = 0.0, 0, ""
        self.began = self.last = time.monotonic()
        self.bar: Any = None
        self.turn = threading.Lock()

    def __enter__(self) -> "Bar":
        if sys.stderr.isatty():
            form = "{percentage:3.0f}% |{bar:20}| {desc}"
            self.bar = tqdm(total=self.total, bar_format=form, leave=False, delay=PATIENCE)
        return self

    def file(self, name: str) -> None:
        """The next one begins."""
        self.number, self.name = self.number + 1, name

    def add(self, seconds: float) -> None:
        """So much more is done; several threads may say so."""
        with self.turn:
            self._add(seconds)

    def _add(self, seconds: float) -> None:
        self.done += seconds
        if self.bar is not None:
            self.bar.total = max(self.total, self.done)
            self.bar.set_description_str(self.line(), refresh=False)
            self.bar.update(seconds)
        elif time.monotonic() - self.last >= EVERY:
            self.last = time.monotonic()
            self.say(self.line())

    def line(self) -> str:
        past = max(time.monotonic() - self.began, 1e-9)
        total = max(self.total, self.done)  # a header may tell too little
        left = past / max(self.done, 1e-9) * (total - self.done)
        return (
            f"{clock(self.done)} of {clock(total)} of sound  "
            f"{speed(self.done, past)}  {clock(left)} left  "
            f"file {self.number} of {self.files}: {self.name}"
        )

    def say(self, text: str, out: TextIO | None = None) -> None:
        """A line above the bar, to stderr if nothing else is said."""
        out = out or sys.stderr
        tqdm.write(text, file=out)
        out.flush()

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()
