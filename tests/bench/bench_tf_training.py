"""What training with TensorFlow takes beside the learning itself: waiting, memory, checkpoints.

Reads: an index of log-mel windows; writes nothing but runs that are gone after it. Does: trains
each of the classifier's nets on it through the engine, in processes of their own, on every core,
and on the GPUs where there are any. Small corpora are held in memory, which grows with them up to a
limit in tf_data.py; what is larger is streamed through a buffer of a fixed size.

What a step changes in its examples is a value of the step's graph: no copy of an example is ever
stored. Two rows would show one: memory after the tenth pass over the corpus beside that after the
first, as every pass changes every example anew; and what the run wrote, which is its checkpoints.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tests.bench.common import Row
from training.classifier.profiles import BACKBONES, PROFILES
from training.data.index import Index

# Examples and steps of an epoch. Keras' nets take seconds a step without a GPU; their batch is
# smaller here, which leaves the share of waiting as it is.
CPU = {"mobilenetv3": (8, 14), "efficientnetv2-b0": (8, 14)}
OTHERS = 32, 16
GPU = 64, 200
DEMO = PROFILES["demo"].backbone
TIMES = 10  # the large corpus has each shard so many times over
MB = 1e6


def once(index: Index, *asked: object) -> Any:
    """What a process of its own says it cost; started as a user starts one."""
    ours = ("OMP_", "OPENBLAS_", "MKL_", "MALLOC_")  # for the pipeline
    plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    command = [sys.executable, "-m", "tests.bench.tf_once", str(index.folder), *map(str, asked)]
    done = subprocess.run(command, env=plain, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def waiting(index: Index, name: str, way: str) -> Iterator[Row]:
    """Parts of an epoch over all shards, from the second on, at the step times that were seen."""
    gpu = bool(tf.config.list_physical_devices("GPU"))
    batch, steps = GPU if gpu else CPU.get(name, OTHERS)
    times = TIMES if gpu or way == "streamed" else 1  # nobody streams what memory holds
    cost = once(index, "wait", times, name, batch, steps, way)
    count = times * index.examples("train") // batch
    waited = cost["begin"] + (count - 1) * cost["wait"]
    epoch = waited + count * (cost["step"] - cost["wait"])
    what = f"tf training{' on a GPU' if gpu else ''}, {name}, {way}"
    speed = f"{1 / cost['step']:.3g} steps/s of {batch}, {batch / cost['step']:.0f}/s"
    ours, share = f"{waited / epoch:.2%}", waited / epoch
    yield Row(f"{what}: waiting for data / an epoch", ours, speed, share, 0.05, at_most=True)
    if gpu and cost["busy"] is not None:
        yield Row(f"{what}: the GPU is busy", f"{cost['busy']:.0%}", speed, cost["busy"], 0.9)
    elif gpu:
        print(f"skipped: how busy the GPU is with {name} (no nvidia-smi, or too soon over)")
    if (name, way) == (DEMO, "held"):
        ours, share = f"{1e3 * cost['save']:.0f} ms", cost["save"] / epoch
        what = f"{what}: a checkpoint / an epoch"
        yield Row(what, ours, f"{epoch:.0f} s", share, 0.02, at_most=True)


def memory(index: Index) -> Iterator[Row]:
    """As many examples of each, so that what a process gathers over time falls on both."""
    for way, aim in (("streamed", 1.1), ("held", None)):
        small = once(index, "memory", 1, TIMES, way)
        large = once(index, "memory", TIMES, 1, way)
        ours, other = (f"{found['most'] / MB:.0f} MB" for found in (large, small))
        what = f"tf training, {way}, peak memory: {TIMES} times the corpus / the corpus"
        yield Row(what, ours, other, large["most"] / small["most"], aim, at_most=True)
        if way == "streamed":
            begin, *_, end = small["resident"]
            what = f"tf training, {way}, memory after pass {TIMES} / after pass 1"
            ours, other = f"{end / MB:.0f} MB", f"{begin / MB:.0f} MB"
            yield Row(what, ours, other, end / begin, 1.05, at_most=True)
            size = TIMES * sum(shard.bytes for shard in index.shards("train", "tfrecord"))
            what = f"tf training, {way}: written by a run / examples that it changed"
            ours, other = f"{small['written'] / MB:.2f} MB", f"{size / MB:.0f} MB"
            yield Row(what, ours, other, small["written"] / size)


def rows(index: Index) -> Iterator[Row]:
    for name in BACKBONES:
        yield from waiting(index, name, "held")
    yield from waiting(index, DEMO, "streamed")
    yield from memory(index)
