"""Trains one classifier: from a recipe and a profile to a finished run.

Reads: the recipe's index and TFRecord shards, and teachers' answers where they are named. Does:
builds the net, its optimizer, the batches, the loss and the validation, and hands them to the
engine. Writes: the run's folder, through the engine.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from training.classifier import MODEL
from training.classifier.answers import Validation
from training.classifier.backbones import make_net
from training.classifier.loss import Objective
from training.classifier.parts import Parts, parts
from training.classifier.profiles import Profile, profile_of
from training.classifier.start import begun
from training.classifier.teacher import hash_of, taught
from training.data.index import SPLITS, DataError, Field, Index, load_index
from training.data.tf_data import Examples
from training.engine.checkpoint import Checkpoints, load, weights
from training.engine.keras_fit import Result, fit
from training.engine.keras_learner import given
from training.engine.keras_ranks import Ranks, joined, place, replicas
from training.errors import Changed, Damaged, RunError
from training.run import Run, cores, opened, read_config, say


@dataclass(frozen=True)
class Trained:
    """A run's net, ready for use."""

    folder: Path
    net: keras.Model
    facts: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        held: dict[str, Any] = self.facts["config"]
        return held

    @property
    def fold(self) -> tuple[int, int] | None:
        return tuple(self.config["fold"]) if self.config["fold"] else None


def configuration(
    index: Index, profile: Profile, *, fold: tuple[int, int] | None = None,
    teachers: Sequence[Path] = (), start: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What determines a new run's weights, besides its data: `teachers` are files of answers,
    `start` is one of weights to begin with."""
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
        "fold": list(fold) if fold else None,
        "teachers": [[str(path.resolve()), hash_of(path)] for path in teachers],
        "start": [str(start.resolve()), hash_of(start)] if start else None,
        "replicas": replicas(),
    }


def spectrum(index: Index) -> Field:
    """The field that nets look at: the only one of frames and mels."""
    found = [field for field in index.fields if field.axes == ("frame", "mel")]
    if len(found) != 1:
        got = ", ".join(field.name for field in index.fields)
        do = "name a recipe such as noise-classifier"
        raise DataError("not one spectrogram", index.folder, "a field of frames and mels", got, do)
    return found[0]


def trained(folder: Path) -> Trained:
    """The best weights of a run."""
    facts = read_config(folder)
    try:
        state = load(Checkpoints(folder).best())
    except RunError as error:
        do = f"go on with make resume RUN={folder.name}"
        raise RunError(f"has no weights to use ({error})", folder, do=do) from error
    net = _net(facts["config"])
    given(net, weights(state["learner"]))
    return Trained(folder, net, facts)


def of_its_shards(facts: Mapping[str, Any], index: Index) -> None:
    """Refuses an index of other examples than those that a run began with."""
    before = facts["data"].get(index.name, index.key)
    if before != index.key:
        what = "the shards were built anew since the run was trained"
        do = "put them back, or train again under a new name with RUN="
        raise Changed(what, index.folder, before[:16], index.key[:16], do)


def _net(config: Mapping[str, Any]) -> keras.Model:
    shape, classes = (config["shape"][0], config["shape"][1]), len(config["classes"])
    return make_net(config["backbone"], shape, classes, config["mean"], config["deviation"])


def train(
    artifacts: Path, config: Mapping[str, Any], name: str, *, checkpoint: int = -1
) -> tuple[Path, Result] | None:
    """Train to the end, from wherever the run is; None on all processes but the first.

    What cannot be trained from is found before there is a run.
    """
    index = load_index(artifacts / config["recipe"])
    profile, fold = profile_of(config), config["fold"]
    held = parts(index, (fold[0], fold[1]) if fold else None)
    beside = taught(config["teachers"], index, held.train)
    rank, _ = place()
    work = (profile, index, held, config, beside)
    if rank:
        _fitted(*work, None, joined(cores()))
        return None
    known = set((artifacts / "runs" / MODEL).glob("*/config.json"))
    if (before := artifacts / "runs" / MODEL / name) / "config.json" in known:
        of_its_shards(read_config(before), index)  # or each number that follows from them is named
    with opened(artifacts, MODEL, config, {index.name: index.key}, name=name) as run:
        if checkpoint >= 0:
            Checkpoints(run.folder).go_back(checkpoint)
            run.mark("unfinished")
        try:
            return run.folder, _fitted(*work, run, joined(run.threads))
        except (Changed, Damaged, DataError):  # its name stays free for what can be begun
            if run.folder / "config.json" not in known and not Checkpoints(run.folder).all():
                shutil.rmtree(run.folder)
            raise


def _fitted(
    profile: Profile,
    index: Index,
    held: Parts,
    config: Mapping[str, Any],
    beside: Mapping[str, np.ndarray],
    run: Run | None,
    ranks: Ranks,
) -> Result:
    """`ranks` come first: no tensor may be made before threads are fixed."""
    settings, field, labels = profile.settings, config["features"], held.told["label"]
    data = Examples(
        index, SPLITS, profile.batch, seed=settings.seed, fields=(field, "label"),
        chosen=held.train, beside=beside,
    )  # fmt: skip

    def net() -> keras.Model:
        keras.utils.set_random_seed(settings.seed)
        made = _net(config)
        if config["start"] and run and not Checkpoints(run.folder).all():
            say(begun(made, *config["start"]))
        return made

    def optimizer() -> keras.optimizers.Optimizer:
        made = keras.optimizers.AdamW(settings.rate, weight_decay=profile.decay)
        made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        return made

    counts = np.bincount(labels[held.train], minlength=len(config["classes"]))
    objective = Objective(profile, field, index.recipe, counts.tolist())
    validate = Validation(index, held.valid, field, labels[held.valid]) if run else _nothing
    return fit(net, optimizer, objective, data, validate, run, settings, ranks)


def _nothing(net: keras.Model) -> Mapping[str, float]:
    raise AssertionError("only the first process validates")
