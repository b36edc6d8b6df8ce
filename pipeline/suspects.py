"""A file that kills or hangs its decoder takes one worker along, not the run.

Reads: the notes of workers that died. Does: tries the file that a dead worker was inside once more,
alone in a process of its own; if that dies too, its task is done again without it. Writes: one note
for each worker, removed when its task is done.
"""

import contextlib
import hashlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import jobs
from pipeline.disk import clean, store
from pipeline.errors import Rejected

PATIENCE = 60.0  # seconds a file may take, plus one for each of its MiB

NAME = 64  # bytes of a name in a note
NOTED = 0.5  # seconds between notes of how much is done

Condemned = dict[str, tuple[str, str]]  # path -> why it is not tried again


class _Found(Exception):
    """A file that kills its worker was found: go on without it."""


def name(path: str) -> str:
    """A path in a note: of one length, whatever bytes it holds."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()


def limit(size: int) -> float:
    return PATIENCE + size / (1 << 20)


class Watch:
    """Notes which file this worker is inside, and ends the worker when that takes too long."""

    def __init__(self, notes: str) -> None:
        self.path = Path(notes) / str(os.getpid())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self.path, "wb", 0)  # noqa: SIM115  (closed on leaving)
        self.seconds = self.told = 0.0  # of audio in all files so far; when that was last noted

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()
        store.remove(self.path)

    def counted(self, blocks: Iterator[np.ndarray], rate: int) -> Iterator[np.ndarray]:
        """The same blocks; how much sound they hold is noted, for whoever waits."""
        for block in blocks:
            yield block
            self.seconds += len(block) / rate
            if time.monotonic() - self.told >= NOTED:
                self.told = time.monotonic()
                with contextlib.suppress(OSError):  # a note, and nothing hangs on it
                    self.file.seek(NAME)
                    self.file.write(f"{self.seconds:16.1f}".encode())

    @contextlib.contextmanager
    def inside(self, path: str, size: int) -> Iterator[None]:
        try:
            self.file.seek(0)  # names are of one length; truncating a file costs 0.1 ms on ext4
            self.file.write(name(path).encode())
        except OSError as err:  # not an error of the file that is about to be read
            raise store.write_error(self.path, err) from err
        if not jobs.in_worker():
            yield
            return
        _alarm(size)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def under_way(notes: Path) -> float:
    """Seconds of audio that workers have done of the tasks that they are at."""
    total = 0.0
    for note in notes.glob("*"):
        with contextlib.suppress(OSError, ValueError):  # its task may have ended meanwhile
            total += float(note.read_bytes()[NAME:] or 0)
    return total


def _alarm(size: int) -> None:
    """Let the kernel end this process if a decoder hangs: Python's own handlers would wait."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limit(size))


def run(
    function: Callable[[Any], Any],
    tasks: Mapping[str, Any],
    count: int,
    notes: Path,
    files: Mapping[str, int],
    attempt: Callable[[str], None],
) -> Iterator[tuple[str, Any]]:
    """(name, result) of each task as it ends.

    `files` are all paths that the tasks open, with their sizes; `attempt` does to one of them what
    the tasks do. A task is a dataclass with a field `condemned`.
    """
    clean.sweep(notes, clean.NOTE, set())
    condemned: Condemned = {}
    left = dict(tasks)
    while left:
        names = list(left)
        found: Condemned = {}

        def recover(found: Condemned = found) -> None:
            found.update(culprits(notes, files, attempt))
            if found:
                raise _Found

        now = [replace(left[n], condemned=dict(condemned)) for n in names]
        try:
            for index, result in jobs.run(function, now, count, recover):
                del left[names[index]]
                yield names[index], result
        except _Found:
            condemned |= found


def culprits(notes: Path, files: Mapping[str, int], attempt: Callable[[str], None]) -> Condemned:
    """Which files, noted by dead workers, kill a process of their own too."""
    named = {name(path): path for path in files}
    found: Condemned = {}
    for note in sorted(filter(lambda path: clean.NOTE.fullmatch(path.name), notes.glob("*"))):
        path = named.get(note.read_text()[:NAME])
        store.remove(note)
        exitcode = alone(path, files[path], attempt) if path else 0
        if path and exitcode == -signal.SIGALRM:
            found[path] = ("timeout", f"over {limit(files[path]):.0f} s")
        elif path and exitcode < 0:
            found[path] = ("decoder_crash", f"signal {-exitcode}")
    return found


def alone(path: str, size: int, attempt: Callable[[str], None]) -> int:
    """The exit code of a fresh process that does nothing else."""
    given = (os.getpid(), path, size, attempt)
    process = multiprocessing.get_context("spawn").Process(target=_try, args=given)
    with jobs.quiet():
        process.start()
    process.join()
    return process.exitcode or 0


def _try(parent: int, path: str, size: int, attempt: Callable[[str], None]) -> None:
    jobs.prepare(parent)
    _alarm(size)
    with contextlib.suppress(Rejected):
        attempt(path)
