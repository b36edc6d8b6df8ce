"""Batches of one split, in an order that depends on the seed and the epoch alone.

Reads: the HDF5 shards that an index names, whole and one after the other, each hash checked.
Does: shuffles the shards, then the examples inside a buffer of several shards; hands every rank its
part of each global batch. Writes nothing.

The position in an epoch is a number of steps, so a run stopped anywhere goes on with the very next
batch, whatever the number of threads.
"""

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from training.index import DataError, Index, Shard
from training.shards import Arrays, Blocks

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
        left = self.steps - first
        rest: Arrays = {}
        for held, order in self._buffers(epoch, first * whole) if left > 0 else ():
            at = 0
            while left and at < len(order):
                have = len(next(iter(rest.values()))) if rest else 0
                take = order[at : at + whole - have]
                part = {name: array[take] for name, array in held.items()}
                rest = {n: np.concatenate([rest[n], part[n]]) for n in part} if rest else part
                at += len(take)
                if have + len(take) == whole:
                    yield self._ours(rest)
                    rest, left = {}, left - 1
            held.clear()  # before the next examples are read, not after
            if not left:
                return
        if rest and left:  # the last batch of an evaluation may be shorter
            yield self._ours(rest)

    def _buffers(self, epoch: int, behind: int) -> Iterator[tuple[Arrays, np.ndarray]]:
        """(examples of a few shards, the order to take them in) from example `behind` on."""
        for number, group in enumerate(self._groups(epoch)):
            size = sum(shard.examples for shard in group)
            if behind < size:
                yield self._load(group), self._order(epoch, number, size)[behind:]
            behind = max(0, behind - size)

    def _ours(self, arrays: Arrays) -> Arrays:
        low = self.share.rank * self.batch
        return {name: array[low : low + self.batch] for name, array in arrays.items()}

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

    def _load(self, group: Sequence[Shard]) -> Arrays:
        """The group's examples, read straight into one array a field."""
        size = sum(shard.examples for shard in group)
        kinds = {f.name: f for f in self.index.fields if f.name in self.fields}
        held = {n: np.empty((size, *f.shape), f.numpy) for n, f in kinds.items()}
        at = 0
        for shard in group:
            with Blocks(self.index, shard) as blocks:
                blocks.read_into({n: a[at : at + shard.examples] for n, a in held.items()}, 0)
            at += shard.examples
        return held


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
