"""A recipe's handcrafted vector as a layer, so that a net can take it from sound itself.

Reads and writes nothing: it is given the recipe out of an index. Does: takes cepstra, spectral
shape, contrast, chroma, onsets, zero crossings and level from one short-time transform, and gives
the mean and deviation over time of each, with the numbers that stand in the shards. Unless exact,
every operation of it is one of TensorFlow Lite's own where n_fft is a power of two.
"""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.errors import RunError
from training.graph.frontend import frames

AMIN = 1e-10  # the floor of every logarithm of power
TOP_DB = 80.0
ROLLOFF = 0.85  # share of the magnitude below the roll-off frequency
# Octave bands in Hz and the share of bins that makes a peak or a valley: Jiang et al., "Music type
# classification by spectral contrast feature", ICME 2002.
OCTAVES = (0.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0, 12800.0)
QUANTILE = 0.02
CHROMA = 12
OTHERS = 7  # centroid, bandwidth, roll-off, flatness, crossings, RMS, onset
TINY = float(np.finfo(np.float32).tiny)
LEAST = 2.0**-150  # power that float32, in which the shards' vectors were made, takes for nothing
COARSE = 4096, 1024  # steps in full scale of a sample and of the window: 24 bits hold a product
PART = 4  # examples at once: 10 MB each, at 3 s


