"""One training example mixed as it is needed: new noise and new loudness in every epoch.

Reads and writes nothing. Does: changes the speed and the colour of clean sound and noise, mixes
them at a drawn loudness, turns the pair up or down. Every draw comes from the generator given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
from scipy.signal import lfilter

from training.errors import Changed

BLOCK_S = 0.1  # seconds of a block of the active level
GATE_DB = 40.0  # blocks this far below the loudest are pauses
FLOOR = 1e-4  # linear RMS, -80 dBFS: what is below it has no level to scale by
CEILING = 1.0  # largest magnitude, linear full scale
HUSH = 1e-15  # linear, -300 dBFS: nothing


@dataclass(frozen=True)
class Online:
    """How examples are mixed on the fly. What has no width, or is 0, is off."""

    below: float = 5.0  # dB under the recipe's lowest SNR
    above: float = 5.0  # dB over its highest
    alone: float = 0.05  # part of the examples that are noise only: clean is silence
    untouched: float = 0.05  # part that is clean only: noisy is clean
    speed: tuple[float, float] = (0.9, 1.1)  # factor on the speed of the clean sound
    colour: float = 0.375  # largest coefficient of the random filters (Valin 2018, section 3)
    gain: tuple[float, float] = (-12.0, 6.0)  # dB on clean and noisy alike
    room: int = 256 << 20  # bytes of noise held in memory at once, over all recipes

    def __post_init__(self) -> None:
        wrong = [n for n in ("below", "above", "room") if not getattr(self, n) >= 0]
        wrong += [n for n in ("speed", "gain") if not getattr(self, n)[0] <= getattr(self, n)[1]]
        wrong += [] if self.speed[0] >= 0.5 and self.speed[1] <= 2.0 else ["speed"]
        parts = (self.alone, self.untouched, 1.0 - self.alone - self.untouched)
        wrong += [] if min(parts) >= 0 else ["alone + untouched"]
        # At 1/2 the filter's poles may reach the unit circle.
        wrong += [] if 0.0 <= self.colour < 0.5 else ["colour"]
        if wrong:
            raise Changed("out of range", wrong[0], got=self)


@dataclass(frozen=True)
class Loudness:
    """How loud a recipe's noise is: SNR in dB ("snr"), or standard deviation ("level")."""

    kind: str
    lowest: float
    highest: float

    @classmethod
    def of(cls, mix: Mapping[str, Any]) -> "Loudness":
        return cls(mix["kind"], min(mix["values"]), max(mix["values"]))

    def rms(self, clean: np.ndarray, rate: float, online: Online, unit: float) -> float:
        """RMS of the noise for this clean (n,), linear; `unit` is drawn from [0, 1)."""
        if self.kind == "level":
            return float(self.lowest * (self.highest / self.lowest) ** unit)
        low, high = self.lowest - online.below, self.highest + online.above
        level = max(active_level(clean, rate), FLOOR)
        return float(level * 10.0 ** (-(low + (high - low) * unit) / 20.0))


def rms(x: np.ndarray) -> float:
    """Root mean square, linear."""
    return float(np.sqrt(np.square(x, dtype=np.float64).mean()))


def active_level(x: np.ndarray, rate: float) -> float:
    """RMS of x (n,) without its pauses, linear.

    Blocks of 100 ms as in the DNS Challenge's audiolib (active_rms); the gate there is absolute,
    here it hangs on the loudest block, so that a gain on the signal is that gain on its level.
    """
    size = max(1, min(round(rate * BLOCK_S), x.size))
    starts = np.arange(0, x.size, size)
    energy = np.add.reduceat(np.square(x, dtype=np.float64), starts)
    count = np.diff(np.append(starts, x.size))
    power = energy / count
    active = power >= power.max() * 10.0 ** (-GATE_DB / 10.0)
    return float(np.sqrt(energy[active].sum() / count[active].sum()))


def mixed(
    clean: np.ndarray,
    noise: np.ndarray | None,
    loudness: Loudness,
    online: Online,
    rate: float,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """(noisy, clean), both (n,) float32, of a clean and a noise (n,) at `rate` Hz.

    Without noise, or with a silent one, noisy is clean.
    """
    which, loud, turn = random.random(3)
    tint = random.uniform(-online.colour, online.colour, (2, 4))
    clean = coloured(clean, tint[0])
    added = np.zeros_like(clean)
    if noise is not None and not online.alone <= which < online.alone + online.untouched:
        noise = coloured(noise, tint[1])
        level = rms(noise)
        if level >= FLOOR:
            added = noise * (loudness.rms(clean, rate, online, loud) / level)
    if which < online.alone:
        clean = np.zeros_like(clean)
    noisy = clean + added
    low, high = online.gain
    gain = float(10.0 ** ((low + (high - low) * turn) / 20.0))
    peak = gain * float(max(np.abs(noisy).max(), np.abs(clean).max()))
    gain /= max(1.0, peak / CEILING)
    return noisy * gain, clean * gain


def coloured(x: np.ndarray, tint: np.ndarray) -> np.ndarray:
    """x (n,) through a random filter of second order, as RNNoise trains with.

    H(z) = (1 + r1 z^-1 + r2 z^-2) / (1 + r3 z^-1 + r4 z^-2), Valin 2018 (arXiv 1709.08243).
    """
    if not tint.any():
        return x
    one = np.ones(1)
    b, a = np.concatenate([one, tint[:2]]), np.concatenate([one, tint[2:]])
    y = lfilter(b.astype(x.dtype), a.astype(x.dtype), x)
    # In silence it dies away through numbers that processors are slow with (subnormal).
    y[np.abs(y) < HUSH] = 0.0
    return np.asarray(y)


def resampled(x: np.ndarray, rate: int, to: int, speed: float = 1.0) -> np.ndarray:
    """x (n,) float32 at `rate` Hz, played at `speed`, at `to` Hz; as it is where nothing changes.

    The speed counts in hundredths: soxr takes twice as long for ratios of large numbers.
    """
    per_cent = round(100 * speed)
    if rate * per_cent == to * 100:
        return x
    return np.asarray(soxr.resample(x, rate * per_cent, to * 100, "HQ"))


def cut(x: np.ndarray, n: int, unit: float) -> np.ndarray:
    """n samples of x (m,): from a random place if it is longer, zeros after it if shorter."""
    if len(x) >= n:
        start = int(unit * (len(x) - n + 1))
        return x[start : start + n]
    return np.concatenate([x, np.zeros(n - len(x), x.dtype)])
