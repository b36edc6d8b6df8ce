"""The noise tracks that training mixes with, as many as fit in memory.

Reads: the noise shards of one split that an index names, each hash checked. Does: chooses some for
an epoch, draws one that the speaker is not heard in, repeats it from a random place. Writes
nothing.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np

from training.data.index import DataError, Index
from training.data.shards import Arrays, Blocks


class Noises:
    """Tracks of the train split in at most `room` bytes, at least one; `random` chooses."""

    def __init__(self, index: Index, room: int, random: np.random.Generator) -> None:
        shards = [shard for shard in index.noise if shard.split == "train"]
        if not shards:
            raise DataError(
                f"no noise for the train split of {index.name}",
                index.folder,
                do="give the corpus noise recordings or the recipe another noise",
            )
        left = max(1, room // sum(field.nbytes for field in index.noise_fields))
        self.whole = left >= sum(shard.examples for shard in shards)  # nothing to choose
        parts = []
        for i in np.arange(len(shards)) if self.whole else random.permutation(len(shards)):
            count = min(left, shards[i].examples)
            first = int(random.integers(shards[i].examples - count + 1))
            with Blocks(index, shards[i]) as blocks:
                parts.append(blocks.read(first, first + count))
            left -= count
            if not left:
                break
        self.samples = [part["samples"] for part in parts]  # not joined: that would double them
        self.lengths = _joined(parts, "length")
        self.kinds = _joined(parts, "kind")
        self.groups = _joined(parts, "groups")
        self.places = [(i, row) for i, part in enumerate(parts) for row in range(len(part["kind"]))]

    def draw(self, n: int, group: int, random: np.random.Generator) -> np.ndarray | None:
        """n samples of a track that `group` is not heard in, (n,) float32, less their mean; None
        when there is none. Each kind is as likely as every other."""
        which, track, start = random.random(3)
        may = np.flatnonzero((self.groups != group).all(axis=1) & (self.lengths > 0))
        if not len(may):
            return None
        kinds = np.unique(self.kinds[may])
        may = may[self.kinds[may] == kinds[int(which * len(kinds))]]
        chosen = may[int(track * len(may))]
        part, row = self.places[chosen]
        whole = self.samples[part][row, : self.lengths[chosen]]
        return fit(whole, n, int(start * len(whole)))


@contextmanager
def tracks(index: Index, split: str) -> Iterator[Callable[[bytes], np.ndarray]]:
    """A split's noise tracks by their id, each read when it is asked for."""
    with ExitStack() as stack:
        places: dict[bytes, tuple[Blocks, int]] = {}
        for shard in index.noise:
            if shard.split == split:
                blocks = stack.enter_context(Blocks(index, shard))
                sources = np.empty(len(blocks), np.dtype("S32"))
                blocks.read_into({"source": sources}, 0)
                places |= {bytes(name): (blocks, row) for row, name in enumerate(sources)}

        def track(source: bytes) -> np.ndarray:
            if source not in places:
                raise DataError("a noise track that no shard holds", index.folder, got=source)
            blocks, row = places[source]
            arrays = blocks.read(row, row + 1)
            samples: np.ndarray = arrays["samples"][0, : int(arrays["length"][0])]
            return samples

        yield track


def fit(noise: np.ndarray, n: int, start: int) -> np.ndarray:
    """n samples of the endlessly repeated noise from `start` on, less their mean: (n,) float32.

    To the bit what the pipeline mixes: an offset is inaudible, but would count as noise power.
    """
    repeats = math.ceil((start + n) / noise.size)
    piece = (noise if repeats == 1 else np.tile(noise, repeats))[start : start + n]
    return (piece - piece.mean(dtype=np.float64)).astype(np.float32)


def _joined(parts: Sequence[Arrays], name: str) -> np.ndarray:
    return np.concatenate([part[name] for part in parts])
