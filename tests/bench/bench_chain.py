"""How long the whole chain takes, from a folder of files to sealed shards.

Reads and writes a temporary folder. Does: runs `features` on artifacts that are not there yet
(scan, decode, shards; every fsync) in turns with its peers, on workers that have started:
- bare: soundfile reads each file as float32, channels are averaged, soxr (HQ) resamples to
  22,050 Hz; nothing else. In one worker of the same pool, so with the same allocator.
- librosa script: librosa_script.py, with as many jobs, in a process of its own that has started;
- lhotse: lhotse_script.py, likewise.
Our clock starts after the disk has taken what earlier turns left behind.
"""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from pipeline import jobs
from tests.bench.common import Row, cold, corpus, own_recipe, room, turns

RATE = 22050  # Hz, of the recipe
CLIPS, CLIP = 800, 3.0  # files of the short case, seconds of each
LONG = 120.0  # seconds of each long file
LONG_FILES = {"flac": 8, "ogg": 8, "mp3": 8}
TURNS = 3
ONE_FORMAT = {'formats = ["tfrecord", "hdf5"]': 'formats = ["hdf5"]'}


def bare(paths: Sequence[Path]) -> float:
    """Seconds to decode and resample the files; the samples are thrown away."""
    start = time.perf_counter()
    for path in paths:
        y, rate = sf.read(path, dtype="float32")
        if y.ndim == 2:
            y = (y[:, 0] + y[:, 1]) * np.float32(0.5)
        soxr.resample(y, rate, RATE, quality="HQ")
    return time.perf_counter() - start


def in_worker(paths: Sequence[Path]) -> Callable[[], float]:
    """The bare pass in one worker of the pool that the pipeline uses."""
    return lambda: next(jobs.run(bare, [paths], 1))[1]


@contextlib.contextmanager
def script(name: str, folder: Path, count: int) -> Iterator[Callable[[], float]]:
    """A script over a folder, in a process of its own that waits for its turns."""
    asked = [sys.executable, "-m", f"tests.bench.{name}", str(folder), str(count)]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    with subprocess.Popen(
        asked,
        env=plain,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # bars of its own
    ) as process:
        assert process.stdin
        assert process.stdout
        ask, answer = process.stdin, process.stdout

        def run() -> float:
            os.sync()
            ask.write("again\n")
            ask.flush()
            return float(answer.readline())

        yield run
        ask.close()


def _per(seconds: float, files: int) -> str:
    return f"{1e3 * seconds / files:.2f} ms a file"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def short(folder: Path) -> list[Row]:
    """Three-second WAVs: one worker beside the bare pass, two beside one and beside the script."""
    data = corpus(folder / "clips", CLIPS, CLIP, 44100)
    one = own_recipe(folder / "one.toml", "one-format", "noise-classifier", ONE_FORMAT)
    files = _files(data)
    with contextlib.ExitStack() as held:
        calls = {
            "one": cold(data, folder / "a1", one, 1),
            "bare": in_worker(files),
            "two": cold(data, folder / "a2", one, 2),
            "script": held.enter_context(script("librosa_script", data, 2)),
            "both": cold(data, folder / "a3", "noise-classifier", 1),
        }
        if lhotse := importlib.util.find_spec("lhotse"):
            calls["lhotse"] = held.enter_context(script("lhotse_script", data, 2))
        taken = turns(calls, TURNS)
    n, what = len(files), f"chain, {len(files)} WAVs of 3 s"
    per = {name: _per(seconds, n) for name, seconds in taken.items()}
    ratio = taken["bare"] / taken["one"]
    rows = [
        Row(f"{what}: 1 worker / bare decode+resample", per["one"], per["bare"], ratio, 0.6),
        Row(
            f"{what}: both formats / bare decode+resample",
            per["both"],
            per["bare"],
            taken["bare"] / taken["both"],
        ),
        Row(
            f"{what}: 2 workers / librosa script with 2",
            per["two"],
            per["script"],
            taken["script"] / taken["two"],
            2.5,
        ),
        Row(
            f"{what}: 2 workers / 1 worker",
            per["two"],
            per["one"],
            taken["one"] / taken["two"],
            1.85,
        ),
    ]
    if lhotse is None:
        print("skipped: the chain beside lhotse (it is not installed)")
        return rows
    ratio = taken["lhotse"] / taken["two"]
    return [*rows, Row(f"{what}: 2 workers / lhotse with 2", per["two"], per["lhotse"], ratio, 5)]


def long(folder: Path) -> list[Row]:
    """Two-minute stereo files of each codec that has to be decoded."""
    one = own_recipe(folder / "one.toml", "one-format", "noise-classifier", ONE_FORMAT)
    rows = []
    for suffix, count in LONG_FILES.items():
        data = corpus(folder / suffix, count, LONG, 44100, suffix=suffix, channels=2)
        files = _files(data)
        with script("librosa_script", data, 1) as plain:
            calls = {
                "ours": cold(data, folder / "a4", one, 1),
                "bare": in_worker(files),
                "script": plain,
            }
            taken = turns(calls, TURNS)
        per = {name: _per(seconds, count) for name, seconds in taken.items()}
        what = f"chain, {count} stereo {suffix.upper()} of 2 min: 1 worker"
        pairs = (("bare", "bare decode+resample", 0.75), ("script", "librosa script with 1", 2.5))
        for other, name, target in pairs:
            ratio = taken[other] / taken["ours"]
            rows.append(Row(f"{what} / {name}", per["ours"], per[other], ratio, target))
        shutil.rmtree(data)
    return rows


def run() -> list[Row]:
    rows = []
    for part in (short, long):
        with room() as folder:
            rows += part(folder)
    return rows
