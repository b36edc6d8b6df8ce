"""What training takes beside the learning itself: its loader, waiting, memory, checkpoints.

Reads and writes a temporary folder. Does: makes shards, times the loader beside its peers, then
trains on them in processes of their own, on every core. Passes over what needs a package that is
not there.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench import bench_loader
from tests.bench.common import Row, room
from training.data.index import Index

# Profile: examples and steps of an epoch. The large net takes seconds an example without a GPU; its
# batch is smaller here, which leaves the share of waiting as it is.
PROFILES = {"demo": (16, 6), "small": (16, 6), "best": (1, 3), "classic": (1, 3)}
EPOCHS = 4
PART = 10  # the small corpus is one of so many parts of the large one's shards
MB = 1e6


def once(index: Index, *asked: object) -> Any:
    """What a training process of its own says it cost; started as a user starts one."""
    ours = ("OMP_", "OPENBLAS_", "MKL_", "MALLOC_")  # for the pipeline
    plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    command = [sys.executable, "-m", "tests.bench.training_once", str(index.folder)]
    done = subprocess.run(
        [*command, *map(str, asked)], env=plain, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def waiting(index: Index) -> Iterator[Row]:
    """Parts of an epoch over all shards, from the second on, at the step times that were seen."""
    for name, (batch, steps) in PROFILES.items():
        cost = once(index, "wait", name, batch, steps)
        count = index.examples("train") // batch
        waited = cost["begin"] + (count - 1) * cost["wait"]
        epoch = waited + count * (cost["step"] - cost["wait"])
        step = f"{1e3 * cost['step']:.0f} ms a step"
        what = f"training, {name}: waiting for data / an epoch"
        yield Row(what, f"{waited / epoch:.2%}", step, waited / epoch, 0.02, at_most=True)
        if name == "demo":
            share = cost["save"] / epoch
            what = f"training, {name}: a checkpoint / an epoch"
            ours, other = f"{1e3 * cost['save']:.0f} ms", f"{epoch:.0f} s"
            yield Row(what, ours, other, share, 0.02, at_most=True)


def memory(index: Index) -> Iterator[Row]:
    large, small = (once(index, "memory", part, EPOCHS) for part in (1, PART))
    mb = f"{large[-1] / MB:.0f} MB"
    yield Row(
        f"training, memory after epoch {EPOCHS} / after epoch 1",
        mb,
        f"{large[0] / MB:.0f} MB",
        large[-1] / large[0],
        1.05,
        at_most=True,
    )
    yield Row(
        f"training, memory, {PART} times the corpus / the corpus",
        mb,
        f"{small[-1] / MB:.0f} MB",
        large[-1] / small[-1],
        1.10,
        at_most=True,
    )


def rows(folder: Path) -> Iterator[Row]:
    index = bench_loader.shards(folder)
    yield from bench_loader.rows(folder, index)
    if importlib.util.find_spec("torch") is None:
        print("skipped: waiting, memory and checkpoints of training (no torch: make torch)")
        return
    yield from waiting(index)
    yield from memory(index)


def run() -> list[Row]:
    with room() as folder:
        return list(rows(folder))
