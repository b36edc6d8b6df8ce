"""Trains one classifier: from a recipe and a profile to a finished run.

Reads: the recipe's index and TFRecord shards, and teachers' answers where they are named. Does:
builds the net, its optimizer, the batches, the loss and the validation, and hands them to the
engine. Writes: the run's folder, through the engine.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from training.classes.course import Fold, of_fold
from training.classes.kind import Planned
from training.classes.moments import of_folds
from training.classes.parts import parts
from training.classes.validation import Validation
from training.classifier import MODEL
from training.classifier.backbones import make_net
from training.classifier.loss import Objective
from training.classifier.profiles import Profile, profile_of
from training.classifier.teacher import FILE, taught
from training.data.fields import spectrum
from training.data.index import SPLITS, Index, load_index
from training.data.tf_data import Examples
from training.durable import hash_of
from training.engine import keras_train
from training.engine.checkpoint import Checkpoints
from training.engine.keras_fit import Result, fit
from training.engine.keras_ranks import Ranks, replicas
from training.engine.keras_train import Config, Trained, Work, adamw
from training.engine.loop import nothing
from training.errors import RunError
from training.graph.start import begun
from training.run import Run, say
from training.runs import named


def planned(
    root: Path, recipe: str, profile: Profile, teachers: Sequence[str], weights: str, folds: int
) -> tuple[list[Planned], str]:
    """The runs to train on a recipe's own splits, or on each fold; and the key of its index.
    `teachers` are runs or files of answers."""
    index, start = load_index(root / recipe), Path(weights) if weights else None
    plan = []
    for own in of_folds(index, spectrum(index), folds):
        files = _answers(root, teachers, own["fold"])
        config = configuration(index, profile, teachers=files, start=start)
        plan.append(Planned(of_fold("", own["fold"]), {**config, **own}))
    return plan, index.key


def _answers(root: Path, asked: Sequence[str], fold: Fold) -> list[Path]:
    """Files of answers: as named, or those of the named runs (of the same fold)."""
    found = []
    for word in asked:
        path = Path(word)
        if not path.is_file():
            path = named(root, of_fold(word, fold), MODEL) / FILE
            if not path.is_file():
                do = f"run make teacher RUN={word} first"
                raise RunError("that run has written no answers", path, do=do)
        found.append(path)
    return found


def configuration(
    index: Index, profile: Profile, *, teachers: Sequence[Path] = (), start: Path | None = None
) -> dict[str, Any]:
    """What determines a new run's weights, besides its data, without folds: `teachers` are files
    of answers, `start` is one of weights to begin with."""
    field = spectrum(index)
    statistics = index.statistics[field.name]
    return {
        **profile.config(),
        "recipe": index.name,
        "features": field.name,
        "heard": {name: index.recipe[name] for name in ("name", "audio", "window", "features")},
        "shape": list(field.shape),
        "classes": list(index.classes),
        "mean": list(statistics.mean),
        "deviation": list(statistics.deviation),
        "fold": None,
        "teachers": [[str(path.resolve()), hash_of(path)] for path in teachers],
        "start": [str(start.resolve()), hash_of(start)] if start else None,
        "replicas": replicas(),
    }


def best(folder: Path) -> Trained:
    """The best weights of a run."""
    return keras_train.trained(folder, _net)


def _net(config: Mapping[str, Any]) -> keras.Model:
    shape, classes = (config["shape"][0], config["shape"][1]), len(config["classes"])
    return make_net(config["backbone"], shape, classes, config["mean"], config["deviation"])


def train(
    artifacts: Path, config: Config, name: str, checkpoint: int = -1
) -> tuple[Path, Result] | None:
    """Train to the end, from wherever the run is; None on all processes but the first."""

    def work(index: Index) -> Work:
        return _Work(index, config).fitted

    return keras_train.train(artifacts, MODEL, config, name, work, checkpoint=checkpoint)


class _Work:
    """What a run is made of; what cannot be trained from is found here."""

    def __init__(self, index: Index, config: Config) -> None:
        self.index, self.config, self.profile = index, config, profile_of(config)
        fold = config["fold"]
        self.held = parts(index, (fold[0], fold[1]) if fold else None)
        self.beside = taught(config["teachers"], index, self.held.train)

    def fitted(self, run: Run | None, ranks: Ranks) -> Result:
        config, held, profile = self.config, self.held, self.profile
        settings, field, labels = profile.settings, config["features"], held.told["label"]
        data = Examples(
            self.index, SPLITS, profile.batch, seed=settings.seed, fields=(field, "label"),
            chosen=held.train, beside=self.beside,
        )  # fmt: skip

        def net() -> keras.Model:
            keras.utils.set_random_seed(settings.seed)
            made = _net(config)
            if config["start"] and run and not Checkpoints(run.folder).all():
                say(begun(made, *config["start"]))
            return made

        counts = np.bincount(labels[held.train], minlength=len(config["classes"]))
        objective = Objective(profile, field, self.index.recipe, counts.tolist())
        judged = Validation(self.index, held.valid, (field,), labels[held.valid])
        return fit(
            net, lambda: adamw(settings.rate, profile.decay), objective, data,
            judged if run else nothing, run, settings, ranks,
        )  # fmt: skip
