"""How many tracks a minute are tagged, by decoding, spectrum and net together.

Reads and writes a temporary folder. Does: makes tracks of a minute in three formats, imports the
published weights, and lets the ways to tag take turns, each in a process of its own: ours with one
track and with two at once, librosa one file at a time, and the package's own extractor (which makes
its graph anew for every track) on the same files.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile as sf

from tests.bench.common import Row, room, sound
from training.errors import RunError

TRACKS, SECONDS, RATE = 12, 60.0, 44100
TURNS = 3
ENDS = ("mp3", "flac", "ogg")


def tracks(folder: Path) -> Path:
    folder.mkdir()
    for i in range(TRACKS):
        samples = sound(i, SECONDS, RATE, 2)
        with sf.SoundFile(folder / f"{i:02d}.{ENDS[i % 3]}", "w", RATE, 2) as file:
            for at in range(0, len(samples), RATE):
                file.write(samples[at : at + RATE].astype(np.int16))
    return folder


def once(folder: Path, art: Path, *asked: str) -> float:
    """Seconds for all tracks, as a process of its own says."""
    ours = ("OMP_", "OPENBLAS_", "MKL_", "MALLOC_")  # for the pipeline
    plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    command = [sys.executable, "-m", "tests.bench.tagger_once", str(folder), str(art), *asked]
    done = subprocess.run(command, env=plain, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    found: Any = json.loads(done.stdout)
    return float(found)


def rows(folder: Path) -> Iterator[Row]:
    from training.tagger.published import imported

    imported(folder / "art")
    made = tracks(folder / "tracks")
    ways = {"1 job": ("ours", "1"), "2 jobs": ("ours", "2"), "librosa": ("librosa",),
            "published": ("published",)}  # fmt: skip
    taken: dict[str, list[float]] = {}
    for _ in range(TURNS):
        for name, asked in list(ways.items()):
            try:
                taken.setdefault(name, []).append(once(made, folder / "art", *asked))
            except RuntimeError as missing:
                print(f"skipped: tagging, {name} ({missing})")
                del ways[name]
    speed = {name: 60 * TRACKS / median(each) for name, each in taken.items() if each}
    for name in ("1 job", "2 jobs"):
        for other, words in (("librosa", "librosa, a file at a time"),
                             ("published", "the published extractor")):  # fmt: skip
            if other in speed:
                yield row(f"tagging {SECONDS:.0f} s tracks, {name} / {words}", speed, name, other)
    yield row("tagging, 2 jobs / 1 job", speed, "2 jobs", "1 job")


def row(what: str, speed: dict[str, float], ours: str, other: str) -> Row:
    told = (f"{speed[name]:.1f}/min" for name in (ours, other))
    return Row(what, *told, speed[ours] / speed[other])


def run() -> list[Row]:
    with room() as folder:
        try:
            return list(rows(folder))
        except RunError as missing:
            print(f"skipped: tagging ({missing})")
            return []
