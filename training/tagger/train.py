"""Trains one tagger: from a recipe and a profile to a finished run.

Reads: the recipe's index and TFRecord shards, and the run to start from where one is named. Does:
builds the net, its optimizer, the batches, the loss and the validation, and hands them to the
engine. Writes: the run's folder, through the engine.

A run is judged by tracks: the mean over a track's patches.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from training.data.fields import spectrum
from training.data.index import SPLITS, DataError, Index
from training.data.tf_data import Examples, narrow
from training.durable import hash_of
from training.engine import keras_train
from training.engine.checkpoint import Checkpoints, used
from training.engine.keras_fit import Result, fit
from training.engine.keras_ranks import Ranks, replicas
from training.engine.keras_train import Config, Trained, Work, adamw
from training.engine.loop import nothing
from training.errors import Changed
from training.graph.answers import Asked
from training.graph.start import LAST, begun
from training.run import Run, read_config, say
from training.tagger import IMPORT, MODEL
from training.tagger.loss import Objective
from training.tagger.net import make_net
from training.tagger.profiles import Profile, profile_of
from training.tagger.scores import by_track, measured


def configuration(index: Index, profile: Profile, init: Path | None = None) -> dict[str, Any]:
    """What determines a new run's weights, besides its data; `init` is the run to start from."""
    usable(index)
    field = spectrum(index)
    held = index.statistics[field.name]
    mean = float(np.mean(held.mean))
    power = np.mean(np.square(held.deviation) + np.square(held.mean))
    config = {
        **profile.config(),
        "recipe": index.name,
        "features": field.name,
        "heard": {name: index.recipe[name] for name in ("name", "audio", "window", "features")},
        "shape": list(field.shape),
        "tags": list(index.tags),
        "mean": mean,
        "deviation": math.sqrt(max(0.0, power - mean**2)),
        "start": None,
        "replicas": replicas(),
    }
    return config | (_started(config, init) if init else {})


def usable(index: Index) -> None:
    """Refuses an index without tags, or with nothing in one of its parts."""
    if "tags" not in {field.name for field in index.fields} or not index.tags:
        do = "name a recipe with tags, such as musicnn"
        raise DataError(f"{index.name} has no tags", index.folder, "tags", do=do)
    for split in SPLITS:
        if not index.examples(split):
            do = "add recordings of more artists"
            raise DataError(f"nothing in {split}", index.folder, "an example", 0, do)


def _started(config: Mapping[str, Any], init: Path) -> dict[str, Any]:
    """What follows from starting from another run: its weights want what it normalised with."""
    other = read_config(init)["config"]
    best, _ = used(init, _mended(other))
    do = "name a run of the same net and recipe"
    for key in ("net", "shape"):
        if other[key] != config[key]:
            raise Changed(f"a start of another {key}", init, config[key], other[key], do)
    ours, theirs = (hears(one["heard"], one["features"]) for one in (config, other))
    if ours != theirs:
        raise Changed("a start that hears otherwise", init, ours, theirs, do)
    start = [str(best.resolve()), hash_of(best)]
    return {"start": start, "mean": other["mean"], "deviation": other["deviation"]}


KEYS = ("n_fft", "hop", "mels", "win", "fmin", "fmax", "scale", "norm", "log", "c")


def hears(recipe: Mapping[str, Any], field: str) -> list[Any]:
    """What makes the numbers that a net sees, as a recipe has it."""
    window = {name: recipe["window"][name] for name in ("samples", "edges")}
    feature = recipe["features"].get(field) or {}
    return [recipe["audio"]["rate"], window, [feature.get(key) for key in KEYS]]


def best(folder: Path) -> Trained:
    """The best weights of a run."""
    return keras_train.trained(folder, net_of, _mended(read_config(folder)["config"]))


def _mended(config: Config) -> str:
    """What makes damaged weights whole, where they were not trained here."""
    return IMPORT if config.get("published") else ""


def net_of(config: Config) -> keras.Model:
    recipe, shape = config["heard"], (config["shape"][0], config["shape"][1])
    step = recipe["features"][config["features"]]["hop"] / recipe["audio"]["rate"]
    tags = len(config["tags"])
    return make_net(config["net"], shape, tags, config["mean"], config["deviation"], step)


def train(
    artifacts: Path, config: Config, name: str, checkpoint: int = -1
) -> tuple[Path, Result] | None:
    """Train to the end, from wherever the run is; None on all processes but the first."""

    def work(index: Index) -> Work:
        usable(index)
        return lambda run, ranks: _fitted(index, config, run, ranks)

    return keras_train.train(artifacts, MODEL, config, name, work, checkpoint=checkpoint)


def _fitted(index: Index, config: Config, run: Run | None, ranks: Ranks) -> Result:
    profile, field = profile_of(config), config["features"]
    settings = profile.settings
    data = Examples(index, ["train"], profile.batch, seed=settings.seed, fields=(field, "tags"))

    def net() -> keras.Model:
        keras.utils.set_random_seed(settings.seed)
        made = net_of(config)
        if config["start"] and run and not Checkpoints(run.folder).all():
            _begun(made, config)
        return made

    return fit(
        net, lambda: adamw(settings.rate, profile.decay), Objective(profile, field, index.recipe),
        data, Validation(index, field) if run else nothing, run, settings, ranks,
    )  # fmt: skip


def _begun(net: keras.Model, config: Config) -> None:
    """Gives `net` the weights to start from: those of its last layer only for the same words."""
    head, (path, key) = net.get_layer(LAST), config["start"]
    fresh = head.get_weights()
    say(begun(net, path, key))
    words = read_config(Path(path).parents[1])["config"]["tags"]  # of checkpoints/step-...
    if words != config["tags"] and len(words) == len(config["tags"]):
        head.set_weights(fresh)
        say("its last layer answers for other tags: that of these is fresh")


class Part:
    """The patches of one split, with what is known of each."""

    def __init__(self, index: Index, split: str, field: str) -> None:
        sizes = [index.examples(one) for one in SPLITS]
        self.mask = np.repeat([one == split for one in SPLITS], sizes)
        told = narrow(index, [split], ("tags", "group", "source"))
        self.tags = told["tags"].astype(np.bool_)
        self.rows = {"tags": self.tags, "groups": told["group"], "sources": told["source"]}
        self.ask = Asked(index, self.mask, [field])

    def answers(self, net: keras.Model) -> np.ndarray:
        """(patches, tags) probabilities."""
        return sigmoid(self.ask(net))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    held = logits.astype(np.float64)
    return np.asarray(np.exp(-np.logaddexp(0, -held)))


class Validation:
    """How a net does on the tracks that a run is judged by."""

    def __init__(self, index: Index, field: str) -> None:
        self.part = Part(index, "valid", field)

    def __call__(self, net: keras.Model) -> dict[str, float]:
        logits, rows = self.part.ask(net).astype(np.float64), self.part.rows
        each = np.logaddexp(0, np.where(self.part.tags, -logits, logits))
        _, mean, held = by_track(rows["sources"], rows["groups"], rows["tags"], sigmoid(logits))
        return {"loss": float(each.mean()), **measured(mean > 0.5, held)}
