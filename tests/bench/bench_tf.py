"""How fast TensorFlow is fed with log-mel windows, beside other ways to feed it.

Reads and writes a temporary folder. Does: makes shards as the shipped recipe makes them (66 kB an
example) and takes whole epochs of batches of (logmel, label), with every file in the page cache,
in turns with its peers:
- the naive pipeline: TFRecordDataset, parse_single_example in a map, shuffle, batch;
- WebDataset: the arrays as .npy in a tar, through its own decoder, shuffled and in batches;
- loose .npy files, read one by one in a generator that feeds from_generator, in random order;
- the old way: a generator that decodes, shifts the pitch and makes the features, once over.
Ours is `Examples` from its second epoch on. Memory is that of a process of its own.
What training costs on the same shards is in bench_tf_training.py.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile as sf
import tensorflow as tf

from tests.bench import bench_tf_training
from tests.bench.bench_loader import timed
from tests.bench.bench_tf_training import MB, TIMES, once
from tests.bench.common import Row, command, corpus, own_recipe, room, turns
from training.data.index import Index, load_index
from training.data.tf_data import Examples

RATE = 22050  # Hz
FILES, SECONDS = 200, 24.0  # 8 windows each, over 1,000 of them to train with
COPIES = 5  # times that ours and the naive pipeline have each shard: their epochs are short
BATCH = 32
EPOCHS = 2  # of ours in a turn
TURNS = 3
BUFFER = 500  # examples that everybody shuffles at once
USED = ("logmel", "label")


def shards(folder: Path) -> Index:
    """Windows of two classes, in shards of 4 MB: enough of them for a small part."""
    corpus(folder / "clips", FILES, SECONDS, RATE)
    changes = {"shard_mb = 32": "shard_mb = 4"}
    own = own_recipe(folder / "own.toml", "windows", "noise-classifier", changes)
    command("features", folder / "clips", folder / "art", own, 2)
    return load_index(folder / "art" / "windows")


def seen(dataset: tf.data.Dataset) -> int:
    """Examples of all batches; each batch is there when it is counted."""
    return sum(len(label) for _, label in dataset)


def ours(examples: Examples) -> Callable[[], int]:
    return lambda: sum(len(batch["label"]) for e in range(EPOCHS) for batch in examples.epoch(e))


def first(index: Index) -> Callable[[], int]:
    def run() -> int:
        examples = Examples(index, ["train"], BATCH, fields=USED, held=True)
        return sum(len(batch["label"]) for batch in examples.epoch(0))

    return run


def naive(index: Index) -> Callable[[], int]:
    told = {name: index.feature_description[name] for name in USED}
    features = {n: tf.io.FixedLenFeature(d["shape"], d["dtype"]) for n, d in told.items()}
    paths = [str(index.path(shard)) for shard in index.shards("train", "tfrecord")]

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = tf.io.parse_single_example(record, features)
        return example["logmel"], example["label"]

    def run() -> int:
        return seen(tf.data.TFRecordDataset(paths).map(parse).shuffle(BUFFER).batch(BATCH))

    return run


def tar(index: Index, path: Path) -> Callable[[], int]:
    """A WebDataset of the arrays, and a pass over it."""
    import webdataset

    with webdataset.TarWriter(str(path)) as writer:
        for number, (logmel, label) in enumerate(windows(index)):
            parts = {"logmel.npy": logmel, "label.cls": int(label)}
            writer.write({"__key__": f"{number:07d}", **parts})

    def run() -> int:
        source = webdataset.WebDataset(str(path), shardshuffle=False).shuffle(BUFFER).decode()
        batches = source.to_tuple("logmel.npy", "label.cls").batched(BATCH)
        return sum(len(label) for _, label in batches)

    return run


def loose(index: Index, folder: Path) -> Callable[[], int]:
    """A file an example, and their labels."""
    folder.mkdir()
    labels = []
    for number, (logmel, label) in enumerate(windows(index)):
        np.save(folder / f"{number:07d}.npy", logmel)
        labels.append(label)

    def one_by_one() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number in np.random.default_rng(0).permutation(len(labels)):
            yield np.load(folder / f"{number:07d}.npy"), labels[number]

    return lambda: seen(generated(one_by_one, index))


def old(index: Index, clips: Path) -> Callable[[], int]:
    """The first window of each recording as it was done before there were shards."""
    found = sorted(clips.rglob("*.wav"))
    samples, mel = index.recipe["window"]["samples"], index.recipe["features"]["logmel"]
    sizes = {"n_fft": mel["n_fft"], "hop_length": mel["hop"], "n_mels": mel["mels"]}

    def augmented() -> Iterator[tuple[np.ndarray, int]]:
        random = np.random.default_rng(0)
        for path in found:
            wave, rate = sf.read(path, samples, dtype="float32")
            wave = librosa.effects.pitch_shift(wave, sr=rate, n_steps=random.uniform(-2, 2))
            power = librosa.feature.melspectrogram(y=wave, sr=rate, **sizes)
            yield librosa.power_to_db(power).T, index.classes.index(path.parent.name)

    return lambda: seen(generated(augmented, index))


def generated(examples: Callable[[], Iterator[Any]], index: Index) -> tf.data.Dataset:
    shapes = {field.name: field.shape for field in index.fields}
    signature = tf.TensorSpec(shapes["logmel"], tf.float32), tf.TensorSpec((), tf.int32)
    return tf.data.Dataset.from_generator(examples, output_signature=signature).batch(BATCH)


def windows(index: Index) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What there is to train with, as arrays."""
    for batch in Examples(index, ["train"], BATCH, fields=USED, shuffle=False).epoch(0):
        yield from zip(*(batch[name].numpy() for name in USED), strict=True)


