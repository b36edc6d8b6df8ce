"""What is done to a batch of spectrograms while a net learns: new at every step, never stored.

Reads and writes nothing. Does: rolls in time, changes the level, mixes examples, hides frames and
bands, all as operations of the graph, so that it runs where the net does.

Each function draws from one seed and its own name: the same seed gives the same batch, and what one
function draws does not move what another does. x is (batch, frames, mels) float32 throughout; every
example of a batch has draws of its own.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from training.errors import Changed

LOGS = ("db", "ln", "log10_1p", "none")


@dataclass(frozen=True)
class Augment:
    """How much of each; 0 is off. The defaults hide nothing and change nothing."""

    roll: float = 0.0  # largest shift in time, as a part of the frames; 0.5 reaches every one
    gain: float = 0.0  # dB, largest change of the level up or down
    mixup: float = 0.0  # alpha of the Beta distribution that an example's part is drawn from
    time_masks: int = 0
    time_width: float = 0.1  # widest mask, as a part of the frames
    mel_masks: int = 0
    mel_width: float = 0.1  # as a part of the bands
    log: str = "db"  # of the recipe's feature: what a change of level does to it
    constant: float = 0.0  # that goes with the log: eps of ln

    def __post_init__(self) -> None:
        if self.log not in LOGS:
            raise Changed("unknown value", "log", f"one of {LOGS}", self.log)
        parts = ("roll", "time_width", "mel_width")
        others = ("gain", "mixup", "time_masks", "mel_masks", "constant")
        wrong = [n for n in parts if not 0 <= getattr(self, n) <= 1]
        wrong += [n for n in others if not 0 <= getattr(self, n) < float("inf")]
        if wrong:
            raise Changed("out of range", wrong[0], got=getattr(self, wrong[0]))


def changes(asked: Mapping[str, float] | None, told: Mapping[str, Any]) -> Augment | None:
    """What a profile asks for, of a feature that a recipe tells of; None for nothing at all."""
    log = {"log": told["log"], "constant": told.get("eps") or 0.0}
    both: dict[str, Any] = {**(asked or {}), **log}
    return None if asked is None else Augment(**both)


def named(seed: tf.Tensor, name: str | int | tf.Tensor) -> tf.Tensor:
    """A seed of its own for what has a name or number: int32[2] -> int32[2]."""
    number = zlib.crc32(name.encode()) >> 1 if isinstance(name, str) else name
    return tf.random.experimental.stateless_fold_in(seed, number, alg="philox")


def _uniform(seed: tf.Tensor, name: str, *shape: Any) -> tf.Tensor:
    """[0, 1)"""
    return tf.random.stateless_uniform(shape, named(seed, name), alg="philox")


def _length(x: tf.Tensor, axis: int) -> int:
    if x.shape[axis] is None:
        raise ValueError(f"axis {axis} of a spectrogram must have a known length, got {x.shape}")
    return int(x.shape[axis])


def roll(x: tf.Tensor, seed: tf.Tensor, share: float) -> tf.Tensor:
    """Frames move by up to ``share`` of all, what leaves at one end comes in at the other."""
    frames = _length(x, 1)
    most = round(share * frames)
    drawn = _uniform(seed, "roll", tf.shape(x)[0], 1)
    shift = tf.cast(tf.floor(drawn * (2 * most + 1)), tf.int32) - most
    return tf.gather(x, (tf.range(frames) - shift) % frames, batch_dims=1)


def gain(
    x: tf.Tensor, seed: tf.Tensor, db: float, log: str = "db", constant: float = 0.0
) -> tf.Tensor:
    """The spectrogram of the same sound made up to ``db`` louder or softer.

    Exact, but for what the recipe's floor (amin) had already cut off.
    """
    change = (2 * _uniform(seed, "gain", tf.shape(x)[0], 1, 1) - 1) * db
    if log == "db":
        return x + change
    times = tf.pow(10.0, change / 10)
    if log == "none":
        return x * times
    if log == "ln":  # of power + constant
        return tf.math.log(tf.maximum(tf.exp(x) - constant, 0.0) * times + constant)
    if log == "log10_1p":  # of 1 + constant * power: the constant is inside the power's factor
        return tf.math.log1p(tf.math.expm1(x * math.log(10)) * times) / math.log(10)
    raise ValueError(f"unknown log {log!r}: expected one of {', '.join(LOGS)}")


def mixup(x: tf.Tensor, y: Any, seed: tf.Tensor, alpha: float) -> tuple[tf.Tensor, Any]:
    """Each example with its partner, and their targets in the same parts (Zhang et al. 2018).

    ``y`` is a tensor of (batch, ...) float, or any nest of such, labels and a teacher's answers
    alike. The log spectra are mixed, as PANNs and its followers do, not the powers: of two powers
    the louder sound would hide the softer one, and the label would name what nobody can hear.
    """
    count = tf.shape(x)[0]
    partner = tf.argsort(_uniform(seed, "partner", count), stable=True)
    two = tf.random.stateless_gamma((2, count), named(seed, "part"), alpha)
    part = tf.math.divide_no_nan(two[0], two[0] + two[1])  # Beta(alpha, alpha)

    def mixed(z: tf.Tensor) -> tf.Tensor:
        z = tf.convert_to_tensor(z)
        if not z.dtype.is_floating:
            raise TypeError(f"only float targets can be mixed, got {z.dtype.name}: one-hot first")
        own = tf.cast(tf.reshape(part, [count] + [1] * (z.shape.rank - 1)), z.dtype)
        return own * z + (1 - own) * tf.gather(z, partner)

    return mixed(x), tf.nest.map_structure(mixed, y)


def _hidden(seed: tf.Tensor, batch: tf.Tensor, length: int, count: int, share: float) -> tf.Tensor:
    """(batch, length) bool: ``count`` spans of 0 to ``share`` of the length, which may overlap."""
    most = round(share * length)
    width = tf.floor(_uniform(seed, "width", batch, count, 1) * (most + 1))
    start = tf.floor(_uniform(seed, "start", batch, count, 1) * (length - width + 1))
    place = tf.range(length, dtype=tf.float32)
    return tf.reduce_any((place >= start) & (place < start + width), axis=1)


def spec_masks(
    x: tf.Tensor, seed: tf.Tensor, time: tuple[int, float], mel: tuple[int, float]
) -> tf.Tensor:
    """Spans of frames and of bands replaced by the example's mean (Park et al. 2019).

    ``time`` and ``mel``: how many masks, and the widest as a part of the frames or bands.
    """
    batch = tf.shape(x)[0]
    frames = _hidden(named(seed, "time masks"), batch, _length(x, 1), *time)
    bands = _hidden(named(seed, "mel masks"), batch, _length(x, 2), *mel)
    mean = tf.reduce_mean(x, axis=(1, 2), keepdims=True)
    return tf.where(frames[:, :, None] | bands[:, None, :], mean, x)


def augment(
    batch: Mapping[str, tf.Tensor],
    seed: tf.Tensor,
    what: Augment | None,
    features: str = "logmel",
    targets: Sequence[str] = ("label",),
) -> dict[str, tf.Tensor]:
    """The batch with its ``features`` changed, and its ``targets`` where examples were mixed.

    Everything else in it stays; None changes nothing at all. Give every step and every replica a
    seed of its own, such as named(named(seed, step), replica).
    """
    out = dict(batch)
    if what is None:
        return out
    x = out[features]
    if what.roll:
        x = roll(x, seed, what.roll)
    if what.gain:
        x = gain(x, seed, what.gain, what.log, what.constant)
    if what.mixup:
        x, mixed = mixup(x, {name: out[name] for name in targets}, seed, what.mixup)
        out |= mixed
    if what.time_masks or what.mel_masks:
        time, mel = (what.time_masks, what.time_width), (what.mel_masks, what.mel_width)
        x = spec_masks(x, seed, time, mel)
    return out | {features: x}