class Vector(keras.layers.Layer):
    """(batch, samples) float32 at the recipe's rate -> (batch, numbers) float32.

    Frames are centred and see zeros past both ends. ``samples`` is the recipe's window, but any
    fixed number works. ``exact`` computes in float64: contrast and flatness hang on the weakest
    bins, often 100 dB under the strongest, where a float32 transform has only rounding noise, and a
    GPU may multiply float32 with 10 bits. TensorFlow Lite needs it off and comes as close: it
    transforms in float64 what is float32 before and after.
    """

    def __init__(self, recipe: Mapping[str, Any], field: str, exact: bool = True) -> None:
        super().__init__(name=f"{field}_of_wave", trainable=False, dtype="float32")
        self.feature = _checked(recipe, field)
        self.rate: int = recipe["audio"]["rate"]  # Hz
        self.samples: int = recipe["window"]["samples"]
        self.pad: str = recipe["window"]["pad"]  # what fills a window that ends early
        self.kind = tf.float64 if exact else tf.float32
        n_fft, mels, count = (self.feature[key] for key in ("n_fft", "mels", "count"))
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
        near = np.round(hann * COARSE[1]) / COARSE[1]
        hz = np.arange(1 + n_fft // 2) * (self.rate / n_fft)
        bank, chroma = _filters(self.rate, n_fft, mels)
        self.hann, self.near, self.rest, self.hz, self.bank, self.chroma, self.cosines = (
            x.astype(self.kind.as_numpy_dtype)
            for x in (hann, near, hann - near, hz, bank.T, chroma.T, _cosines(mels, count))
        )
        self.octaves = _octaves(hz)
        self.numbers = 2 * (count + len(self.octaves) + CHROMA + OTHERS)

    def call(self, wave: tf.Tensor) -> tf.Tensor:
        if wave.shape[0] is not None and wave.shape[0] <= PART:
            return self._vector(wave)
        count = -(-tf.shape(wave)[0] // PART)
        shape = (None, self.numbers)
        made = tf.TensorArray(tf.float32, count, infer_shape=False, element_shape=shape)

        def part(i: tf.Tensor, made: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            return i + 1, made.write(i, self._vector(wave[i * PART : (i + 1) * PART]))

        _, made = tf.while_loop(lambda i, _: i < count, part, (0, made), parallel_iterations=1)
        return tf.ensure_shape(made.concat(), (wave.shape[0], self.numbers))

    def compute_output_shape(self, shape: tuple[int | None, int]) -> tuple[int | None, int]:
        return shape[0], self.numbers

    def _vector(self, wave: tf.Tensor) -> tf.Tensor:
        wave = tf.cast(wave, self.kind)
        framed = self._frames(wave)
        power = self._power(framed)
        magnitude = tf.sqrt(power)
        db = _decibels(tf.matmul(power, self.bank))
        chroma = tf.matmul(power, self.chroma)
        columns = [
            tf.matmul(db, self.cosines),
            *self._shape(power, magnitude),
            self._contrast(magnitude),
            self._crossings(wave),
            tf.sqrt(tf.reduce_mean(tf.square(framed), 2, keepdims=True)),
            chroma / _or_one(tf.reduce_max(chroma, 2, keepdims=True), TINY),
            self._onset(db),
        ]
        table = tf.concat(columns, 2)  # (batch, frames, columns)
        mean = tf.reduce_mean(table, 1)
        deviation = tf.sqrt(tf.reduce_mean(tf.square(table - mean[:, None]), 1))
        both = tf.reshape(tf.stack([mean, deviation], 2), (-1, self.numbers))
        return tf.cast(both, tf.float32)

    def _frames(self, wave: tf.Tensor) -> tf.Tensor:
        n_fft, hop = self.feature["n_fft"], self.feature["hop"]
        return frames(wave, n_fft, hop, wave.shape[1] // hop + 1, n_fft // 2)

    def _power(self, framed: tf.Tensor) -> tf.Tensor:
        """(batch, frames, bins). What float32 would round off a product is transformed apart."""
        parts = [framed * self.hann]
        if self.kind == tf.float32:
            near = tf.round(framed * COARSE[0]) / COARSE[0]
            parts = [near * self.near, (framed - near) * self.hann + near * self.rest]
        found = [tf.signal.rfft(part) for part in parts]
        real, imag = (tf.add_n([f(x) for x in found]) for f in (tf.math.real, tf.math.imag))
        power = tf.square(real) + tf.square(imag)
        return tf.where(power > LEAST, power, tf.zeros_like(power))

    def _shape(self, power: tf.Tensor, magnitude: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """(batch, frames, 1) each: centroid, bandwidth and roll-off in Hz, flatness in [0, 1]."""
        running = tf.cumsum(magnitude, 2)
        total = running[:, :, -1:]
        centroid = tf.matmul(magnitude, self.hz[:, None]) / _or_one(total)
        away = tf.square(self.hz - centroid)
        spread = tf.reduce_sum(away * magnitude, 2, keepdims=True)
        below = tf.cast(running < ROLLOFF * total, self.kind)
        rolloff = tf.reduce_sum(below, 2, keepdims=True) * (self.rate / self.feature["n_fft"])
        floored = tf.maximum(power, AMIN)
        geometric = tf.exp(tf.reduce_mean(tf.math.log(floored), 2, keepdims=True))
        flatness = geometric / tf.reduce_mean(floored, 2, keepdims=True)
        return centroid, tf.sqrt(spread / _or_one(total)), rolloff, flatness

    def _contrast(self, magnitude: tf.Tensor) -> tf.Tensor:
        """(batch, frames, 7) dB between the strongest and the weakest bins of each octave."""

        def strongest(sign: int) -> tf.Tensor:
            signed = sign * magnitude
            found = [
                tf.math.top_k(signed[:, :, first:last], few).values
                for first, last, few in self.octaves
            ]
            return _decibels(sign * tf.stack([tf.reduce_mean(x, 2) for x in found], 2))

        return strongest(1) - strongest(-1)

    def _crossings(self, wave: tf.Tensor) -> tf.Tensor:
        """(batch, frames, 1) share of samples whose sign differs from the sample before."""
        negative = tf.cast(wave < -1e-10, tf.float32)  # anything smaller is zero, zero is positive
        changed = tf.abs(negative[:, 1:] - negative[:, :-1])
        framed = self._frames(tf.pad(changed, ((0, 0), (0, 1))))  # a sample, and the one after it
        count = tf.reduce_sum(framed[:, :, :-1], 2, keepdims=True)
        return tf.cast(count, self.kind) / self.feature["n_fft"]

    def _onset(self, db: tf.Tensor) -> tf.Tensor:
        """(batch, frames, 1) mean rise of the bands in dB, moved to where the rise is heard."""
        late = 1 + self.feature["n_fft"] // (2 * self.feature["hop"])
        rise = tf.reduce_mean(tf.nn.relu(db[:, 1:] - db[:, :-1]), 2, keepdims=True)
        return tf.pad(rise, ((0, 0), (late, 0), (0, 0)))[:, : db.shape[1]]


def _checked(recipe: Mapping[str, Any], field: str) -> dict[str, Any]:
    """The feature's table, when it is one that this layer can make."""
    known = recipe["features"]
    if field not in known:
        raise RunError("no such feature", f"recipe {recipe['name']}", sorted(known), field)
    told = dict(known[field])
    if told["kind"] != "vector":
        where = f"recipe {recipe['name']}, feature {field}"
        do = "name a feature of that kind; this layer makes handcrafted vectors alone"
        raise RunError("not a vector", where, "kind vector", told["kind"], do)
    return told


def _filters(rate: int, n_fft: int, mels: int) -> tuple[np.ndarray, np.ndarray]:
    """Mel filters (mels, 1 + n_fft // 2) and chroma filters (12, 1 + n_fft // 2), C first."""
    import librosa  # half a second, and only what hears needs it

    bank = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=mels)
    return bank, librosa.filters.chroma(sr=rate, n_fft=n_fft, tuning=0.0)


def _cosines(mels: int, count: int) -> np.ndarray:
    """(mels, count): the orthonormal DCT-II, as a matrix."""
    angles = np.pi / mels * (np.arange(mels)[:, None] + 0.5) * np.arange(count)
    scale = np.where(np.arange(count) > 0, np.sqrt(2 / mels), np.sqrt(1 / mels))
    return np.asarray(np.cos(angles) * scale)


def _octaves(hz: np.ndarray) -> tuple[tuple[int, int, int], ...]:
    """(first bin, past the last bin, bins in a peak) per octave.

    As librosa cuts them: a band takes one bin more below, and, but for the last, one less above.
    """
    made = []
    for low, high in zip(OCTAVES[:-1], OCTAVES[1:], strict=True):
        inside = np.flatnonzero((hz >= low) & (hz <= high))
        first = max(0, int(inside[0]) - 1)
        last = int(inside[-1]) + 1 if high < OCTAVES[-1] else len(hz)
        few = max(1, int(np.rint(QUANTILE * (last - first))))
        made.append((first, last - (high < OCTAVES[-1]), few))
    return tuple(made)


def _decibels(power: tf.Tensor) -> tf.Tensor:
    """Nothing more than TOP_DB under the highest of an example (batch, frames, bands)."""
    db = tf.math.log(tf.maximum(power, AMIN)) * (10 / math.log(10))
    return tf.maximum(db, tf.reduce_max(db, (1, 2), keepdims=True) - TOP_DB)


def _or_one(x: tf.Tensor, least: float = 0.0) -> tf.Tensor:
    """What can be divided by: 1 where there is nothing, or less than `least`."""
    return tf.where(x > least, x, tf.ones_like(x))
