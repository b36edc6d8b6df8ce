"""A recording, or a folder of them, through a denoiser.

Reads: a file, or every sound file below a folder. Writes: the cleaned ones, a folder as the same
tree; never over a source. Does: names what it could not clean and goes on, shows how far it is.
"""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile
from tqdm import tqdm

from training.data.index import DataError
from training.denoiser.net import Denoiser
from training.denoiser.stream import denoise_file
from training.durable import write_error
from training.engine.progress import EVERY
from training.errors import RunError
from training.recordings import FOREIGN, HEARD, UNKNOWN
from training.run import say

PATIENCE = 2.0  # seconds of work before a bar is shown


@dataclass(frozen=True)
class Cleaned:
    """What came of one recording; without a reason, it was cleaned."""

    source: Path
    target: Path
    seconds: float = 0.0  # of sound
    reason: str = ""


def exit_code(done: Sequence[Cleaned]) -> int:
    """0 when every recording was cleaned."""
    return int(any(one.reason for one in done))


def denoise_path(net: Denoiser, net_rate: int, source: Path, target: Path) -> list[Cleaned]:
    """Clean a file, or a folder into a folder of the same tree.

    A recording that cannot be cleaned is named, and the others go on; a disk that cannot be written
    ends the run with a RunError.
    """
    began = time.monotonic()
    if source.is_dir():
        pairs, passed = _tree(source, target)
    else:
        pairs, passed = [(source, target / source.name if target.is_dir() else target)], 0
    _check_apart(pairs)
    done = []
    with _Bar(sum(_seconds(path) for path, _ in pairs), len(pairs)) as bar:
        for path, place in pairs:
            bar.file(path.name)
            done.append(_cleaned(net, net_rate, path, place, bar))
            if done[-1].reason:
                bar.say(done[-1].reason)
    say(_summary(done, passed, target, time.monotonic() - began))
    return done


def _cleaned(net: Denoiser, net_rate: int, source: Path, target: Path, bar: "_Bar") -> Cleaned:
    seconds = 0.0

    def tick(more: float) -> None:
        nonlocal seconds
        seconds += more
        bar.add(more)

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        denoise_file(net, net_rate, source, target, tick)
    except DataError as error:
        return Cleaned(source, target, reason=str(error))
    except OSError as error:
        raise write_error(target, error) from error
    return Cleaned(source, target, round(seconds, 6))


def _tree(source: Path, target: Path) -> tuple[list[tuple[Path, Path]], int]:
    """(every sound file and where it goes, how many other files there are)."""
    if target.exists() and not target.is_dir():
        raise RunError("a folder cannot go into a file", target, do="name a folder with OUT=")
    out = target.resolve()
    pairs, passed = [], 0
    for folder, folders, names in os.walk(source, onerror=_closed):  # links are not followed
        here = Path(folder)
        folders[:] = sorted(f for f in folders if f[0] != "." and (here / f).resolve() != out)
        passed += sum((here / f).is_symlink() for f in folders)
        for name in sorted(names):
            path = here / name
            if path.suffix.lower() in HEARD | FOREIGN and name[0] != ".":
                pairs.append((path, target / path.relative_to(source)))
            else:
                passed += 1
    if not pairs:
        kinds = ", ".join(sorted(HEARD))
        raise RunError("no sound files", source, kinds, f"{passed} others", "look at IN=")
    return pairs, passed


def _closed(error: OSError) -> None:
    raise RunError(f"cannot be read: {error.strerror}", error.filename, do="make it readable")


def _check_apart(pairs: Sequence[tuple[Path, Path]]) -> None:
    """No target is a source, by whatever name."""
    sources = {(s.st_dev, s.st_ino) for s in (path.stat() for path, _ in pairs if path.exists())}
    for _, target in pairs:
        if target.exists() and (target.stat().st_dev, target.stat().st_ino) in sources:
            raise RunError("a source would be overwritten", target, do="name another OUT")


def _seconds(path: Path) -> float:
    """As its header tells; 0 where it does not."""
    try:
        if not path.is_file():
            return 0.0
        with soundfile.SoundFile(path) as recording:
            return 0.0 if recording.frames == UNKNOWN else recording.frames / recording.samplerate
    except (OSError, soundfile.LibsndfileError, TypeError):
        return 0.0  # the reason is told when its turn comes


def _summary(done: Sequence[Cleaned], passed: int, target: Path, took: float) -> str:
    good = [one for one in done if not one.reason]
    sound = sum(one.seconds for one in good)
    things = "recording" if len(done) == 1 else "recordings"
    files = "file" if passed == 1 else "files"
    others = f"; {passed} other {files} passed over" if passed else ""
    return (
        f"cleaned {len(good)} of {len(done)} {things}, {_clock(sound)} of sound in {_clock(took)} "
        f"({_speed(sound, took)}), into {target}{others}"
    )


def _speed(sound: float, took: float) -> str:
    return f"{sound / max(took, 1e-9):.0f} times as fast as it plays"


def _clock(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else str(tqdm.format_interval(round(seconds)))


class _Bar:
    """Seconds of sound that are done: a bar on a terminal, plain lines elsewhere, neither for what
    is done at once."""

    def __init__(self, total: float, files: int) -> None:
        self.total, self.files = max(total, 1e-9), files
        self.done, self.number, self.name = 0.0, 0, ""
        self.began = self.last = time.monotonic()
        self.bar: Any = None

    def __enter__(self) -> "_Bar":
        if sys.stderr.isatty():
            form = "{percentage:3.0f}% |{bar:20}| {desc}"
            self.bar = tqdm(total=self.total, bar_format=form, leave=False, delay=PATIENCE)
        return self

    def file(self, name: str) -> None:
        """The next one begins."""
        self.number, self.name = self.number + 1, name

    def add(self, seconds: float) -> None:
        """So much more is done."""
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
            f"{_clock(self.done)} of {_clock(total)} of sound  "
            f"{_speed(self.done, past)}  {_clock(left)} left  "
            f"file {self.number} of {self.files}: {self.name}"
        )

    def say(self, text: str) -> None:
        """A line above the bar."""
        tqdm.write(text, file=sys.stderr)
        sys.stderr.flush()

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()
