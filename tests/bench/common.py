"""What the benchmarks share: synthetic recordings, turns, rows.

Reads nothing. Does: makes seeded recordings (noise and tones, so that every codec has work to do),
runs the commands in this process with a pool that is warm, and lets the things compared take
turns. Writes: recordings and artifacts under the folder it is given.
"""

import contextlib
import io
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import soundfile as sf

from pipeline import cli, recipe

CLASSES = ("fan", "rain")  # two folders: the classifier's recipe needs two classes


@dataclass(frozen=True)
class Row:
    """One line of the table. `ratio` is what `target` speaks of; without one it only informs."""

    what: str
    ours: str
    other: str = ""
    ratio: float | None = None
    target: float | None = None
    at_most: bool = False  # the ratio must stay under the target, not reach it

    def met(self) -> bool | None:
        if self.ratio is None or self.target is None:
            return None
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


@contextlib.contextmanager
def room() -> Iterator[Path]:
    """A temporary folder."""
    with tempfile.TemporaryDirectory(prefix="melmill-bench-") as name:
        yield Path(name)


def sound(seed: int, seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """(samples, channels) int16: noise under slow swells, and three tones."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    t = np.arange(n, dtype=np.float32) / rate
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * rng.uniform(0.3, 1.0) * t + rng.uniform(0, 6))
    tones = sum(np.sin(2 * np.pi * f * t) for f in rng.uniform(100, 4000, 3).astype(np.float32))
    noise = rng.standard_normal((n, channels), np.float32)
    wave = (0.05 * noise + 0.05 * tones[:, None]) * swell[:, None]
    return np.round(32767 * wave).astype(np.int16)


def corpus(
    folder: Path, count: int, seconds: float, rate: int, *, suffix: str = "wav", channels: int = 1
) -> Path:
    """`count` recordings, half of them in the folder of each class."""
    for i in range(count):
        path = folder / CLASSES[i % 2] / f"{i:05d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = sound(i, seconds, rate, channels)
        with sf.SoundFile(path, "w", rate, channels) as file:
            for at in range(0, len(samples), rate):  # libvorbis needs the stack for a whole write
                file.write(samples[at : at + rate])
    return folder


def own_recipe(path: Path, name: str, shipped: str, changes: Mapping[str, str]) -> Path:
    """A shipped recipe as a user edits it: some lines replaced."""
    text = (Path(recipe.__file__).parent / "recipes" / f"{shipped}.toml").read_text()
    for old, new in {f'name = "{shipped}"': f'name = "{name}"', **changes}.items():
        if text.count(old) != 1:
            raise ValueError(f"{shipped}.toml does not hold {old!r} once")
        text = text.replace(old, new)
    path.write_text(text)
    return path


def command(stage: str, data: Path, artifacts: Path, recipe: str | Path, jobs: int) -> str:
    """One command of the pipeline, in this process; what it printed."""
    given = ["--data", data, "--artifacts", artifacts, "--recipe", recipe, "--jobs", jobs]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        cli.cli.main([stage, *map(str, given)], standalone_mode=False)
    return printed.getvalue()


def cold(data: Path, artifacts: Path, recipe: str | Path, jobs: int) -> Callable[[], float]:
    """A call that makes everything from nothing; gives the seconds it took."""

    def run() -> float:
        shutil.rmtree(artifacts, ignore_errors=True)
        os.sync()  # else we wait for the disk to take what was removed
        start = time.perf_counter()
        command("features", data, artifacts, recipe, jobs)
        return time.perf_counter() - start

    return run


def turns(calls: Mapping[str, Callable[[], float]], count: int) -> dict[str, float]:
    """Median seconds of each call. They take turns (A B A B), so that noise falls on all alike;
    a first turn, not counted, starts workers and fills caches."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(count + 1):
        for name, call in calls.items():
            seconds = call()
            if turn:
                taken[name].append(seconds)
    return {name: median(each) for name, each in taken.items()}
