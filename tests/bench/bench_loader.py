"""How fast examples come out of the shards, beside other ways to hold the same arrays.

Reads and writes the folder it is given. Does: makes shards of mixtures as the shipped recipe makes
them (14 arrays an example, 353 kB) and reads whole epochs, all in this process, with every file in
the page cache, in turns with its peers:
- WebDataset: the same arrays as .npy in a tar, through its own decoder, shuffled and in batches;
- h5py: the same shards, one example at a time in random order, put together to batches;
- a copy of as many bytes from memory to memory.
Ours is `Batches` from its second epoch on; the first, in which shards are hashed, has its own row.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np
import soundfile as sf

from tests.bench.common import Row, command, sound, turns
from training.data.batches import Batches
from training.data.index import Index, load_index

RATE = 22050  # Hz
FILES, SECONDS = 64, 12.0  # 48 of them speech: 960 mixtures to train with
BATCH = 16
EPOCHS = 5  # of ours and of the copy in a turn: they are short
TURNS = 3
USED = ("noisy", "clean", "source")  # what training asks for
BUFFER = 500  # examples WebDataset shuffles


def shards(folder: Path) -> Index:
    """Mixtures at five SNRs."""
    data = folder / "speech"
    data.mkdir()
    lines = ["path,role,group"]
    for i in range(FILES):
        role = ("clean", "clean", "clean", "noise")[i % 4]
        lines.append(f"{i:03d}.wav,{role},{role}{i}")
        sf.write(data / f"{i:03d}.wav", sound(10**6 + i, SECONDS, RATE), RATE)
    (data / "melmill.csv").write_text("\n".join(lines) + "\n")
    command("features", data, folder / "art", "denoise-speech-snr", 2)
    return load_index(folder / "art" / "denoise-speech-snr")


def timed(examples: Callable[[], int], wanted: int) -> Callable[[], float]:
    """A call that gives the seconds an epoch took."""

    def run() -> float:
        start = time.perf_counter()
        if (count := examples()) != wanted:
            raise RuntimeError(f"{count} examples instead of {wanted}")
        return time.perf_counter() - start

    return run


def ours(batches: Batches) -> Callable[[], int]:
    return lambda: sum(len(a["noisy"]) for e in range(EPOCHS) for a in batches.epoch(e))


def first(index: Index) -> Callable[[], int]:
    def run() -> int:
        batches = Batches(index, "train", BATCH, fields=USED)
        return sum(len(arrays["noisy"]) for arrays in batches.epoch(0))

    return run


def one_by_one(index: Index, fields: tuple[str, ...]) -> Callable[[], int]:
    """As a data set of single examples does it, its files opened once."""

    def run() -> int:
        count = 0
        with ExitStack() as stack:
            places = []
            for shard in index.shards("train", "hdf5"):
                file = stack.enter_context(h5py.File(index.path(shard), "r"))
                held = {name: file[name] for name in fields}
                places += [(held, i) for i in range(shard.examples)]
            order = np.random.default_rng(0).permutation(len(places))
            for at in range(0, len(order) // BATCH * BATCH, BATCH):
                rows = [places[k] for k in order[at : at + BATCH]]
                batch = {n: np.stack([held[n][i] for held, i in rows]) for n in fields}
                count += len(batch["noisy"])
        return count

    return run


def tar(index: Index, path: Path, fields: tuple[str, ...]) -> Callable[[], int]:
    """A WebDataset of the arrays, and a pass over it."""
    import webdataset

    with webdataset.TarWriter(str(path)) as writer:
        number = 0
        for arrays in Batches(index, "train", BATCH, fields=fields, shuffle=False).epoch(0):
            for row in range(len(arrays["noisy"])):
                parts = {f"{name}.npy": np.asarray(arrays[name][row]) for name in fields}
                writer.write({"__key__": f"{number:07d}", **parts})
                number += 1

    def run() -> int:
        source = webdataset.WebDataset(str(path), shardshuffle=False).shuffle(BUFFER).decode()
        names = ["noisy.npy", *(f"{name}.npy" for name in fields if name != "noisy")]
        return sum(len(batch[0]) for batch in source.to_tuple(*names).batched(BATCH))

    return run


def copy(batches: Batches) -> Callable[[], int]:
    """The arrays of an epoch into as many others, pages of both there before."""
    held = [{name: v.copy() for name, v in arrays.items()} for arrays in batches.epoch(0)]
    into = [{name: np.zeros_like(v) for name, v in arrays.items()} for arrays in held]

    def run() -> int:
        for _ in range(EPOCHS):
            for source, target in zip(held, into, strict=True):
                for name, array in source.items():
                    np.copyto(target[name], array)
        return EPOCHS * sum(len(arrays["noisy"]) for arrays in held)

    return run


def rows(folder: Path, index: Index) -> Iterator[Row]:
    n = index.examples("train") // BATCH * BATCH
    if n != index.examples("train"):
        raise RuntimeError(f"{index.examples('train')} examples are no whole batches")
    every = tuple(field.name for field in index.fields)
    both = {"all": every, "used": USED}
    readers = {k: Batches(index, "train", BATCH, fields=names) for k, names in both.items()}
    calls = {f"ours {k}": timed(ours(reader), EPOCHS * n) for k, reader in readers.items()}
    calls |= {f"h5py {k}": timed(one_by_one(index, names), n) for k, names in both.items()}
    calls |= {"copy": timed(copy(readers["used"]), EPOCHS * n), "first": timed(first(index), n)}
    try:
        for k, names in both.items():
            calls[f"tar {k}"] = timed(tar(index, folder / f"{k}.tar", names), n)
    except ImportError as missing:
        print(f"skipped: the loader beside WebDataset ({missing})")
    taken = turns(calls, TURNS)
    for name in ("ours all", "ours used", "copy"):
        taken[name] /= EPOCHS
    speed = {name: f"{n / seconds:,.0f}/s" for name, seconds in taken.items()}
    wholes = (("tar", "WebDataset", 40.0), ("h5py", "h5py one by one", 5.0))
    for key, title, target in wholes:
        for k, words, aim in (
            ("all", "all 14 arrays", target),
            ("used", "the 3 of training", None),
        ):
            if f"{key} {k}" in taken:
                ratio = taken[f"{key} {k}"] / taken[f"ours {k}"]
                what = f"loader, {words}: HDF5 / {title}"
                yield Row(what, speed[f"ours {k}"], speed[f"{key} {k}"], ratio, aim)
    ratio = taken["copy"] / taken["ours used"]
    yield Row("loader: HDF5 / a copy in memory", speed["ours used"], speed["copy"], ratio, 0.5)
    yield Row("loader: first epoch, shards hashed", speed["first"])
