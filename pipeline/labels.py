"""Stage 2b, for recipes that ask for it: who speaks in recordings that do not say so.

Reads: decoded recordings. Does: guesses the turns of each recording without labels (dsp/whose.py),
once. Writes: labels/<recipe>/<id>.<key>.json, sealed, one a recording; sweeps what is not asked for
any more.

An entry's key is made of the recording's bytes (its id), all numbers of [labels], the rate, and the
versions of the code and libraries that make the turns. So what a comment, a clock or a path says
changes nothing. Turns that are given need no entry: RTTM files are read by every scan, and their
times and names stand in the keys of the shards, as those that were guessed do.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import jobs, keys, turns
from pipeline.audio.pcm import Pack, resampled_length
from pipeline.corpus import Corpus
from pipeline.disk import clean, stamps, store
from pipeline.dsp import whose
from pipeline.errors import MelmillError
from pipeline.progress import Progress
from pipeline.recipe import Recipe
from pipeline.scan import Record


@dataclass(frozen=True)
class Task:
    """One recording to listen to."""

    id: str
    key: str
    path: str  # of its entry
    pack: str
    frames: int  # samples at the native rate
    native: int  # Hz
    rate: int  # Hz, as the recipe has it
    resample: str
    speakers: int


def listen(task: Task) -> str:
    """Guess who speaks and seal it; returns the entry's sha256. Runs in a worker."""
    pack = Pack(Path(task.pack))
    length = resampled_length(task.frames, task.native, task.rate)
    found = whose.turns(
        lambda start, stop: pack.samples(task.id, task.rate, task.resample, start, stop),
        length,
        task.rate,
        task.speakers,
    )
    entry = {"id": task.id, "key": task.key, "rate": task.rate, "turns": found}
    return store.write_bytes(Path(task.path), store.dump_json(store.seal(entry)))


def update(
    recipe: Recipe, corpus: Corpus, artifacts: Path, count: int, hashes: stamps.Hashes
) -> dict[str, Path]:
    """Bring the labels of a recipe up to date: id -> entry, for each recording that needs one."""
    folder = artifacts / "labels" / recipe.name
    asked = [r for r in corpus.used() if turns.guessed(r, recipe)]
    asked = [r for r in asked if r.role in recipe.select.roles]
    scheme = keys.label_scheme(recipe)
    tasks = {r.id: _task(r, recipe, corpus, folder, scheme) for r in asked}
    waiting = [task for task in tasks.values() if not _standing(task, hashes)]
    with Progress("labels", len(waiting), "recording") as bar:
        for index, sha in jobs.run(listen, waiting, count) if waiting else ():
            task = waiting[index]
            hashes.learn(Path(task.path), sha)
            bar.step(1, task.frames / task.native)
    kept = {os.path.basename(task.path) for task in tasks.values()}
    clean.sweep(folder, clean.LABELS, kept)
    return {ident: Path(task.path) for ident, task in tasks.items()}


def read(entries: dict[str, Path]) -> turns.Guessed:
    """The turns of each recording."""
    return {ident: _entry(path)["turns"] for ident, path in entries.items()}


def _task(record: Record, recipe: Recipe, corpus: Corpus, folder: Path, scheme: str) -> Task:
    key = store.digest([record.id, scheme])
    recording = corpus.decoded.recordings[record.id]
    return Task(
        id=record.id,
        key=key,
        path=os.fspath(folder / f"{record.id[:16]}.{key[:12]}.json"),
        pack=os.fspath(corpus.decoded.folder / corpus.decoded.packs[record.id]),
        frames=recording.frames,
        native=recording.rate,
        rate=recipe.audio.rate,
        resample=recipe.audio.resample,
        speakers=recipe.labels.speakers,
    )


def _standing(task: Task, hashes: stamps.Hashes) -> bool:
    """Whether an entry is there and whole; read only if its stamp moved."""
    path = Path(task.path)
    try:
        if not hashes.knows(path):
            entry = _entry(path)
            if (entry["id"], entry["key"]) != (task.id, task.key):
                return False
        hashes.of(path)
    except (OSError, MelmillError, KeyError):
        return False
    return True


def _entry(path: Path) -> dict[str, Any]:
    return store.load_sealed(path)