def fed(folder: Path, index: Index) -> Iterator[Row]:
    many = dataclasses.replace(index, entries=index.entries * COPIES)
    held, streamed = (
        Examples(many, ["train"], BATCH, fields=USED, held=held) for held in (True, False)
    )
    streamed.room = BUFFER
    n, whole = index.examples("train"), held.steps * BATCH
    calls = {
        "held": (ours(held), EPOCHS * whole),
        "streamed": (ours(streamed), EPOCHS * whole),
        "first": (first(many), whole),
        "naive": (naive(many), COPIES * n),
        "npy": (loose(index, folder / "npy"), n),
    }
    try:
        calls["tar"] = tar(index, folder / "train.tar"), n
    except ImportError as missing:
        print(f"skipped: tf.data beside WebDataset ({missing})")
    taken = turns({name: timed(*call) for name, call in calls.items()}, TURNS)
    speed = {name: count / taken[name] for name, (_, count) in calls.items()}
    peers = {"naive": "the naive pipeline", "tar": "WebDataset", "npy": "loose .npy files"}
    for way in ("held", "streamed"):
        for peer, words in peers.items():
            if peer in speed:
                aim = 3.0 if (way, peer) == ("held", "naive") else None
                yield beside(f"tf.data, {way} / {words}", speed[way], speed[peer], aim)
    yield Row("tf.data: first epoch, shards hashed and parsed", f"{speed['first']:,.0f}/s")
    start = time.perf_counter()
    count = old(index, folder / "clips")()
    before = count / (time.perf_counter() - start)
    what = f"tf.data, held / decode, pitch shift, mel in a generator ({count} files)"
    yield beside(what, speed["held"], before, None)


def beside(what: str, ours: float, other: float, aim: float | None) -> Row:
    """Examples per second."""
    return Row(
        what, f"{ours:,.0f}/s", f"{other:,.{0 if other >= 100 else 1}f}/s", ours / other, aim
    )


def memory(index: Index) -> Iterator[Row]:
    """As many examples of each, so that what a process gathers over time falls on both."""
    small, large = once(index, "stream", 1, TIMES), once(index, "stream", TIMES, 1)
    ours, other = (f"{found[-1] / MB:.0f} MB" for found in (large, small))
    what = f"tf.data, streamed, memory: {TIMES} times the corpus / the corpus"
    yield Row(what, ours, other, large[-1] / small[-1], 1.05, at_most=True)
    added = (large[-1] - large[0]) / MB
    yield Row("tf.data, streamed, memory: what streaming adds", f"{added:.0f} MB")


def rows(folder: Path) -> Iterator[Row]:
    if tf.config.list_physical_devices("GPU"):  # theirs that train, in processes of their own
        tf.config.set_visible_devices([], "GPU")
    index = shards(folder)
    yield from fed(folder, index)
    yield from memory(index)
    yield from bench_tf_training.rows(index)


def run() -> list[Row]:
    with room() as folder:
        return list(rows(folder))
