"""A run of any TensorFlow model: begun, gone on with, and its best weights for use.

Reads: an index, a run's configuration and checkpoints. Does: opens the run's folder on the first
process, hands it to the work that trains, and leaves no name taken by a run that cannot begin.
Writes: the run's folder, through the work.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from training.data.index import DataError, Index, load_index
from training.engine.checkpoint import Checkpoints, used, weights
from training.engine.keras_fit import Result
from training.engine.keras_learner import given
from training.engine.keras_ranks import Ranks, joined, place
from training.errors import Changed, Damaged
from training.facts import called
from training.run import Run, cores, opened, read_config

Config = Mapping[str, Any]
# Trains to the end; the run is None on all processes but the first.
Work = Callable[[Run | None, Ranks], Result]


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
        fold = self.config.get("fold")
        return (fold[0], fold[1]) if fold else None


def trained(folder: Path, make: Callable[[Config], keras.Model], do: str = "") -> Trained:
    """The best weights of a run, in the net that `make` builds of its configuration; `do` is what
    to do where they are damaged, unless training mends that."""
    facts = read_config(folder)
    _, state = used(folder, do)
    net = make(facts["config"])
    given(net, weights(state["learner"]))
    return Trained(folder, net, facts)


def of_its_shards(facts: Mapping[str, Any], index: Index) -> None:
    """Refuses an index of other examples than those that a run began with."""
    before = facts["data"].get(index.name, index.key)
    if before != index.key:
        what = "the shards were built anew since the run was trained"
        do = "put them back, or train again under a new name with RUN="
        raise Changed(what, index.folder, before[:16], index.key[:16], do)


def train(
    artifacts: Path,
    model: str,
    config: Config,
    name: str,
    begun: Callable[[Index], Work],
    *,
    checkpoint: int = -1,
) -> tuple[Path, Result] | None:
    """Train to the end, from wherever the run is; None on all processes but the first.

    `begun` finds what cannot be trained from before there is a run; it may compute already.
    """
    index = load_index(artifacts / config["recipe"])
    if place()[0]:
        ranks = joined(cores())
        begun(index)(None, ranks)
        return None
    data, runs = {index.name: index.key}, artifacts / "runs" / model
    name = name or called({"model": model, "config": config, "data": data})
    known = set(runs.glob("*/config.json"))
    before = read_config(runs / name) if runs / name / "config.json" in known else None
    if before:
        of_its_shards(before, index)  # or each number that follows from them is named
    threads = before["setup"]["threads"] if before else cores()
    ranks = joined(threads)
    work = begun(index)
    with opened(artifacts, model, config, data, name=name, threads=threads) as run:
        if checkpoint >= 0:
            Checkpoints(run.folder).go_back(checkpoint)
            run.mark("unfinished")
        try:
            return run.folder, work(run, ranks)
        except (Changed, Damaged, DataError):  # its name stays free for what can be begun
            if run.folder / "config.json" not in known and not Checkpoints(run.folder).all():
                shutil.rmtree(run.folder)
            raise


def adamw(rate: float, decay: float) -> keras.optimizers.Optimizer:
    """Only what is multiplied decays."""
    made = keras.optimizers.AdamW(rate, weight_decay=decay)
    made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return made
