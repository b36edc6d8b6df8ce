"""Stage 3: a recipe's shards and their index.

Reads: the corpus (manifest, packs, splits), labels and the recipe. Does: makes every shard whose
receipt is missing, of another key, or damaged; nothing else. Writes: artifacts/<recipe>/*.h5,
*.tfrecord and a receipt for each task, then index.json, which is the commit point; sweeps what it
does not name.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import jobs, keys, labels, schema, shards, tracks
from pipeline import plan as planning
from pipeline.corpus import Corpus
from pipeline.disk import clean, guard, stamps, store
from pipeline.errors import MelmillError
from pipeline.index import index as told
from pipeline.items import Task
from pipeline.plan import Plan
from pipeline.progress import Progress
from pipeline.recipe import Recipe
from pipeline.shards import Job, Place, make_shard


@dataclass
class Built:
    """What one recipe came to."""

    name: str
    folder: Path
    index: dict[str, Any]
    made: int = 0  # shards written by this run
    kept: int = 0
    seconds: float = 0.0  # of audio in the shards that were made
    elapsed: float = 0.0


def build(
    recipe: Recipe, corpus: Corpus, artifacts: Path, count: int, hashes: stamps.Hashes
) -> Built:
    """Bring artifacts/<recipe> up to date."""
    began = time.monotonic()
    folder = artifacts / recipe.name
    fingerprint = keys.fingerprint(recipe, corpus)
    heard = labels.update(recipe, corpus, artifacts, count, hashes)
    index = current(folder, fingerprint, hashes)
    if index is not None:
        clean.sweep(folder, clean.SHARD, _named(index))  # a run may have been killed while it swept
        kept = len(index["shards"]) + len(index["noise"])
        return Built(recipe.name, folder, index, kept=kept)
    plan = planning.plan(recipe, corpus, labels.read(heard))
    built = Built(recipe.name, folder, {})
    noise_jobs = _noise_jobs(plan, folder)
    noise = _carry_out(noise_jobs, built, hashes, count, f"{recipe.name} noise")
    places = _places(noise_jobs, noise, folder)
    receipts = _carry_out(_jobs(plan, folder, places), built, hashes, count, recipe.name)
    built.index = told(plan, corpus, fingerprint, receipts, noise)
    data = store.dump_json(store.seal(built.index), pretty=True)
    store.write_if_changed(folder / "index.json", data)
    clean.sweep(folder, clean.SHARD, _named(built.index))
    built.elapsed = time.monotonic() - began
    return built


def current(folder: Path, fingerprint: str, hashes: stamps.Hashes) -> dict[str, Any] | None:
    """The index as it stands, if it is of this fingerprint and every shard is whole."""
    try:
        index = store.load_sealed(folder / "index.json")
    except (OSError, MelmillError):
        return None
    if index.get("fingerprint") != fingerprint or "receipts" not in index:
        return None
    whole = all(_whole(folder, f, hashes) for f in (*index["shards"], *index["noise"]))
    sealed = whole and all(_sealed(folder / name, hashes) for name in index["receipts"])
    return index if sealed else None


def _named(index: dict[str, Any]) -> set[str]:
    """The files of a recipe's folder; a task without examples has a receipt and nothing else."""
    files = {f["path"] for f in (*index["shards"], *index["noise"])}
    return {"index.json", *files, *index["receipts"]}


def _sealed(receipt: Path, hashes: stamps.Hashes) -> bool:
    """Whether a receipt is whole; read only if its stamp moved."""
    try:
        if not hashes.knows(receipt):
            if store.load_sealed(receipt)["receipt"] != receipt.name:
                return False
            hashes.of(receipt)
    except (OSError, MelmillError, KeyError):
        return False
    return True


def _whole(folder: Path, file: dict[str, Any], hashes: stamps.Hashes) -> bool:
    try:
        path = store.inside(folder, file["path"])
        return path.stat().st_size == file["bytes"] and hashes.of(path) == file["sha256"]
    except (OSError, MelmillError):
        return False


