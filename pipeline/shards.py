"""One shard: examples made, encoded and sealed, then its receipt.

Reads: decoded packs, and noise shards whose hash is as the plan knows it. Does: carries out one
task in a worker. Writes: artifacts/<recipe>/<task>.<key>.h5 and .tfrecord, then the receipt, which
tells the next run that the task is done. A shard's key holds the version of this code.
"""

import functools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import examples, schema, tracks
from pipeline.audio.pcm import Packs
from pipeline.disk import stamps, store
from pipeline.dsp import statistics
from pipeline.errors import MelmillError
from pipeline.formats import hdf5, tfrecord
from pipeline.formats.fields import Field
from pipeline.items import Task
from pipeline.recipe import Recipe
from pipeline.tracks import Track

SUFFIX = {"hdf5": "h5", "tfrecord": "tfrecord"}


@dataclass(frozen=True)
class Place:
    """Where a sealed noise track stands."""

    path: str
    sha256: str
    row: int
    whole: int  # samples of a track without padding


@dataclass(frozen=True)
class Job:
    """A task with all that a worker needs to carry it out."""

    folder: str
    recipe: Recipe
    tags: int
    task: Task
    places: tuple[Place, ...] = ()
    noise: tuple[Track, ...] = ()  # tracks to render, when this is a shard of noise
    only: tuple[str, ...] = ()  # formats to write: those that are missing or damaged


def name(task: Task, suffix: str) -> str:
    """The file of a task."""
    return f"{task.name}.{task.key[:12]}.{suffix}"


@functools.lru_cache(maxsize=4096)
def _checked(path: str, sha256: str) -> Path:
    """A noise shard whose hash was compared once by this process."""
    if stamps.sha256_file(Path(path)) != sha256:
        raise MelmillError("damaged noise shard", where=path, do="run the same command again")
    return Path(path)


@functools.lru_cache(maxsize=24)
def _track(place: Place) -> np.ndarray:
    path = _checked(place.path, place.sha256)
    rows = hdf5.read_rows(path, tracks.fields(place.whole), place.row, place.row + 1)
    samples: np.ndarray = rows["samples"][0, : int(rows["length"][0])]
    return samples


def make_shard(job: Job) -> dict[str, Any]:
    """Make one task's examples and seal them; the receipt is written last. Runs in a worker."""
    packs = Packs(Path(job.folder).parent / "pcm")
    if job.noise:
        described = tracks.fields(tracks.samples(job.recipe))
        arrays, skipped = _noise_arrays(job, packs), Counter[str]()
    else:
        described = schema.fields(job.recipe, max(job.tags, 1))

        def noise(track: int) -> tuple[str, np.ndarray]:
            return job.task.tracks[track].id, _track(job.places[track])

        batch = examples.make(job.task.items, job.recipe, job.tags, packs, noise)
        arrays, skipped = batch.done(), batch.skipped
    count = len(next(iter(arrays.values())))
    summed = job.task.split == "train" and count and not job.noise
    receipt = {
        "name": job.task.name,
        "key": job.task.key,
        "split": job.task.split,
        "receipt": name(job.task, "json"),
        "examples": count,
        "seconds": job.task.seconds,
        "skipped": dict(sorted(skipped.items())),
        "sums": statistics.sums(arrays, job.recipe) if summed else {},
        "files": _write(job, described, arrays, count),
    }
    store.write_if_changed(
        Path(job.folder) / name(job.task, "json"), store.dump_json(store.seal(receipt))
    )
    return receipt


def _noise_arrays(job: Job, packs: Packs) -> dict[str, np.ndarray]:
    assert job.recipe.mix is not None
    described = tracks.fields(tracks.samples(job.recipe))
    arrays = {f.name: np.zeros((len(job.noise), *f.shape), f.numpy) for f in described}
    for row, track in enumerate(job.noise):
        wave = tracks.render(track, job.recipe, packs)
        arrays["samples"][row, : len(wave)] = wave
        arrays["length"][row] = len(wave)
        arrays["kind"][row] = job.recipe.mix.noises.index(track.kind)
        arrays["source"][row] = track.id[:32].encode()
        arrays["groups"][row, : len(track.groups)] = track.groups
    return arrays


def _write(
    job: Job, described: list[Field], arrays: dict[str, np.ndarray], count: int
) -> list[dict[str, Any]]:
    """Seal the arrays in every format; those that stand whole are described, not written."""
    formats = ("hdf5",) if job.noise else job.recipe.output.formats
    files = []
    for form in formats if count else ():
        path = Path(job.folder) / name(job.task, SUFFIX[form])
        data: bytearray | memoryview
        if form == "hdf5":
            data = hdf5.encode(described, arrays, {"key": job.task.key, "split": job.task.split})
        else:
            data = tfrecord.encode(described, arrays)
        sha = store.write_bytes(path, data) if form in job.only else store.sha256(data)
        files.append(
            {
                "path": path.name,
                "split": job.task.split,
                "format": form,
                "examples": count,
                "bytes": len(data),
                "sha256": sha,
            }
        )
        del data  # before the other format is encoded: a shard's bytes are held once, not twice
    return files
