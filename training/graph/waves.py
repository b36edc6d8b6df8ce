"""What is done to a batch of waveforms while a net learns: new at every step, never stored.

Reads and writes nothing. Does: keeps a piece, flips the sign, mixes examples, adds noise, changes
the level, silences spans, all as operations of the graph, so that it runs where the net does.

Each function draws from one seed and its own name: the same seed gives the same batch, and what one
function draws does not move what another does. x is (batch, samples) float32 throughout, in [-1, 1]
as it is given; gain, noise and mix may leave that range, nothing is clipped. Every example of a
batch has draws of its own.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.fft import next_fast_len

from training.errors import Changed
from training.graph.augment import named

FADE = 0.005  # seconds at either end of a silenced span: a hard edge would be a click
SPAN = 0.1  # seconds that a level is measured over
SILENT = 1e-4  # level that nothing is mixed with, -80 dBFS: dithered digital silence lies below it
STEEPEST = -6.0  # dB per octave, of noise
# Hz. No noise lies below: nobody would hear it, and of steep noise it would be nearly all power.
LOWEST = 20.0


@dataclass(frozen=True)
class Changes:
    """How much of each; 0 is off, and a crop of 1. The defaults change nothing."""

    crop: float = 1.0  # part of the window that is kept, from a random place
    gain: float = 0.0  # dB, largest change of the level up or down
    flip: float = 0.0  # chance that the sign is flipped
    mask: float = 1.0  # chance that there are:
    masks: int = 0  # spans of silence
    mask_width: float = 0.1  # widest span, as a part of the window
    noise: float = 0.0  # chance that noise is added
    noise_snr: tuple[float, float] = (20.0, 50.0)  # dB, lowest and highest
    mix: float = 0.0  # chance that an example is mixed with a partner

    def __post_init__(self) -> None:
        low, high = self.noise_snr
        parts = ("flip", "mask", "mask_width", "noise", "mix")
        wrong = [] if 0 < self.crop <= 1 else ["crop"]
        wrong += [n for n in parts if not 0 <= getattr(self, n) <= 1]
        wrong += [n for n in ("gain", "masks") if not 0 <= getattr(self, n) < float("inf")]
        wrong += [] if -float("inf") < low <= high < float("inf") else ["noise_snr"]
        if wrong:
            raise Changed("out of range", wrong[0], got=getattr(self, wrong[0]))


def _seed(seed: tf.Tensor, name: str) -> tf.Tensor:
    """Not what a spectrogram's change of the same name draws from."""
    return named(seed, f"wave {name}")


def _uniform(x: tf.Tensor, seed: tf.Tensor, name: str, count: int = 1) -> tf.Tensor:
    """(batch, count) in [0, 1)"""
    return tf.random.stateless_uniform((tf.shape(x)[0], count), _seed(seed, name), alg="philox")


def _samples(x: tf.Tensor) -> int:
    if x.shape[1] is None:
        raise ValueError(f"a waveform must have a known number of samples, got {x.shape}")
    return int(x.shape[1])


def _rms(x: tf.Tensor) -> tf.Tensor:
    """(batch, 1)"""
    return tf.sqrt(tf.reduce_mean(tf.square(x), axis=1, keepdims=True))


def crop(x: tf.Tensor, seed: tf.Tensor, part: float) -> tf.Tensor:
    """A piece from a random place: round(part * samples) of them, one less where that is odd."""
    samples = _samples(x)
    kept = round(part * samples) // 2 * 2
    # int64, because a GPU leaves sums of int32 to the host.
    start = tf.cast(_uniform(x, seed, "crop") * (samples - kept + 1), tf.int64)
    return tf.gather(x, start + tf.range(kept, dtype=tf.int64), batch_dims=1)


def flip(x: tf.Tensor, seed: tf.Tensor, chance: float) -> tf.Tensor:
    """The other sign, which nobody hears."""
    return x * tf.where(_uniform(x, seed, "flip") < chance, -1.0, 1.0)


def gain(x: tf.Tensor, seed: tf.Tensor, db: float) -> tf.Tensor:
    """Up to ``db`` louder or softer."""
    change = (2 * _uniform(x, seed, "gain") - 1) * db
    return x * tf.pow(10.0, change / 20)


def masks(
    x: tf.Tensor, seed: tf.Tensor, chance: float, count: int, width: float, rate: float
) -> tf.Tensor:
    """``count`` spans of 0 to ``width`` of the window go silent; they may overlap.

    What is outside of them stays as it was: the fades of FADE lie inside, so that a span of less
    than two of them only becomes softer. ``rate`` in Hz.
    """
    samples = _samples(x)
    most = round(width * samples)
    wide = tf.floor(_uniform(x, seed, "mask width", count) * (most + 1))
    start = tf.floor(_uniform(x, seed, "mask start", count) * (samples - wide + 1))
    half = wide / 2
    centre = start + half - 0.5
    place = tf.range(samples, dtype=tf.float32)
    outside = functools.reduce(
        tf.minimum,  # one by one: never count times the batch in memory
        [tf.abs(place - centre[:, n, None]) - half[:, n, None] for n in range(count)],
    )
    masked = x * tf.clip_by_value(1 + outside / (FADE * rate), 0.0, 1.0)
    return tf.where(_uniform(x, seed, "masked") < chance, masked, x)


