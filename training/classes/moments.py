"""What a fold's nets normalise with: the mean and deviation of what that fold learns from.

Reads: the shards of an index, one at a time. Writes nothing. Does: sums each example once, for all
folds whose training part it is in. Without folds they are the index's own, of its train split.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.classes.parts import known, parts
from training.data.index import SPLITS, Field, Index, load_index
from training.data.shards import read_shard
from training.engine.keras_ranks import joined
from training.engine.keras_train import Config
from training.errors import Changed
from training.run import cores

AT_ONCE = 256  # examples in 64 bits
Own = dict[str, Any]  # of a configuration: its fold, mean and deviation


def of_folds(index: Index, field: Field, count: int) -> list[Own]:
    """What is each fold's own; of a run that is on the index's splits, where there are none."""
    if not count:
        held = index.statistics[field.name]
        return [{"fold": None, "mean": list(held.mean), "deviation": list(held.deviation)}]
    if not any(shard.format == "hdf5" for shard in index.entries):
        joined(cores())  # TensorFlow will read them
    told = known(index)
    each = [parts(index, (k + 1, count), told=told).train for k in range(count)]
    return [{"fold": [k + 1, count], **one} for k, one in enumerate(_moments(index, field, each))]


def of_run(root: Path, config: Config, name: str) -> list[Own]:
    """The same for the folds that a run is one of: of its own it keeps what it began with."""
    if not config["fold"]:
        return [{"fold": None}]
    index = load_index(root / config["recipe"])
    fields = {field.name: field for field in index.fields}
    if name not in fields:
        what, do = "the shards were built anew since", "train again under a new name with RUN="
        raise Changed(what, index.folder, f"a field {name}", ", ".join(fields), do)
    found = of_folds(index, fields[name], config["fold"][1])
    found[config["fold"][0] - 1] = {key: config[key] for key in found[0]}
    return found


def _moments(index: Index, field: Field, each: Sequence[np.ndarray]) -> list[Own]:
    """Of the examples in each mask, as the index has them of its train split: of each band of a
    spectrum over the frames that were recorded, of each number of a vector."""
    width, sums = field.shape[-1], np.zeros((len(each), 2, field.shape[-1]))
    counts, begin = np.zeros(len(each)), 0
    formats = {shard.format for shard in index.entries}
    format = "hdf5" if "hdf5" in formats else "tfrecord"
    for shard in (shard for split in SPLITS for shard in index.shards(split, format)):
        found = read_shard(index, shard, (field.name, "valid"))
        for at in range(0, shard.examples, AT_ONCE):
            rows = found[field.name][at : at + AT_ONCE].astype(np.float64)
            rows = rows.reshape(len(rows), -1, width)
            heard = _heard(index, field, found["valid"][at : at + AT_ONCE], rows.shape[1])
            rows = np.where(heard[:, :, None], rows, 0.0)
            both = np.stack([rows.sum(1), np.square(rows).sum(1)], 1)
            for k, mask in enumerate(each):
                own = mask[begin + at : begin + at + len(rows)]
                sums[k] += both[own].sum(0)
                counts[k] += heard[own].sum()
        begin += shard.examples
    return [_told(one[0] / count, one[1] / count) for one, count in zip(sums, counts, strict=True)]


def _heard(index: Index, field: Field, valid: np.ndarray, frames: int) -> np.ndarray:
    """(examples, frames): those that begin in what was recorded, the first in any case."""
    if len(field.shape) == 1 or index.recipe["window"]["pad"] == "repeat":
        return np.ones((len(valid), frames), np.bool_)
    ends = -(-valid.astype(np.int64) // index.recipe["features"][field.name]["hop"])
    return np.arange(frames) < np.maximum(1, ends)[:, None]


def _told(mean: np.ndarray, square: np.ndarray) -> Own:
    spread = [math.sqrt(max(0.0, each)) for each in square - mean * mean]
    return {"mean": mean.tolist(), "deviation": spread}