def _estimate(job: Job) -> int:
    """Bytes that a job will write, about."""
    if job.noise:
        count, described = len(job.noise), tracks.fields(tracks.samples(job.recipe))
    else:
        count = sum(item.count for item in job.task.items) * schema.variants(job.recipe)
        described = schema.fields(job.recipe, max(job.tags, 1))
    return count * sum(f.nbytes for f in described) * len(job.only)


def _noise_jobs(plan: Plan, folder: Path) -> list[Job]:
    """Noise tracks in shards of their own, HDF5 only: the loader reads slices of them."""
    found = []
    for split, all_tracks in plan.noise.items():
        for bits, mine in planning.noise_groups(all_tracks, plan.recipe).items():
            key = keys.noise_key(mine, plan.recipe)
            task = Task(f"noise-{split}-{bits}", key, split, ())
            found.append(
                Job(os.fspath(folder), plan.recipe, 0, task, noise=tuple(mine), only=("hdf5",))
            )
    return found


def _jobs(plan: Plan, folder: Path, places: dict[str, Place]) -> list[Job]:
    formats = plan.recipe.output.formats
    return [
        Job(
            folder=os.fspath(folder),
            recipe=plan.recipe,
            tags=len(plan.tags),
            task=task,
            places=tuple(places[t.id] for t in task.tracks),
            only=formats,
        )
        for task in plan.tasks
    ]


def _places(
    noise_jobs: Sequence[Job], receipts: Sequence[dict[str, Any]], folder: Path
) -> dict[str, Place]:
    found = {}
    for job, receipt in zip(noise_jobs, receipts, strict=True):
        file = receipt["files"][0]
        for row, track in enumerate(job.noise):
            path, whole = os.fspath(folder / file["path"]), tracks.samples(job.recipe)
            found[track.id] = Place(path, file["sha256"], row, whole)
    return found


def _carry_out(
    wanted: list[Job], built: Built, hashes: stamps.Hashes, count: int, title: str
) -> list[dict[str, Any]]:
    """The receipts of all jobs, in their order; only what is not there yet is made."""
    receipts: dict[str, dict[str, Any]] = {}
    waiting = []
    for job in wanted:
        receipt, lost = _standing(job, hashes)
        if receipt is not None and not lost:
            receipts[job.task.name] = receipt
            built.kept += len(receipt["files"])
        else:
            only = tuple(f for f in job.only if receipt is None or f in lost)
            waiting.append(replace(job, only=only))
    guard.need_space(built.folder, sum(_estimate(job) for job in waiting))
    with Progress(title, len(waiting), "shard") as bar:
        for _, receipt in jobs.run(make_shard, waiting, count) if waiting else ():
            receipts[receipt["name"]] = receipt
            built.made += len(receipt["files"])
            built.seconds += receipt["seconds"]
            for file in receipt["files"]:
                hashes.learn(built.folder / file["path"], file["sha256"])
            bar.step(1, receipt["seconds"])
    for receipt in receipts.values():  # each was just sealed, or found whole
        hashes.of(built.folder / receipt["receipt"])
    return [receipts[job.task.name] for job in wanted]


def _standing(job: Job, hashes: stamps.Hashes) -> tuple[dict[str, Any] | None, set[str]]:
    """(the receipt of a finished task, formats whose file is missing or damaged)."""
    folder = Path(job.folder)
    path = folder / shards.name(job.task, "json")
    try:
        receipt = store.load_sealed(path)
    except (OSError, MelmillError):
        return None, set()
    if receipt["key"] != job.task.key:
        return None, set()
    files = {f["format"]: f for f in receipt["files"]}
    wanted = job.only if receipt["examples"] else ()
    lost = {form for form in wanted if form not in files or not _whole(folder, files[form], hashes)}
    told = [files[form] for form in wanted if form not in lost]
    if not lost and told != receipt["files"]:  # the recipe asks for fewer formats now
        receipt["files"] = told
        store.write_if_changed(path, store.dump_json(store.seal(receipt)))
    return receipt, lost