def noise(
    x: tf.Tensor, seed: tf.Tensor, chance: float, snr: tuple[float, float], rate: float
) -> tf.Tensor:
    """Noise is added, ``snr`` dB (lowest, highest) below the example's own RMS.

    Its spectrum falls by 0 (white) to 6 dB per octave (nearly brown), from LOWEST on; below it
    holds nothing. Silence stays silence. ``rate`` in Hz.
    """
    samples = _samples(x)
    length = 2 * next_fast_len(-(-samples // 2), real=True)  # 66048 has the factor 43
    hertz = np.fft.rfftfreq(length, 1 / rate)
    octaves = np.log2(np.maximum(hertz, LOWEST) / LOWEST)
    steepest = (STEEPEST * octaves * math.log(10) / 20).astype(np.float32)  # ln of the amplitude
    shape = tf.where(hertz >= LOWEST, tf.exp(_uniform(x, seed, "noise slope") * steepest), 0.0)
    drawn = tf.random.stateless_normal(
        (2, tf.shape(x)[0], len(hertz)), _seed(seed, "noise"), alg="philox"
    )
    added = tf.signal.irfft(tf.complex(drawn[0] * shape, drawn[1] * shape), [length])[:, :samples]
    low, high = snr
    below = low + (high - low) * _uniform(x, seed, "noise snr")
    level = _rms(x) * tf.pow(10.0, -below / 20) / _rms(added)
    return x + added * tf.where(_uniform(x, seed, "noisy") < chance, level, 0.0)


def _loudest(x: tf.Tensor, rate: float) -> tf.Tensor:
    """(batch, 1): the largest RMS of spans of SPAN that overlap by half; silence past the end."""
    samples, step = _samples(x), round(SPAN * rate / 2)
    spans = -(-samples // step)
    padded = tf.pad(x, ((0, 0), (0, spans * step - samples)))
    power = tf.reduce_mean(tf.square(tf.reshape(padded, (-1, spans, step))), axis=2)
    after = tf.pad(power[:, 1:], ((0, 0), (0, 1)))
    return tf.sqrt(tf.reduce_max(power + after, axis=1, keepdims=True) / 2)


def mix(x: tf.Tensor, y: Any, seed: tf.Tensor, chance: float, rate: float) -> tuple[tf.Tensor, Any]:
    """Examples with partners, each as loud as its part p ~ U(0, 1) of the targets says.

    Between-class learning (Tokozume et al. 2018): of a and b, with levels G in dB,
    r = 1 / (1 + 10^((G_a - G_b) / 20) (1 - p) / p), (r a + (1 - r) b) / sqrt(r^2 + (1 - r)^2) and
    p y_a + (1 - p) y_b. There G is the largest A-weighted level of short windows, here the largest
    RMS of 0.1 s. ``y`` is a tensor of (batch, ...) float, or any nest of such; ``rate`` in Hz.

    Whoever is silent, would meet a silent partner or itself, or was not chosen stays as it was.
    """
    count = tf.shape(x)[0]
    partner = tf.argsort(_uniform(x, seed, "partner")[:, 0], stable=True)
    part = _uniform(x, seed, "part")
    level = _loudest(x, rate)
    other = tf.gather(level, partner)
    heard = tf.minimum(level, other) > SILENT
    chosen = (_uniform(x, seed, "mixed") < chance) & (partner != tf.range(count))[:, None]
    # The formula for r with no division by p; a level L is 10^(G / 20).
    r = tf.math.divide_no_nan(part * other, part * other + (1 - part) * level)
    scale = tf.math.rsqrt(tf.square(r) + tf.square(1 - r))

    def mixed(z: tf.Tensor, own: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
        z = tf.convert_to_tensor(z)
        if not z.dtype.is_floating:
            raise TypeError(f"only float targets can be mixed, got {z.dtype.name}: one-hot first")
        column = [count] + [1] * (z.shape.rank - 1)
        a, b = (tf.cast(tf.reshape(each, column), z.dtype) for each in (own, others))
        return tf.where(tf.reshape(chosen & heard, column), a * z + b * tf.gather(z, partner), z)

    targets = tf.nest.map_structure(lambda z: mixed(z, part, 1 - part), y)
    return mixed(x, r * scale, (1 - r) * scale), targets


def changed(
    batch: Mapping[str, tf.Tensor],
    seed: tf.Tensor,
    what: Changes,
    rate: float,
    field: str = "wave",
    targets: Sequence[str] = ("label",),
) -> dict[str, tf.Tensor]:
    """The batch with its ``field`` changed, and its ``targets`` where examples were mixed.

    Everything else in it stays. ``rate`` of the waveforms in Hz. Give every step and every replica
    a seed of its own, such as named(named(seed, step), replica).

    Mixed before the level changes, which would be undone in part; masked last, so that silence is.
    """
    out = dict(batch)
    x = out[field]
    if what.crop < 1:
        x = crop(x, seed, what.crop)
    if what.flip:
        x = flip(x, seed, what.flip)
    if what.mix:
        x, mixed = mix(x, {name: out[name] for name in targets}, seed, what.mix, rate)
        out |= mixed
    if what.noise:
        x = noise(x, seed, what.noise, what.noise_snr, rate)
    if what.gain:
        x = gain(x, seed, what.gain)
    if what.masks:
        x = masks(x, seed, what.mask, what.masks, what.mask_width, rate)
    return out | {field: x}
