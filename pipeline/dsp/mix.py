"""Noise added to speech at a level that the stored samples really have.

Reads and writes nothing. Does: fits a noise to a clip's length, scales it to an SNR or to a
standard deviation, turns clean and mixture down together where they would clip, and measures
what the float32 result holds.
"""

import math
from dataclasses import dataclass

import numpy as np

# Levels are measured and signals refused here, so both names belong to this module's interface.
from pipeline.dsp.levels import FLOOR as FLOOR
from pipeline.dsp.levels import Silent as Silent
from pipeline.dsp.levels import active_level, rms

CEILING = 1.0  # largest magnitude that is stored, linear full scale


@dataclass(frozen=True)
class Mixture:
    """One training pair. Everything a verifier needs to check the label is in it."""

    noisy: np.ndarray  # (n,) float32
    clean: np.ndarray  # (n,) float32, the given clean times gain
    scale: float  # applied to the noise, before the gain, exact as float32
    gain: float  # applied to clean and noise alike, 0 < gain <= 1, exact as float32
    requested: float  # dB for at_snr; linear level before the gain for at_level
    achieved: float  # the same quantity, measured in the stored samples (after the gain)


def fit(noise: np.ndarray, n: int, offset: int) -> np.ndarray:
    """n samples of the endlessly repeated noise from offset on, less their mean: (n,) float32.

    An offset from zero is inaudible and lies in no mel band, but it would count as noise power.
    """
    if noise.size == 0:
        raise Silent("noise")
    start = offset % noise.size
    repeats = -(-(start + n) // noise.size)
    cut = (noise if repeats == 1 else np.tile(noise, repeats))[start : start + n]
    return (cut - cut.mean(dtype=np.float64)).astype(np.float32)


def at_snr(
    clean: np.ndarray,
    noise: np.ndarray,
    snr_db: float,
    *,
    speech_level: str,
    rate: float,
    clean_level: float | None = None,
) -> Mixture:
    """Clean plus noise, both (n,) float32, at a ratio of speech level to noise RMS in dB.

    speech_level is "p56" (active level) or "rms". clean_level is what level_of gives for this
    clean, for callers that mix one clip several times. Raises Silent when either signal is under
    the floor, or when float32 cannot hold what the ratio leaves of it.
    """
    _check(clean, noise)
    _refuse_silence(clean, "clean")
    _refuse_silence(noise, "noise")
    level = level_of(clean, speech_level, rate) if clean_level is None else clean_level
    scale = _factor(level / rms(noise) * 10.0 ** (-snr_db / 20.0))
    noisy, stored, gain = _add(clean, noise, scale)
    if gain != 1.0:
        level = level_of(stored, speech_level, rate)
    achieved = _ratio_db(level, measured_level(stored, noisy))
    return Mixture(noisy, stored, scale, gain, snr_db, achieved)


def at_level(clean: np.ndarray, noise: np.ndarray, level: float) -> Mixture:
    """Clean plus noise of standard deviation `level` (linear), both (n,) float32.

    When the pair is turned down, its noise is turned down too: achieved is about level * gain.
    The clean may be silent, since nothing is divided by its level.
    """
    _check(clean, noise)
    _refuse_silence(noise, "noise")
    if not level > 0.0:
        raise ValueError(f"noise level must be above 0, got {level}")
    scale = _factor(level / rms(noise))
    noisy, stored, gain = _add(clean, noise, scale)
    achieved = measured_level(stored, noisy)
    if achieved == 0.0:
        raise Silent("noise")
    return Mixture(noisy, stored, scale, gain, level, achieved)


def measured_snr(clean: np.ndarray, noisy: np.ndarray, *, speech_level: str, rate: float) -> float:
    """The ratio in dB that a stored pair holds; Silent when it has no clean or no noise."""
    return _ratio_db(level_of(clean, speech_level, rate), measured_level(clean, noisy))


def measured_level(clean: np.ndarray, noisy: np.ndarray) -> float:
    """RMS of the noise in a stored pair: its standard deviation, as fitted noise has no mean."""
    return rms(noisy.astype(np.float64) - clean)


def level_of(clean: np.ndarray, speech_level: str, rate: float) -> float:
    """Speech level, linear RMS: over active time ("p56") or over everything ("rms")."""
    if speech_level == "p56":
        return active_level(clean, rate)[0]
    if speech_level == "rms":
        return rms(clean)
    raise ValueError(f"unknown speech level {speech_level!r}; one of p56, rms")


def _check(clean: np.ndarray, noise: np.ndarray) -> None:
    if clean.dtype != np.float32 or clean.ndim != 1:
        raise ValueError(f"clean must be (n,) float32, got {clean.shape} {clean.dtype}")
    if noise.shape != clean.shape:
        raise ValueError(
            f"noise must be as long as clean {clean.shape}, got {noise.shape}; use fit"
        )
    for x, which in ((clean, "clean"), (noise, "noise")):
        if not np.isfinite(x).all():
            raise ValueError(f"{which} has samples that are not finite")


def _refuse_silence(x: np.ndarray, which: str) -> None:
    # About the mean: a constant has power but is silence to the ear.
    if x.size == 0 or x.std(dtype=np.float64) < FLOOR:
        raise Silent(which)


def _factor(scale: float) -> float:
    """`scale` as float32 holds it, so that who mixes later from the label gets the same bytes."""
    largest = float(np.finfo(np.float32).max)
    rounded = float(np.float32(scale)) if scale < largest else math.inf
    if not math.isfinite(rounded) or rounded == 0.0:
        raise Silent("clean" if rounded else "noise")
    return rounded


def _add(
    clean: np.ndarray, noise: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Noisy and clean (n,) float32 within the ceiling, and the gain that put them there."""
    scaled = noise * np.float64(scale)
    noisy = clean + scaled
    peak = float(max(noisy.max(), -noisy.min(), clean.max(), -clean.min()))
    if peak <= CEILING:
        return noisy.astype(np.float32), clean.copy(), 1.0
    # A float32 gain makes clean * gain round the same in single and in double precision; 2**-22
    # leaves room for the rounding of the gain, of clean and of the sum.
    gain = np.float32(CEILING / peak * (1.0 - 2.0**-22))
    stored = clean * gain
    scaled *= float(gain)
    scaled += stored  # the stored clean, so that noisy - clean holds the noise and one rounding
    return scaled.astype(np.float32), stored, float(gain)


def _ratio_db(speech: float, noise: float) -> float:
    if speech == 0.0:
        raise Silent("clean")
    if noise == 0.0:
        raise Silent("noise")
    return 20.0 * math.log10(speech / noise)
