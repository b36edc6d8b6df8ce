"""Batches of one split, in an order that depends on the seed and the epoch alone.

Reads: the HDF5 shards that an index names, one after the other from begin to end, the hash of each
checked before its first use. Does: shuffles the shards, then the examples inside a buffer of
several shards; hands every rank its part of each global batch. Writes nothing.

The buffer is the batches made of it: as the order is known before a shard is read, one read puts
each example where it belongs, and nothing is copied twice.

The position in an epoch is a number of steps, so a run stopped anywhere goes on with the very next
batch, whatever the number of threads.
"""

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from training.data.index import DataError, Index, Shard
from training.data.shards import Arrays, Blocks
from training.data.spare import Spare

WIDE = 512  # bytes of a value from which on it is read to its place, not copied there
SPARE = 16  # batches in the hands of others whose memory is waited for
AHEAD = 4  # batches made before they are asked for


@dataclass(frozen=True)
class Share:
    """Which part of every global batch is ours."""

    rank: int = 0
    world: int = 1


class Batches:
    """`for arrays in Batches(index, "train", 16, seed=0).epoch(3, first=120): ...`"""

    def __init__(
        self,
        index: Index,
        split: str,
        batch: int,
        *,
        seed: int = 0,
        fields: Sequence[str] = (),
        shuffle: bool = True,
        buffer: int = 256 << 20,
        share: Share = Share(),  # noqa: B008  (frozen)
        ahead: bool = True,
    ) -> None:
        self.index, self.batch, self.seed, self.shuffle = index, batch, seed, shuffle
        self.share, self.ahead = share, ahead
        self.shards = index.shards(split, "hdf5")
        names = [field.name for field in index.fields]
        self.fields = tuple(fields) or tuple(names)
        unknown = sorted(set(self.fields) - set(names))
        if unknown:
            raise DataError(f"no fields {unknown}", index.folder, ", ".join(names))
        size = sum(f.nbytes for f in index.fields if f.name in self.fields)
        self.room = max(batch * share.world, buffer // max(1, size))  # examples in one buffer
        self.examples = sum(shard.examples for shard in self.shards)
        self.blocks = {shard.path: Blocks(index, shard) for shard in self.shards}  # hashed once
        asked = [f for f in index.fields if f.name in self.fields]
        self.wide = [f for f in asked if f.shape and f.nbytes >= WIDE]
        self.narrow = [f for f in asked if f not in self.wide]
        self.spare = {f.name: Spare(self.room // batch + SPARE) for f in asked}

    @property
    def steps(self) -> int:
        """Steps in an epoch: the same on every rank. Training drops an incomplete last batch;
        without shuffling (evaluation, one rank) every example is seen."""
        whole = self.batch * self.share.world
        return self.examples // whole if self.shuffle else -(-self.examples // whole)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Arrays]:
        """The batches of an epoch from step `first` on."""
        made = self._made(epoch, first)
        return _ahead(made) if self.ahead else made

    def _made(self, epoch: int, first: int) -> Iterator[Arrays]:
        whole = self.batch * self.share.world
        begin, end = first * whole, min(self.steps * whole, self.examples)
        batches: dict[int, Arrays] = {}  # by step, those not handed out yet
        at = 0  # place in the epoch
        for number, group in enumerate(self._groups(epoch)):
            order = self._order(epoch, number, sum(shard.examples for shard in group))
            low, high = max(begin, at), min(end, at + len(order))
            if low < high:
                self._load(group, order[low - at : high - at], low, batches)
            at += len(order)
            done = self.steps if high == end else high // whole
            for step in [step for step in batches if step < done]:
                yield batches.pop(step)
            if at >= end:
                return

    def _load(
        self, group: Sequence[Shard], order: np.ndarray, place: int, batches: dict[int, Arrays]
    ) -> None:
        """Examples of a group, each straight to where it stands in its batch.

        `order` is which ones stand in the epoch from `place` on.
        """
        size = sum(shard.examples for shard in group)
        held = {f.name: np.empty((size, *f.shape), f.numpy) for f in self.narrow}
        rows: dict[str, list[np.ndarray | None]] = {f.name: [None] * size for f in self.wide}
        pieces = list(self._pieces(order, place))
        for step, row, examples in pieces:
            if step not in batches:
                batches[step] = self._empty(step)
            for name, found in rows.items():
                for at, example in enumerate(examples.tolist(), row):
                    found[example] = batches[step][name][at]
        at = 0
        for shard in group:
            part = slice(at, at + shard.examples)
            with self.blocks[shard.path] as blocks:
                blocks.read_into({name: array[part] for name, array in held.items()}, 0)
                for name, found in rows.items():
                    blocks.read_rows(name, found[part])
            at += shard.examples
        for step, row, examples in pieces:
            for name, array in held.items():
                batches[step][name][row : row + len(examples)] = array[examples]

    def _pieces(self, order: np.ndarray, place: int) -> Iterator[tuple[int, int, np.ndarray]]:
        """What of `order`, which begins at a place of the epoch, is ours: step, row, examples."""
        whole = self.batch * self.share.world
        for step in range(place // whole, -(-(place + len(order)) // whole)):
            begin = step * whole + self.share.rank * self.batch
            low, high = max(place, begin), min(place + len(order), begin + self.batch)
            if low < high:
                yield step, low - begin, order[low - place : high - place]

    def _empty(self, step: int) -> Arrays:
        """A batch to be filled; the last one of an evaluation may be shorter."""
        begin = (step * self.share.world + self.share.rank) * self.batch
        count = min(self.batch, self.examples - begin)
        fields = (*self.narrow, *self.wide)
        return {f.name: self.spare[f.name].take((count, *f.shape), f.numpy) for f in fields}

    def _groups(self, epoch: int) -> Iterator[list[Shard]]:
        """The shards in the epoch's order, as many at once as the buffer holds."""
        order = self._order(epoch, -1, len(self.shards))
        group: list[Shard] = []
        held = 0
        for shard in (self.shards[i] for i in order):
            if group and held + shard.examples > self.room:
                yield group
                group, held = [], 0
            group.append(shard)
            held += shard.examples
        if group:
            yield group

    def _order(self, epoch: int, number: int, size: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(size)
        key = np.random.SeedSequence([self.seed, epoch, number + 1])
        return np.random.Generator(np.random.Philox(key)).permutation(size)


def drawn(count: int, most: int) -> np.ndarray:
    """Which of `count` examples are taken where `most` are enough: without favour, as a step from
    one to the next would meet the same levels again and again; the same ones every time."""
    wanted = np.zeros(count, bool)
    wanted[np.random.Generator(np.random.Philox(0)).permutation(count)[:most]] = True
    return wanted


class _End:
    """Marks the end of an epoch, or carries what went wrong in the thread."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def _ahead(made: Iterator[Arrays]) -> Iterator[Arrays]:
    """Make batches in a thread while the last one is worked on."""
    ready: queue.Queue[Arrays | _End] = queue.Queue(AHEAD)
    stop = threading.Event()

    def work() -> None:
        end = _End()
        try:
            for arrays in made:
                while not stop.is_set():
                    try:
                        ready.put(arrays, timeout=0.1)
                        break
                    except queue.Full:
                        continue
                if stop.is_set():
                    return
        except BaseException as error:
            end = _End(error)
        while not stop.is_set():
            try:
                ready.put(end, timeout=0.1)
                return
            except queue.Full:
                continue

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        thread.join()
