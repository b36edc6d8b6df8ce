"""Trains one hybrid: from a recipe and a profile to a finished run.

Reads: the recipe's index and TFRecord shards. Does: builds the net, its optimizer, the batches, the
loss and the validation, and hands them to the engine; says what memory that is expected to take,
and what it took. Writes: the run's folder, through the engine.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from training.classes.course import of_fold
from training.classes.kind import Planned
from training.classes.moments import of_folds
from training.classes.parts import Parts, parts
from training.classes.validation import Validation
from training.data.index import SPLITS, DataError, Field, Index, load_index
from training.data.tf_data import Examples
from training.engine import keras_train, memory
from training.engine.keras_fit import Result, fit
from training.engine.keras_ranks import Ranks, joined, replicas
from training.engine.keras_train import Config, Trained, Work, adamw
from training.engine.loop import nothing
from training.facts import called
from training.hybrid import MODEL, views
from training.hybrid.ablation import WORDS
from training.hybrid.loss import Objective
from training.hybrid.net import answering, make_net
from training.hybrid.profiles import VARIANTS, Profile, profile_of
from training.run import Run, cores, read_config, say

FIELDS = ("wave", "vector")


def planned(
    root: Path, recipe: str, profile: Profile, folds: int, ablation: bool, ceiling: int, name: str
) -> tuple[list[Planned], str, str]:
    """The runs to train on a recipe's own splits, or on each fold, with the variants that show what
    each part is worth; what they are called; and the key of its index."""
    index = load_index(root / recipe)
    config = configuration(index, profile, ablation=ablation)
    each = of_folds(index, _field(index, "vector"), folds)
    plan = [one for own in each for one in variants({**config, **own})]
    # Not after the parts, which follow from what memory is free.
    data = {index.name: index.key}
    name = name or called({"model": MODEL, "config": plan[-1].config, "data": data})
    there = [root / "runs" / MODEL / f"{name}{one.end}" for one in plan]
    more = {"parts": _parts(plan[-1].config, index, ceiling, there)}
    return [one._replace(config={**one.config, **more}) for one in plan], name, index.key


def variants(config: Config) -> list[Planned]:
    """The runs of one fold, or without; the last one is the model."""
    names = [end for end in VARIANTS if config["ablation"] or not end]
    ends = [f"-{end}" if end else "" for end in names]
    return [
        Planned(
            of_fold(end, config["fold"]),
            {**config, "variant": name},
            not name,
            WORDS[name],
        )
        for name, end in zip(names, ends, strict=True)
    ]


def configuration(index: Index, profile: Profile, *, ablation: bool = True) -> dict[str, Any]:
    """What determines a new run's weights, besides its data; of the model without folds."""
    wave, vector = (_field(index, name) for name in FIELDS)
    statistics = index.statistics[vector.name]
    return {
        **profile.config(),
        "recipe": index.name,
        "heard": {name: index.recipe[name] for name in ("name", "audio", "window", "features")},
        "samples": wave.shape[0],
        "classes": list(index.classes),
        "mean": list(statistics.mean),
        "deviation": list(statistics.deviation),
        "fold": None,
        "variant": "",
        "ablation": ablation,
        "parts": 1,
        "replicas": replicas(),
    }


def _field(index: Index, name: str) -> Field:
    held = {field.name: field for field in index.fields}
    if name not in held or len(held[name].shape) != 1:
        do = "name a recipe such as hybrid"
        what, wanted = f"{index.name} has no field {name}", " and ".join(FIELDS)
        raise DataError(what, index.folder, wanted, ", ".join(held), do)
    return held[name]


def _parts(config: Config, index: Index, ceiling: int, folders: list[Path]) -> int:
    """Into how many parts a batch is cut, for the largest variant: as any of these runs began, or
    as memory allows."""
    for folder in folders:
        if (folder / "config.json").exists():
            return int(read_config(folder)["config"].get("parts", 1))
    batch, ranks = config["batch"] // config["replicas"], joined(cores())
    _split(index, config)  # what cannot be learnt from is refused before anything is told
    net = net_of(config, _length(config))
    plan = memory.planned(net, batch, _held(index, config), memory.allowed(ceiling))
    say(plan.line(config["batch"]))
    return round(ranks.told([plan.parts])[0])


def _length(config: Config) -> int:
    """Samples of what a net learns from."""
    crop = (config["augment"] or {}).get("crop", 1.0)
    return 2 * round(crop * config["samples"] / 2)


def _held(index: Index, config: Config) -> int:
    """Bytes of examples in memory at once, all batches made ahead and in work among them."""
    data = Examples(index, SPLITS, config["batch"], fields=fields(config))
    batch = config["batch"] * sum(f.nbytes for f in data.fields)
    most = data.count * batch // config["batch"] if data.held else data.room * batch // data.batch
    return most + (data.ahead + 4) * batch


def fields(config: Config) -> tuple[str, ...]:
    """Of the shards, what a variant learns from: where sound is changed, its vector is too."""
    branches, _ = VARIANTS[config["variant"]]
    changed = config["augment"] is not None
    wanted = ("wave",) if changed else branches
    return (*wanted, "label")


def net_of(config: Config, samples: int | None = None) -> keras.Model:
    """With all its answers."""
    branches, _ = VARIANTS[config["variant"]]
    classes, mean, deviation = len(config["classes"]), config["mean"], config["deviation"]
    return make_net(config["net"], branches, classes, mean, deviation, samples)


def best(folder: Path) -> Trained:
    """The best weights of a run, for sound of any length."""
    one = keras_train.trained(folder, net_of)
    return Trained(folder, answering(one.net), one.facts)


def train(
    artifacts: Path, config: Config, name: str, checkpoint: int = -1
) -> tuple[Path, Result] | None:
    """Train to the end, from wherever the run is; None on all processes but the first."""

    def work(index: Index) -> Work:
        return _Work(index, config).fitted

    made = keras_train.train(artifacts, MODEL, config, name, work, checkpoint=checkpoint)
    if made:
        gpu = f", {memory.shown(memory.gpu_peak())} of the GPU" if memory.gpu_peak() else ""
        say(f"memory: {memory.shown(memory.peak())} at its peak{gpu}")
    return made


def _split(index: Index, config: Config) -> Parts:
    fold = config["fold"]
    return parts(index, (fold[0], fold[1]) if fold else None)


class _Work:
    """What a run is made of; what cannot be trained from is found here."""

    def __init__(self, index: Index, config: Config) -> None:
        self.index, self.config, self.profile = index, config, profile_of(config)
        self.held = _split(index, config)

    def fitted(self, run: Run | None, ranks: Ranks) -> Result:
        config, held, profile = self.config, self.held, self.profile
        settings, labels = profile.settings, held.told["label"]
        branches, mixed = VARIANTS[config["variant"]]
        data = Examples(
            self.index, SPLITS, profile.batch, seed=settings.seed, fields=fields(config),
            chosen=held.train,
        )  # fmt: skip

        def net() -> keras.Model:
            keras.utils.set_random_seed(settings.seed)
            return net_of(config)

        counts = np.bincount(labels[held.train], minlength=len(config["classes"]))
        objective = Objective(profile, self.index.recipe, counts.tolist(), mixed)
        judged = Validation(self.index, held.valid, branches, labels[held.valid], views.logits)
        return fit(
            net, lambda: adamw(settings.rate, profile.decay), objective, data,
            judged if run else nothing, run, settings, ranks, config["parts"],
        )  # fmt: skip
