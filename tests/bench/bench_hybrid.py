"""What memory it takes to feed a hybrid, beside four ways in which such programs run out of it.

Reads and writes a temporary folder. Does: makes shards of raw windows, a tenth of the 8,700 clips
that such programs were seen to fail on with 15 GB, and measures each way in a process of its own.
What the other ways take grows with the data; ours takes a buffer and batches in work.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.common import Row, command, corpus, own_recipe, room

FILES, SECONDS, RATE = 109, 24.0, 22050  # 8 windows each: 872
MB = 1e6
WAYS = {
    "copies": "four augmented copies in memory",
    "features": "the copies and features of all of them",
    "whole": "the whole data set in memory",
    "views": "three copies of the test set",
    "all": "all four, as one program has them",
}


def rows(folder: Path) -> Iterator[Row]:
    corpus(folder / "clips", FILES, SECONDS, RATE)
    own = own_recipe(folder / "own.toml", "raw", "hybrid", {})
    command("features", folder / "clips", folder / "art", own, 2)
    for way, words in WAYS.items():
        theirs, ours = (once(folder / "art" / "raw", one) for one in (way, f"ours-{way}"))
        told = f"{ours / MB:.0f} MB", f"{theirs / MB:.0f} MB"
        target = 10.0 if way == "all" else None  # one way alone is a smaller program
        yield Row(f"hybrid, memory of its data: {words} / ours", *told, theirs / ours, target)


def once(index: Path, way: str) -> int:
    """Bytes at most, as a process of its own says."""
    ours = ("OMP_", "OPENBLAS_", "MKL_", "MALLOC_")  # for the pipeline
    plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    asked = [sys.executable, "-m", "tests.bench.hybrid_once", str(index), way]
    done = subprocess.run(asked, env=plain, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return int(json.loads(done.stdout))


def run() -> list[Row]:
    with room() as folder:
        return list(rows(folder))
