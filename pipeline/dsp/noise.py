"""Noise made from numbers and from voices.

Reads and writes nothing. Does: white, pink and brown noise shaped in the frequency domain, and
babble, the sum of several voices at equal active level.
"""

from collections.abc import Sequence

import numpy as np
from scipy.fft import irfft, next_fast_len

from pipeline.dsp.levels import FLOOR, Silent, active_level, rms

# Amplitude falls with frequency to this power: 0, -3.01 and -6.02 dB per octave.
SLOPES = {"white": 0.0, "pink": 0.5, "brown": 1.0}
# Below the lowest audible octave the spectrum is flat. Otherwise most of brown noise's power would
# be one slow wave that no one hears and no mel band holds.
FLAT_BELOW_HZ = 20.0


def coloured(kind: str, n: int, rng: np.random.Generator, rate: float) -> np.ndarray:
    """Gaussian noise of a kind named in SLOPES: (n,) float32, zero mean, unit RMS. n >= 2."""
    if kind not in SLOPES:
        raise ValueError(f"unknown noise kind {kind!r}; one of {', '.join(SLOPES)}")
    if n < 2:
        raise ValueError(f"noise needs at least 2 samples to have zero mean and unit RMS, got {n}")
    size = next_fast_len(n, real=True)
    bins = size // 2 + 1
    hz = np.arange(bins) * (rate / size)
    spectrum = rng.standard_normal(2 * bins).view(np.complex128)
    spectrum *= np.maximum(hz, FLAT_BELOW_HZ) ** -SLOPES[kind]
    wave = irfft(spectrum, size, workers=1)[:n]
    wave -= wave.mean()
    wave /= rms(wave)
    return wave.astype(np.float32)


def babble(voices: Sequence[np.ndarray], rate: float) -> np.ndarray:
    """Sum of voices (n,), each first brought to the same active level: (n,) float32, unit RMS.

    Voices under the floor are left out; Silent when none is left.
    """
    total = np.zeros(len(voices[0]) if voices else 0)
    for voice in voices:
        if voice.shape != total.shape:
            raise ValueError(f"voices differ in shape: {total.shape} and {voice.shape}; fit first")
        if rms(voice) >= FLOOR:
            total += voice / active_level(voice, rate)[0]
    level = rms(total)
    if level < FLOOR:
        raise Silent("noise")
    return (total / level).astype(np.float32)
