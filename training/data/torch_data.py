"""Pairs of noisy and clean sound: batches for training, stored mixtures for evaluation.

Reads: the shards that one or several indexes name. Does: takes the recipes of an epoch in random
turns, mixes with new noise when asked to, resamples to one rate, in threads ahead of the training.
Writes nothing. Arrays stay NumPy's: the learner pins them where there is a GPU.

What an example holds depends on the seed, the epoch and its place in the epoch alone, so a run
stopped anywhere goes on with the very next batch, whatever the number of threads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.data.batches import Batches, Share, drawn
from training.data.index import DataError, Index
from training.data.mixing import Loudness, Online, cut, mixed, resampled
from training.data.noises import Noises
from training.data.ordered import ordered
from training.data.planned import READ, planned
from training.data.shards import Arrays

SHUFFLED = 256 << 20  # bytes of examples shuffled at once, over all recipes
_TURNS, _NOISE, _EXAMPLE = range(3)  # what a generator draws


@dataclass(frozen=True)
class _Raw:
    """A batch as it is read; `place` is its first example's in the recipe's part of the epoch."""

    recipe: int
    epoch: int
    place: int
    arrays: Arrays
    noises: Noises | None


class Mixtures:
    """`for batch in Mixtures([index], 16).epoch(3, first=120): batch["noisy"]`

    Batches hold `noisy` and `clean`, (batch, samples) float32 at `rate` Hz (0: as stored), and
    `source`, the clean recording. Without `online` they are the stored mixtures.
    """

    def __init__(
        self,
        indexes: Sequence[Index],
        batch: int,
        *,
        seed: int = 0,
        online: Online | None = None,
        rate: int = 0,
        share: Share = Share(),  # noqa: B008  (frozen)
        workers: int = 1,
    ) -> None:
        self.indexes, self.batch, self.seed, self.share = tuple(indexes), batch, seed, share
        self.online, self.rate, self.workers = online, rate, workers
        fields = ("clean", "source", "group") if online else ("noisy", "clean", "source")
        self.parts: list[Batches] = []
        self.kept: dict[int, Noises] = {}  # of recipes whose noise fits into memory as a whole
        for index in indexes:
            _check(index, online)
            part = Batches(
                index,
                "train",
                batch,
                seed=seed,
                fields=fields,
                buffer=SHUFFLED // len(indexes),
                share=share,
                ahead=False,
            )
            if not part.steps:
                whole = batch * share.world
                raise DataError(
                    f"{index.name} has too few examples for one batch",
                    index.folder,
                    f"{whole} ({batch} on each of {share.world} processes)",
                    part.examples,
                    "add recordings",
                )
            self.parts.append(part)

    @property
    def steps(self) -> int:
        """Steps in an epoch: the same on every rank."""
        return sum(part.steps for part in self.parts)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Arrays]:
        """The batches of an epoch from step `first` on."""
        return ordered(self._raw(epoch, first), self._made, self.workers)

    def turns(self, epoch: int) -> np.ndarray:
        """Which recipe each step of an epoch is of."""
        turns = np.repeat(np.arange(len(self.parts)), [part.steps for part in self.parts])
        return self._random(epoch, _TURNS).permutation(turns)

    def _raw(self, epoch: int, first: int) -> Iterator[_Raw]:
        turns = self.turns(epoch)
        at = np.bincount(turns[:first], minlength=len(self.parts))
        running: dict[int, tuple[Iterator[Arrays], Noises | None]] = {}
        for recipe in map(int, turns[first:]):
            if recipe not in running:
                made = self.parts[recipe].epoch(epoch, int(at[recipe]))
                running[recipe] = made, self._noises(recipe, epoch)
            made, noises = running[recipe]
            place = (int(at[recipe]) * self.share.world + self.share.rank) * self.batch
            yield _Raw(recipe, epoch, place, next(made), noises)
            at[recipe] += 1

    def _noises(self, recipe: int, epoch: int) -> Noises | None:
        if not self.online:
            return None
        if recipe not in self.kept:
            room = self.online.room // len(self.indexes)
            noises = Noises(self.indexes[recipe], room, self._random(epoch, _NOISE, recipe))
            if not noises.whole:
                return noises
            self.kept[recipe] = noises
        return self.kept[recipe]

    def _made(self, raw: _Raw) -> Arrays:
        """The batch as the network gets it."""
        clean = raw.arrays["clean"]
        rate = int(self.indexes[raw.recipe].recipe["audio"]["rate"])
        to = self.rate or rate
        n = clean.shape[1] if to == rate else round(clean.shape[1] * to / rate)
        made = {name: np.empty((len(clean), n), np.float32) for name in ("noisy", "clean")}
        for row in range(len(clean)):
            if raw.noises is not None:
                made["noisy"][row], made["clean"][row] = self._mixed(raw, row, n, rate, to)
            else:
                for name, array in made.items():
                    array[row] = cut(resampled(raw.arrays[name][row], rate, to), n, 0.0)
        return made | {"source": raw.arrays["source"]}

    def _mixed(
        self, raw: _Raw, row: int, n: int, rate: int, to: int
    ) -> tuple[np.ndarray, np.ndarray]:
        assert self.online is not None
        assert raw.noises is not None
        random = self._random(raw.epoch, _EXAMPLE, raw.recipe, raw.place + row)
        clean, group = raw.arrays["clean"][row], int(raw.arrays["group"][row])
        noise = raw.noises.draw(len(clean), group, random)
        unit, where = random.random(2)
        low, high = self.online.speed
        clean = cut(resampled(clean, rate, to, low + (high - low) * unit), n, where)
        noise = None if noise is None else cut(resampled(noise, rate, to), n, 0.0)
        loudness = Loudness.of(self.indexes[raw.recipe].recipe["mix"])
        return mixed(clean, noise, loudness, self.online, to, random)

    def _random(self, epoch: int, *what: int) -> np.random.Generator:
        key = np.random.SeedSequence([self.seed, epoch], spawn_key=what)
        return np.random.Generator(np.random.Philox(key))


def _check(index: Index, online: Online | None) -> None:
    names = {field.name for field in index.fields}
    if "mix" not in index.recipe or "clean" not in names:
        raise DataError(
            f"{index.name} mixes nothing",
            index.folder,
            "a recipe with [mix] and the field clean",
            do="name a denoising recipe",
        )
    if online is None and "noisy" not in names:
        raise DataError(
            f"{index.name} stores no mixtures",
            index.folder,
            "the field noisy",
            do="mix on the fly, or build it with materialise = true",
        )


def pairs(index: Index, split: str, batch: int = 32) -> Iterator[Arrays]:
    """Every mixture of a split in the index's order, the last batch may be shorter: `noisy` and
    `clean` (batch, samples) float32, `source`, `start`, `requested`, `noise_kind`.

    A recipe that stores only the plan of its mixtures is mixed here, to the bit what it would have
    stored.
    """
    fields = ["clean", "source", "start", "requested", "noise_kind"]
    if _stored(index):
        stored = Batches(
            index,
            split,
            batch,
            fields=["noisy", *fields],
            shuffle=False,
            buffer=READ,
            ahead=False,
        )
        yield from stored.epoch(0)
        return
    rows: list[dict[str, Any]] = []
    for row in planned(index, split, fields):
        rows.append(row)
        if len(rows) == batch:
            yield _stacked(rows)
            rows = []
    if rows:
        yield _stacked(rows)


def some_pairs(index: Index, split: str, most: int, batch: int = 32) -> Iterator[Arrays]:
    """`most` of `pairs`, drawn without favour, in the index's order; 0 takes all. So many are read
    at once as `batch` says, however many there are."""
    total = count(index, split)
    wanted = drawn(total, most or total)
    at = 0
    for arrays in pairs(index, split, batch):
        here = wanted[at : at + len(arrays["source"])]
        at += len(here)
        if here.any():
            yield {name: array[here] for name, array in arrays.items()}


def count(index: Index, split: str) -> int:
    """How many mixtures `pairs` gives; a few more where a plan has holes (no or silent noise)."""
    each = 1 if _stored(index) else len(index.recipe["mix"]["values"])
    return index.examples(split) * each


def _stored(index: Index) -> bool:
    """Whether mixtures are stored, and not their plan alone."""
    return "noisy" in {field.name for field in index.fields}


def _stacked(rows: Sequence[dict[str, Any]]) -> Arrays:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
