"""Batches of TFRecord shards as a tf.data.Dataset, in an order of the seed and the epoch alone.

Reads: the TFRecord shards that an index names, the hash of each checked before anything of it is
handed out. Does: holds small data sets in memory and takes rows of them in a new order each epoch;
streams large ones, its shards shuffled and read in turns through a buffer of a fixed size. Hands
every replica its rows of each global batch. Writes nothing.

An example is named by its position: its place in the index's order over the splits asked for. Which
positions a step holds depends on the seed and the epoch (and on whether the data are held, which
the index decides), never on threads, replicas or the step that a run goes on from.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from training.data import records
from training.data.batches import Share
from training.data.index import DataError, Field, Index, Shard
from training.data.records import Tensors
from training.data.shards import Arrays, Stamp, check_shard, read_shard

HELD = 1 << 30  # bytes of shards up to which they are held in memory
BUFFER = 128 << 20  # bytes of streamed examples that are shuffled at once
AHEAD = 4  # batches made at once, and before they are asked for; or fewer:
ROOM = 64 << 20  # bytes that they may take


def narrow(index: Index, splits: Sequence[str], names: Sequence[str]) -> Arrays:
    """Whole fields of the splits, in the index's order: (examples, ...). For narrow ones: labels,
    groups, sources. The wide ones beside them are not parsed."""
    fields = _asked(index, names)
    formats = {shard.format for shard in index.entries}
    format = "hdf5" if "hdf5" in formats else "tfrecord"  # a field by one read, no parsing at all
    shards = [shard for split in splits for shard in index.shards(split, format)]
    found = [read_shard(index, shard, [f.name for f in fields]) for shard in shards]
    empty = {f.name: np.empty((0, *f.shape), f.numpy) for f in fields}
    return {name: np.concatenate([a[name] for a in (empty, *found)]) for name in empty}


class Examples:
    """`for batch in Examples(index, ["train"], 64, seed=0).epoch(3, first=120): batch["logmel"]`

    Batches hold the fields (all unless named), `position`, and the rows of each array of `beside`,
    which is in the order of positions. `chosen` says of each position whether it takes part.
    Shuffled examples come in whole batches alone; without shuffling each comes once, in order.
    """

    def __init__(
        self,
        index: Index,
        splits: Sequence[str],
        batch: int,
        *,
        seed: int = 0,
        fields: Sequence[str] = (),
        chosen: np.ndarray | None = None,
        shuffle: bool = True,
        held: bool | None = None,
        beside: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.index, self.splits, self.batch = index, tuple(splits), batch
        self.seed, self.shuffle = seed, shuffle
        self.shards = [s for split in splits for s in index.shards(split, "tfrecord")]
        self.begins = np.cumsum([0, *(shard.examples for shard in self.shards)])
        self.fields = _asked(index, fields)
        with tf.device("CPU:0"):  # not a constant in the graph of each epoch
            whole = {name: self._whole(name, array) for name, array in (beside or {}).items()}
            self.beside = {name: tf.constant(array) for name, array in whole.items()}
        everyone = np.ones(self.begins[-1], np.bool_)
        self.chosen = everyone if chosen is None else self._whole("chosen", chosen).astype(np.bool_)
        self.positions = np.flatnonzero(self.chosen)
        size = sum(shard.bytes for shard in self.shards)
        self.held = size <= HELD if held is None else held
        wide = self.batch * sum(field.nbytes for field in self.fields)
        self.ahead = max(1, min(AHEAD, ROOM // max(1, wide)))
        self.room = max(1, BUFFER * int(self.begins[-1]) // max(1, size))  # examples in the buffer
        self.tensors: Tensors = {}  # by field, those chosen, where they are held
        self.checked: dict[str, Stamp] = {}
        if shuffle and not self.steps:
            raise DataError(
                f"{', '.join(splits)} has too few examples for one batch",
                index.folder,
                batch,
                self.count,
                "add recordings",
            )

    @property
    def count(self) -> int:
        """How many examples take part."""
        return len(self.positions)

    @property
    def steps(self) -> int:
        """Steps in an epoch: the same on every process."""
        return self.count // self.batch if self.shuffle else -(-self.count // self.batch)

    def epoch(
        self,
        epoch: int,
        first: int = 0,
        share: Share = Share(),  # noqa: B008  (frozen)
        parts: int = 1,
    ) -> tf.data.Dataset:
        """The batches of an epoch from step `first` on.

        Of each step, this process gets the rows of its share, in `parts` elements one after the
        other: one for each of its replicas.
        """
        pieces = share.world * parts
        if self.batch % pieces or (pieces > 1 and not self.shuffle):
            fit = max((n for n in range(1, parts) if not self.batch % (share.world * n)), default=0)
            seen = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(parts)))
            some = ",".join(seen.split(",")[:fit])
            fewer = f"let {fit} of them learn: CUDA_VISIBLE_DEVICES={some}"
            what = f"a batch of {self.batch} for {share.world} processes with {parts} replicas each"
            wanted = f"shuffled examples and a batch that {pieces} divides"
            do = fewer if fit else "let as many machines learn as divide it"
            raise DataError(what, self.index.folder, wanted, do=do)
        way = self._from_memory if self.held else self._from_files
        with tf.device("CPU:0"):
            made = way(epoch, first, share, parts)
            size = tf.data.experimental.assert_cardinality((self.steps - first) * parts)
            made = made.apply(size).prefetch(self.ahead)
        options = tf.data.Options()
        options.deterministic = True
        # Rewriting the graph takes as long as a hundred batches, at each epoch's begin.
        options.experimental_optimization.apply_default_optimizations = False
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return made.with_options(options)

    def sources(self, epoch: int, step: int) -> list[str]:
        """The recordings of one batch, all shares of it."""
        if self.held:
            rows = self._order(epoch, self.count)[step * self.batch : (step + 1) * self.batch]
            found = self.positions[rows]
        else:
            batches = self._stream(epoch, stored=False).batch(self.batch)
            found = batches.skip(step).take(1).get_single_element()[-1].numpy()
        names = narrow(self.index, self.splits, ["source"])["source"]
        return [name.decode(errors="replace") for name in names[found].tolist()]

    def _from_memory(self, epoch: int, first: int, share: Share, parts: int) -> tf.data.Dataset:
        if not self.tensors:
            self.tensors = self._loaded()
        size = self.batch // (share.world * parts)
        positions, order = tf.constant(self.positions), tf.constant(self._order(epoch, self.count))

        def made(number: tf.Tensor) -> Tensors:
            step, part = number // parts, number % parts
            at = step * self.batch + (share.rank * parts + part) * size
            rows = tf.slice(order, [at], [size]) if self.shuffle else order[at : at + size]
            found = {name: tf.gather(tensor, rows) for name, tensor in self.tensors.items()}
            return self._named(found, tf.gather(positions, rows))

        numbers = tf.data.Dataset.range(first * parts, self.steps * parts)
        return numbers.map(made, self.ahead)

    def _loaded(self) -> Tensors:
        """The examples chosen, by field. Each is read to where it stays."""
        texts = [f for f in self.fields if f.numpy.kind == "S"]
        held = {f.name: records.room(self.count, f) for f in self.fields if f not in texts}
        found = {f.name: [tf.zeros((0,), tf.string)] for f in texts}
        at = 0
        for shard, begin in self._used():
            check_shard(self.index, shard)
            rows = self.chosen[begin : begin + shard.examples]
            for name, tensor in records.read(self.index, shard, self.fields).items():
                if name in found:
                    found[name].append(tf.boolean_mask(tensor, rows))
                else:
                    held[name][at : at + rows.sum()] = tensor.numpy()[rows]
            at += int(rows.sum())
        whole = {name: records.tensor(array) for name, array in held.items()}
        return whole | {name: tf.concat(parts, 0) for name, parts in found.items()}

    def _from_files(self, epoch: int, first: int, share: Share, parts: int) -> tf.data.Dataset:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(self._check, [shard for shard, _ in self._used()]))
        made = self._stream(epoch).batch(self.batch, drop_remainder=self.shuffle).skip(first)
        size = self.batch // (share.world * parts)
        begin, end = share.rank * parts * size, (share.rank + 1) * parts * size
        if share.world > 1:
            made = made.map(lambda *rows: tuple(each[begin:end] for each in rows))
        if parts > 1:
            made = made.map(lambda *rows: tuple(tf.reshape(each, (parts, size)) for each in rows))
            made = made.unbatch()

        def parsed(serialised: tf.Tensor, position: tf.Tensor) -> Tensors:
            return self._named(records.parsed(self.index, self.fields, serialised), position)

        return made.map(parsed, self.ahead)

    def _check(self, shard: Shard) -> None:
        """The whole file the first time, later only that it is still that file."""
        before = self.checked.get(shard.path)
        now = check_shard(self.index, shard, before)
        if now != before:
            records.check_count(self.index, shard)
        self.checked[shard.path] = now

    def _stream(self, epoch: int, stored: bool = True) -> tf.data.Dataset:
        """Examples not parsed yet and their positions, in the epoch's order."""
        used = self._used()
        turn = [used[i] for i in self._order(epoch, len(used))]
        made = records.stream(self.index, turn, records.CYCLE if self.shuffle else 1, stored)
        if self.count < len(self.chosen):
            chosen = tf.constant(self.chosen)
            made = made.filter(lambda _, position: chosen[position])
        if not self.shuffle:
            return made
        seeds = self._random(epoch, 1).integers(1 << 62, size=2).tolist()
        return records.shuffled(made, self.room, seeds)

    def _used(self) -> list[tuple[Shard, int]]:
        """The shards of which examples are chosen, and where they begin."""
        begins = self.begins.tolist()
        ends = zip(self.shards, begins, begins[1:], strict=False)
        return [(shard, begin) for shard, begin, end in ends if self.chosen[begin:end].any()]

    def _named(self, found: Tensors, position: tf.Tensor) -> Tensors:
        beside = {name: tf.gather(array, position) for name, array in self.beside.items()}
        return {**found, **beside, "position": position}

    def _whole(self, name: str, array: np.ndarray) -> np.ndarray:
        """An array that has a row for every position."""
        if len(array) != self.begins[-1]:
            where, do = self.index.folder, "make it again from these shards"
            raise DataError(f"{name} is of other examples", where, self.begins[-1], len(array), do)
        return np.asarray(array)

    def _order(self, epoch: int, size: int) -> np.ndarray:
        return self._random(epoch, 0).permutation(size) if self.shuffle else np.arange(size)

    def _random(self, epoch: int, what: int) -> np.random.Generator:
        return np.random.Generator(
            np.random.Philox(np.random.SeedSequence([self.seed, epoch, what]))
        )


def _asked(index: Index, names: Sequence[str]) -> tuple[Field, ...]:
    """The fields of these names, all of them if there are none."""
    known = [field.name for field in index.fields]
    if unknown := sorted(set(names) - set(known)):
        raise DataError(f"no fields {unknown}", index.folder, ", ".join(known))
    return tuple(field for field in index.fields if not names or field.name in names)
