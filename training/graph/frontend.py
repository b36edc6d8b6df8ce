"""A recipe's log-mel spectrum as a layer, so that an exported net can take sound itself.

Reads and writes nothing: it is given the recipe out of an index. Does: frames, windows, transforms,
squares, sums into mel bands and takes the logarithm, with the numbers that stand in the shards.
Every operation of it is one of TensorFlow Lite's own where n_fft is a power of two.
"""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.errors import RunError

LOGS = ("db", "log10_1p", "ln")


class LogMel(keras.layers.Layer):
    """(batch, samples) float32 at the recipe's rate -> (batch, frames, mels) float32.

    Frames are centred and see zeros past both ends. ``samples`` is the recipe's window, but any
    fixed number works: a recipe whose frames see their neighbours (``edges = "recording"``) stores
    what a whole recording gives, cut afterwards, and has one frame less. To get the same, give
    ``around`` and the sound from half an n_fft before a window to half an n_fft after its last
    frame's place: then nothing is padded.
    """

    def __init__(self, recipe: Mapping[str, Any], field: str, around: bool = False) -> None:
        super().__init__(name=f"{field}_of_wave", trainable=False, dtype="float32")
        self.feature = _checked(recipe, field)
        self.rate: int = recipe["audio"]["rate"]  # Hz
        self.samples: int = recipe["window"]["samples"]
        self.pad: str = recipe["window"]["pad"]  # what fills a window that ends early
        self.extra = int(recipe["window"]["edges"] == "window")  # frames
        self.before = 0 if around else self.feature["n_fft"] // 2  # zeros
        n_fft, win = self.feature["n_fft"], self.feature["win"] or self.feature["n_fft"]
        self.window = np.zeros(n_fft, np.float32)  # a periodic Hann window amid zeros
        left = (n_fft - win) // 2
        self.window[left : left + win] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win) / win)
        self.bank = _filters(self.feature, self.rate).T  # (1 + n_fft // 2, mels)

    def call(self, wave: tf.Tensor) -> tf.Tensor:
        n_fft, hop = self.feature["n_fft"], self.feature["hop"]
        count = self.compute_output_shape(wave.shape)[1]
        spectrum = tf.signal.rfft(frames(wave, n_fft, hop, count, self.before) * self.window)
        power = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
        return self._log(tf.matmul(power, self.bank))

    def compute_output_shape(self, shape: tuple[int | None, int]) -> tuple[int | None, int, int]:
        hop = self.feature["hop"]
        frames = shape[1] // hop + self.extra
        if not self.before:
            frames = (shape[1] - self.feature["n_fft"]) // hop + 1
        return shape[0], frames, self.feature["mels"]

    def _log(self, power: tf.Tensor) -> tf.Tensor:
        told = self.feature
        if told["log"] == "ln":
            return tf.math.log(power + told["eps"])
        if told["log"] == "log10_1p":
            return tf.math.log1p(power * told["c"]) * (1 / math.log(10))
        db = tf.math.log(tf.maximum(power, told["amin"])) * (10 / math.log(10))
        if told["ref"]:
            db -= 10 * math.log10(max(told["amin"], abs(told["ref"])))
        else:  # the window's own peak is 0 dB
            db -= tf.reduce_max(db, (1, 2), keepdims=True)
        if told["top_db"]:
            db = tf.maximum(db, tf.reduce_max(db, (1, 2), keepdims=True) - told["top_db"])
        return db


def frames(wave: tf.Tensor, n_fft: int, hop: int, count: int, before: int) -> tf.Tensor:
    """(batch, count, n_fft) of (batch, samples) behind so many zeros. Frames share blocks of the
    greatest length that divides both hop and n_fft, so that few indices pick them."""
    block = math.gcd(n_fft, hop)
    first = np.arange(count)[:, None] * (hop // block)
    picked = first + np.arange(n_fft // block)
    span = (int(picked.max()) + 1) * block
    right = max(0, span - before - wave.shape[1])
    wave = tf.pad(wave, ((0, 0), (before, right)))[:, :span]
    blocks = tf.reshape(wave, (-1, span // block, block))
    found = tf.gather(blocks, picked.astype(np.int32), axis=1)
    return tf.reshape(found, (-1, count, n_fft))


def _checked(recipe: Mapping[str, Any], field: str) -> dict[str, Any]:
    """The feature's table, when it is one that this layer can make."""
    known = recipe["features"]
    if field not in known:
        raise RunError("no such feature", f"recipe {recipe['name']}", sorted(known), field)
    told = dict(known[field])
    where = f"recipe {recipe['name']}, feature {field}"
    for key, fit in (("kind", ("mel",)), ("log", LOGS)):
        if told[key] not in fit:
            do = "feed a net on it with features; the layer makes log-mel spectra alone"
            raise RunError(f"no layer makes this {key}", where, " or ".join(fit), told[key], do)
    return told


def _filters(told: Mapping[str, Any], rate: int) -> np.ndarray:
    """(mels, 1 + n_fft // 2) float32."""
    import librosa  # half a second, and only what hears needs it

    found: np.ndarray = librosa.filters.mel(
        sr=rate, n_fft=told["n_fft"], n_mels=told["mels"], fmin=told["fmin"],
        fmax=told["fmax"] or None, htk=told["scale"] == "htk",
        norm="slaney" if told["norm"] == "slaney" else None,
    )  # fmt: skip
    return found
