"""`python -m tests.bench.hybrid_once INDEX WAY`: what memory it takes to feed a hybrid, alone.

Reads: an index of raw windows. Does: one of the four ways in which such programs run out of memory,
or the same as it is done here, without any net; what the libraries take is not counted. Writes: on
stdout a line of JSON with the bytes at most.

WAY: `copies` holds all windows and four changed copies of each; `features` holds them and a mel
spectrum of each; `whole` makes one data set of all windows; `views` holds three copies of the test
windows; `all` does the four in one program, as they are found. `ours-...` streams the windows and
changes each batch (copies), takes its vector too (features), hands it on (whole), or asks for ten
views of each test window (views).
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.data.index import SPLITS, Index, load_index
from training.data.shards import read_shard
from training.data.tf_data import Examples
from training.engine.memory import now, peak
from training.graph.vector import Vector
from training.graph.waves import Changes, changed
from training.hybrid.kind import AT_ONCE
from training.hybrid.profiles import PROFILES
from training.hybrid.views import Pieces

BATCH = PROFILES["best"].batch
TESTED = 5  # every fifth window is one to test on
CHANGES = Changes(**PROFILES["best"].augment or {})


def windows(index: Index) -> list[np.ndarray]:
    """Each by itself, as a loop over files leaves them."""
    shards = [shard for split in SPLITS for shard in index.shards(split, "hdf5")]
    return [wave for shard in shards for wave in read_shard(index, shard, ["wave"])["wave"].copy()]


def louder(wave: np.ndarray) -> list[np.ndarray]:
    """Four changed copies: noise, a shift, a gain, and backwards."""
    noise = np.random.default_rng(0).standard_normal(len(wave), np.float32)
    return [wave + 0.005 * noise, np.roll(wave, 1600), 0.8 * wave, wave[::-1].copy()]


def mel(waves: np.ndarray, index: Index) -> np.ndarray:
    """(windows, frames, mels): one after the other, gathered in a list."""
    import librosa

    told = index.recipe["features"]["vector"]
    sizes = {"n_fft": told["n_fft"], "hop_length": told["hop"], "n_mels": told["mels"]}
    rate = index.recipe["audio"]["rate"]
    made = [librosa.feature.melspectrogram(y=wave, sr=rate, **sizes) for wave in waves]
    return np.array([librosa.power_to_db(power).T[..., None] for power in made])


def copies(index: Index) -> Any:
    held = windows(index)
    return np.array([each for wave in held for each in (wave, *louder(wave))])


def features(index: Index) -> Any:
    held = copies(index)
    return held, mel(held, index)


def whole(index: Index) -> Any:
    held = np.array(windows(index))
    made = tf.data.Dataset.from_tensor_slices(held).shuffle(len(held)).batch(BATCH)
    return held, [len(batch) for batch in made]


def views(index: Index) -> Any:
    held = np.array(windows(index)[::TESTED])
    three = [held, np.roll(held, 1600, 1), held[:, ::-1].copy()]
    return three, tf.reduce_mean(tf.constant(np.concatenate(three)))


def everything(index: Index) -> Any:
    told = features(index)
    made = tf.data.Dataset.from_tensor_slices(told[0]).shuffle(len(told[0])).batch(BATCH)
    return told, [len(batch) for batch in made], views(index)


def batches(index: Index, epochs: int = 1) -> Iterator[dict[str, tf.Tensor]]:
    examples = Examples(index, SPLITS, BATCH, fields=("wave", "label"), held=False)
    for epoch in range(epochs):
        yield from examples.epoch(epoch)


def ours_copies(index: Index) -> Any:
    """Four passes, each with changes of its own."""
    rate = index.recipe["audio"]["rate"]
    step = tf.function(lambda batch, seed: changed(batch, seed, CHANGES, rate, targets=())["wave"])
    for number, batch in enumerate(batches(index, epochs=4)):
        step(batch, tf.constant([0, number]))


def ours_features(index: Index) -> Any:
    rate, front = index.recipe["audio"]["rate"], Vector(index.recipe, "vector")

    @tf.function
    def step(batch: dict[str, tf.Tensor], seed: tf.Tensor) -> tf.Tensor:
        return front(changed(batch, seed, CHANGES, rate, targets=())["wave"])

    for number, batch in enumerate(batches(index)):
        step(batch, tf.constant([0, number]))


def ours_whole(index: Index) -> Any:
    return [len(batch["wave"]) for batch in batches(index)]


def ours_views(index: Index) -> Any:
    wave, vector = keras.Input((None,), name="wave"), keras.Input((92,), name="vector")
    net = keras.Model([wave, vector], keras.layers.Dense(3)(vector))
    samples = index.recipe["window"]["samples"]
    asked = Pieces(Vector(index.recipe, "vector"), samples // 2, 10)
    count = sum(index.examples(split) for split in SPLITS)
    chosen = np.arange(count) % TESTED == 0
    held = Examples(
        index, SPLITS, AT_ONCE, fields=("wave", "vector"), chosen=chosen, shuffle=False, held=False
    )
    step = tf.function(lambda batch: asked(net, batch), reduce_retracing=True)
    return [step({n: batch[n] for n in ("wave", "vector")}) for batch in held.epoch(0)]


def ours_all(index: Index) -> Any:
    ours_features(index)
    ours_views(index)


WAYS: dict[str, Callable[[Index], Any]] = {
    "copies": copies, "features": features, "whole": whole, "views": views, "all": everything,
    "ours-copies": ours_copies, "ours-features": ours_features, "ours-whole": ours_whole,
    "ours-views": ours_views, "ours-all": ours_all,
}  # fmt: skip


def main(path: str, way: str) -> int:
    index = load_index(path)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.zeros(1)
    import librosa

    librosa.feature.melspectrogram(y=np.zeros(4096, np.float32), sr=22050)  # loads what it needs
    Path("/proc/self/clear_refs").write_text("5")  # the most so far is now
    before = now()
    WAYS[way](index)
    return peak() - before


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
