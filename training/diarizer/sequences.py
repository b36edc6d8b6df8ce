"""Sequences of log-mel frames with who speaks in them: batches for training, all of a split to
measure with.

Reads: the HDF5 shards that one or several indexes name, an example at a time (a minute is one read
of a megabyte), the hash of each shard checked before its first use. Does: draws the order of an
epoch, batch by batch, from the seed and the epoch alone, so that a run stopped anywhere goes on
with the very next batch. Writes nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.data.batches import Share
from training.data.index import DataError, Index
from training.data.ordered import ordered
from training.data.shards import Arrays, Blocks

FIELDS = ("logmel", "activity")  # what every recipe must have
TOLD = ("start", "generated")  # what examples are chosen by
MORE = ("voices", "source", "start", "valid")  # what is used beside it, where it is there


@dataclass(frozen=True)
class Row:
    """Where one example lies."""

    index: Index
    blocks: Blocks
    at: int


def hop(index: Index) -> int:
    """Samples from one stored frame to the next."""
    return int(index.recipe["features"]["logmel"]["hop"])


def heard(index: Index) -> dict[str, Any]:
    """How sound becomes what a net is given."""
    return {"audio": dict(index.recipe["audio"]), "feature": index.recipe["features"]["logmel"]}


def rows(index: Index, split: str, *, first: bool = False, given: bool = False) -> list[Row]:
    """Every example of a split; with `first` only those that begin a recording, with `given` only
    those whose labels were not guessed."""
    check(index)
    found = []
    for shard in index.shards(split, "hdf5"):
        blocks = Blocks(index, shard)
        told = {f.name: np.empty(shard.examples, f.numpy) for f in index.fields if f.name in TOLD}
        with blocks:
            blocks.read_into(told, 0)
        kept = np.ones(shard.examples, bool)
        if first:
            kept &= told["start"] == 0
        if given and "generated" in told:
            kept &= told["generated"] == 0
        found += [Row(index, blocks, int(at)) for at in np.flatnonzero(kept)]
    return found


def check(index: Index) -> None:
    """Whether there are frames with who speaks in them, each as long as the other."""
    names = {field.name for field in index.fields}
    missing = [name for name in FIELDS if name not in names]
    if missing:
        raise DataError(
            f"{index.name} does not say who speaks", index.folder, " and ".join(FIELDS),
            ", ".join(sorted(names)), "name a recipe like conversations or diarization",
        )  # fmt: skip
    frame = int(index.recipe["labels"]["frame"])
    if frame != hop(index):
        raise DataError(
            f"{index.name}: label frames are not those of the log-mel", index.folder,
            f"labels.frame = {hop(index)}", frame, "mend the recipe",
        )  # fmt: skip


def read(row: Row, longest: int) -> Arrays:
    """One example, at most `longest` frames of it; `frames` says how many are recorded."""
    described = {f.name: f for f in row.index.fields if f.name in (*FIELDS, *MORE)}
    held = {name: np.empty((1, *f.shape), f.numpy) for name, f in described.items()}
    with row.blocks:
        row.blocks.read_into(held, row.at)
    found = {name: array[0] for name, array in held.items()}
    whole = min(len(found["activity"]), longest)
    found["logmel"], found["activity"] = found["logmel"][:whole], found["activity"][:whole]
    frames = -(-int(found.pop("valid")) // hop(row.index))
    return found | {"frames": np.int64(max(1, min(frames, whole)))}


def stacked(examples: Sequence[Arrays]) -> Arrays:
    """A batch."""
    return {name: np.stack([one[name] for one in examples]) for name in examples[0]}


class Sequences:
    """`for batch in Sequences([index], 8, longest=6000).epoch(3, first=120): batch["logmel"]`

    Every batch is of one recipe. As many steps on every process; what fills no batch is left out of
    the epoch.
    """

    def __init__(
        self, indexes: Sequence[Index], batch: int, *, longest: int, first: bool = False,
        seed: int = 0, share: Share = Share(),  # noqa: B008  (frozen)
    ) -> None:  # fmt: skip
        self.batch, self.longest, self.seed, self.share = batch, longest, seed, share
        self.parts = [rows(index, "train", first=first) for index in indexes]
        whole = batch * share.world
        for index, part in zip(indexes, self.parts, strict=True):
            if len(part) < whole:
                raise DataError(
                    f"{index.name} has too few examples for one batch", index.folder, whole,
                    len(part), "add recordings, or take PROFILE=original: 2 at once",
                )  # fmt: skip

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        whole = self.batch * self.share.world
        return sum(len(part) // whole for part in self.parts)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Arrays]:
        """The batches of an epoch from step `first` on."""
        key = np.random.SeedSequence([self.seed, epoch])
        random = np.random.Generator(np.random.Philox(key))
        whole = self.batch * self.share.world
        drawn = []
        for part in self.parts:
            order = random.permutation(len(part))
            for at in range(0, len(part) // whole * whole, whole):
                mine = order[at + self.share.rank * self.batch :][: self.batch]
                drawn.append([part[k] for k in mine])
        turns = [drawn[k] for k in random.permutation(len(drawn))[first:]]
        return ordered(iter(turns), self._made, 1)

    def _made(self, mine: Sequence[Row]) -> Arrays:
        return stacked([read(row, self.longest) for row in mine])


def voices(indexes: Sequence[Index]) -> np.ndarray:
    """Every voice of the train splits, sorted; none where recipes do not name them."""
    found = [np.zeros(0, np.int64)]
    for index in indexes:
        described = {f.name: f for f in index.fields}
        if "voices" not in described:
            continue
        for shard in index.shards("train", "hdf5"):
            held = np.empty((shard.examples, *described["voices"].shape), np.int64)
            with Blocks(index, shard) as blocks:
                blocks.read_into({"voices": held}, 0)
            found.append(held.ravel())
    every = np.unique(np.concatenate(found))
    return every[every != 0]
