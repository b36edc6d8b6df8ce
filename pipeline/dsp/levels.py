"""How loud a signal is.

Reads and writes nothing. Does: root mean square, and the active speech level of ITU-T P.56
method B, which leaves pauses out of the average so that an SNR does not depend on them.
"""

import math

import numpy as np
from scipy.ndimage import maximum_filter1d

# -80 dBFS, about three steps of 16-bit audio: dithered digital silence (at most one step, -90 dBFS)
# lies below it, the quietest recorded room tone above it.
FLOOR = 1e-4

# ITU-T P.56 (12/2011), clause 6: method B.
ENVELOPE_S = 0.03  # time constant of each of the two exponential averages
HANGOVER_S = 0.2  # a pause shorter than this is part of speech
MARGIN_DB = 15.9  # the threshold lies this far below the active level
# Thresholds halve. The envelope's peak is at most sqrt(seconds / 0.12) times the active level
# (Cauchy-Schwarz), so the margin is met within 24 halvings for any signal under 1e10 seconds.
HALVINGS = 24


class Silent(Exception):
    """A signal has no level to scale by. The pair is skipped and counted, never divided by."""

    def __init__(self, which: str) -> None:
        super().__init__(which)
        self.which = which  # "clean" or "noise"


def rms(x: np.ndarray) -> float:
    """Root mean square of x (n,), linear; 0.0 for an empty array. Accumulates in float64."""
    if x.size == 0:
        return 0.0
    wide = x.astype(np.float64)
    # Not np.dot: BLAS may split a long sum among threads, and then its last bits depend on them.
    return math.sqrt(float(np.square(wide, out=wide).mean()))


def active_level(x: np.ndarray, rate: float) -> tuple[float, float]:
    """Active speech level (linear RMS over active time) and activity factor of x (n,).

    (0.0, 0.0) for digital silence. The standard's thresholds are powers of two below full scale;
    here they are powers of two below the envelope's own peak, so that a gain on the signal is
    exactly that gain on its level: the label of a mixture that was scaled must still hold. And
    activity never counts as shorter than the hangover, so that a click, or a word that begins as
    the clip ends, has a finite, modest level. An offset from zero counts as sound.
    """
    energy = rms(x) ** 2 * x.size
    if energy == 0.0:
        return 0.0, 0.0
    shortest = min(math.ceil(rate * HANGOVER_S) + 1, x.size)
    held = _held_envelope(x, rate, shortest)
    threshold = float(held.max())
    first_db = 0.0
    active_db, margin = 0.0, math.inf
    for halving in range(HALVINGS):
        before_db, before = active_db, margin
        active = max(int(np.count_nonzero(held >= threshold)), shortest)
        active_db = 10.0 * math.log10(energy / active)
        margin = active_db - 20.0 * math.log10(threshold)
        first_db = active_db if halving == 0 else first_db
        if before < MARGIN_DB <= margin:
            share = (MARGIN_DB - before) / (margin - before)
            active_db = before_db + share * (active_db - before_db)
            break
        threshold *= 0.5
    else:
        active_db = first_db
    level = 10.0 ** (active_db / 20.0)
    return level, energy / (level * level * x.size)


def _held_envelope(x: np.ndarray, rate: float, size: int) -> np.ndarray:
    """The largest envelope within the last `size` samples, (n,) float64.

    A sample is active at a threshold when the envelope reached it at most a hangover ago, so one
    running maximum serves all thresholds.
    """
    from scipy.signal import lfilter  # 0.4 s, which recipes without speech need not wait for

    g = math.exp(-1.0 / (rate * ENVELOPE_S))
    held = np.abs(x, dtype=np.float64)
    # Both averages at once: a double pole at g.
    envelope = lfilter([(1.0 - g) ** 2], [1.0, -2.0 * g, g * g], held)
    maximum_filter1d(envelope, size, output=held, mode="constant", origin=(size - 1) // 2)
    return held
