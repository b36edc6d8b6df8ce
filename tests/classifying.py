"""A small recipe of two classes, and the classifier's own training on it, to be killed.

Reads nothing. Does: builds shards from a corpus of seconds; trains with the shipped profiles, made
small. Writes: shards and runs, where it is told.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests import corpus, here
from training import run
from training.classes.parts import parts
from training.classifier import teacher, train
from training.classifier.profiles import chosen
from training.data.index import load_index
from training.engine import keras_train

NAME = "tiny-classes"
RECORDINGS = 30  # of 2 s, half of each class, each a group of its own
BATCH = 8
ANSWERS = "answers.logits"


def build(root: Path) -> Path:
    """The shards, to be read only, and a teacher's answers beside them."""
    data = corpus.labelled(root / "data", RECORDINGS, 2.0, ("rain", "hum"), "noise")
    here.features(data, root / "artifacts", corpus.recipes(root, corpus.CLASSES))
    index = load_index(root / "artifacts" / NAME)
    part = parts(index, None).train
    logits = np.random.default_rng(0).normal(size=(int(part.sum()), len(index.classes)))
    teacher.write(root / "artifacts" / ANSWERS, index, "a", part, logits.astype(np.float32))
    return root / "artifacts"


def fresh(shards: Path, folder: Path) -> Path:
    """Artifacts with those shards, the teacher's answers and no run."""
    here.fresh(shards, folder)
    (folder / ANSWERS).symlink_to(shards / ANSWERS)
    return folder


def script(
    root: str, *, fault: str = "", epochs: int = 3, profile: str = "demo", backbone: str = "cnn",
    taught: bool = True, changed: bool = True,
) -> int:  # fmt: skip
    """The run `a`, saved every 5 steps; returns the exit code."""
    os.environ["MELMILL_FAULT"] = fault
    vars(keras_train).update(cores=lambda: 1)  # threads: as quick for nets this small
    shipped = chosen(profile, backbone=backbone, epochs=epochs)
    settings = replace(shipped.settings, warmup=5, save_steps=5, save_seconds=0, log_steps=5)
    augment = shipped.augment if changed else None
    small = replace(shipped, batch=BATCH, augment=augment, settings=settings)

    def work() -> None:
        index, told = load_index(Path(root) / NAME), Path(root) / ANSWERS
        # The same file for every run: its path is part of what a run began with.
        config = train.configuration(index, small, teachers=[told.resolve()] if taught else [])
        train.train(Path(root), config, "a")

    return run.main(work)
