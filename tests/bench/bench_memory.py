"""How much memory a run takes, and what it grows with.

Reads and writes a temporary folder. Does: starts `features` as a process of its own and samples
the resident memory of it and of all below it, every 20 ms. Pages that processes share count for
each of them, so the sums err upwards.
"""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import soundfile as sf

from tests.bench.common import CLASSES, Row, corpus, own_recipe, room, sound

FEW = 300  # files of 3 s; the other corpus holds ten times as many
SMALL = {"shard_mb = 32": "shard_mb = 4"}  # so that both corpora fill shards for two workers
EVERY = 0.02  # seconds between samples
HOUR = 3600  # seconds
MB = 1e6
SHIPPED = "noise-classifier"


@dataclass
class Peak:
    """Bytes resident at once: of all processes, of the largest one below the first."""

    tree: int = 0
    worker: int = 0


def watch(data: Path, artifacts: Path, jobs: int, recipe: str | Path = SHIPPED) -> Peak:
    """Run `features` on new artifacts and watch it."""
    shutil.rmtree(artifacts, ignore_errors=True)
    asked = ("--data", data, "--artifacts", artifacts, "--recipe", recipe)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "features", *map(str, asked), "--jobs", str(jobs)],
        stdout=subprocess.DEVNULL,
    )
    first, peak = psutil.Process(process.pid), Peak()
    while process.poll() is None:
        try:
            below = [_resident(child) for child in first.children(recursive=True)]
            peak.tree = max(peak.tree, _resident(first) + sum(below))
            peak.worker = max(peak.worker, *below, 0)
        except psutil.Error:
            pass  # it ended between two looks
        time.sleep(EVERY)
    if process.returncode:
        raise RuntimeError(f"features ended with {process.returncode}")
    return peak


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def part_of(data: Path, folder: Path, count: int) -> Path:
    """The first files of a corpus under a second name."""
    for path in sorted(data.rglob("*.wav"), key=lambda path: path.name)[:count]:
        link = folder / path.relative_to(data)
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, link)
    return folder


def one_of(folder: Path, seconds: int) -> Path:
    """A stereo recording of this length at 48 kHz in one class, one of ten seconds in the other."""
    for k, (name, length) in enumerate(zip(CLASSES, (seconds, 10), strict=True)):
        (folder / name).mkdir(parents=True)
        piece = sound(2 * 10**6 + k, 10.0, 48000, 2)
        with sf.SoundFile(folder / name / "a.wav", "w", 48000, 2) as file:
            for _ in range(length // 10):
                file.write(piece)
                piece = np.roll(piece, 997, axis=0)
    return folder


def run() -> list[Row]:
    with room() as folder:
        many = corpus(folder / "many", 10 * FEW, 3.0, 44100)
        few = part_of(many, folder / "few", FEW)
        recipe = own_recipe(folder / "small.toml", "small-shards", SHIPPED, SMALL)
        small, large = (watch(data, folder / "a", 2, recipe) for data in (few, many))
        full = watch(many, folder / "a", 2)
        shutil.rmtree(many)
        shutil.rmtree(few)
        brief = watch(one_of(folder / "brief", 10), folder / "a", 1)
        hour = watch(one_of(folder / "hour", HOUR), folder / "a", 1)
    worker = max(small.worker, large.worker, full.worker, brief.worker, hour.worker)
    more = hour.tree - brief.tree
    return [
        Row(
            f"memory, {10 * FEW} files / {FEW} files, shards of 4 MB, 2 workers",
            f"{large.tree / MB:.0f} MB",
            f"{small.tree / MB:.0f} MB",
            large.tree / small.tree,
            1.10,
            at_most=True,
        ),
        Row(
            f"memory, {10 * FEW} files, shards of 32 MB, 2 workers",
            f"{full.tree / MB:.0f} MB",
        ),
        Row(
            "memory, largest worker of all these runs / 300 MB",
            f"{worker / MB:.0f} MB",
            "300 MB",
            worker / (300 * MB),
            1.0,
            at_most=True,
        ),
        Row(
            "memory, what an hour of 48 kHz stereo takes more than 10 s / 100 MB",
            f"{hour.tree / MB:.0f} MB",
            f"{brief.tree / MB:.0f} MB",
            more / (100 * MB),
            1.0,
            at_most=True,
        ),
    ]
