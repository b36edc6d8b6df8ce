"""A window's handcrafted vector: how its spectrum and shape lie and vary over time.

Reads arrays of samples, writes nothing. Does: takes cepstra, spectral shape, contrast, chroma,
onsets, zero crossings and level from one short-time transform, and returns the mean and deviation
over time of each. Every column is librosa's feature of that name with its default settings.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from pipeline.dsp import mel
from pipeline.dsp.mel import Floats, MelSpec
from pipeline.errors import UsageError

AMIN = np.float32(1e-10)  # the floor of every logarithm of power
TOP_DB = 80.0
ROLLOFF = 0.85  # share of the magnitude below the roll-off frequency
# Octave bands in Hz and the share of bins that makes a peak or a valley: Jiang et al., "Music type
# classification by spectral contrast feature", ICME 2002.
OCTAVES = (0.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0, 12800.0)
QUANTILE = 0.02
TOO_LOW = 2 * OCTAVES[-2]  # Hz; the last octave is empty at rates up to here
CHROMA = 12
SHAPE = ("centroid", "bandwidth", "rolloff", "flatness")


@dataclass(frozen=True)
class VectorSpec:
    """Rate in Hz; n_fft and hop in samples; mels also for the onset strength."""

    rate: int
    n_fft: int = 2048
    hop: int = 512
    mels: int = 128
    mfcc: int = 20

    def __post_init__(self) -> None:
        spectrum(self)  # refuses what no spectrum can have
        if not 1 <= self.mfcc <= self.mels:
            raise UsageError("impossible vector", expected="1 <= mfcc <= mels", got=self)
        if self.rate <= TOO_LOW or min(self.hop, 200 * self.n_fft // self.rate) < 2:
            need = f"rate above {TOO_LOW:.0f} Hz, n_fft of 10 ms or more, hop >= 2"
            raise UsageError("spectral contrast needs its octaves", expected=need, got=self)


def spectrum(spec: VectorSpec) -> MelSpec:
    """The one transform that all columns come from."""
    return MelSpec(spec.rate, spec.n_fft, spec.hop, spec.mels)


def _columns(spec: VectorSpec) -> list[str]:
    mfcc = [f"mfcc_{i + 1:02d}" for i in range(spec.mfcc)]
    contrast = [f"contrast_{i + 1}" for i in range(len(OCTAVES) - 1)]
    chroma = [f"chroma_{i + 1:02d}" for i in range(CHROMA)]
    return [*mfcc, *SHAPE, *contrast, "crossings", "rms", *chroma, "onset"]


def names(spec: VectorSpec) -> tuple[str, ...]:
    """What stands in each place of the vector."""
    return tuple(f"{c}_{part}" for c in _columns(spec) for part in ("mean", "deviation"))


@lru_cache(maxsize=8)
def _chroma_filters(rate: int, n_fft: int) -> scipy.sparse.csr_array:
    import librosa.filters

    return scipy.sparse.csr_array(librosa.filters.chroma(sr=rate, n_fft=n_fft, tuning=0.0))


def _transform(y: Floats, spec: VectorSpec) -> tuple[Floats, Floats, Floats]:
    """Power (frames, bins), mel power (frames, mels) and raw chroma (frames, 12)."""
    made = spectrum(spec)
    banks = mel.filterbank(made), _chroma_filters(spec.rate, spec.n_fft)
    count = mel.frame_count(len(y), made)
    widths = (1 + spec.n_fft // 2, spec.mels, CHROMA)
    power, bands, chroma = (np.empty((count, width), np.float32) for width in widths)
    # Contrast and flatness hang on the weakest bins, often 100 dB under the strongest, where a
    # float32 transform has only rounding noise. In float64 it costs an eighth more.
    for first, k, x in mel.spectra(y, made, "float64"):
        columns = mel.pair_sums(mel.squares(x)).astype(np.float32)
        power[first : first + k] = columns.T[:k]
        bands[first : first + k] = (banks[0] @ columns).T[:k]
        chroma[first : first + k] = (banks[1] @ columns).T[:k]
    return power, bands, chroma


def _hz(rate: int, n_fft: int) -> NDArray[np.floating]:
    return np.arange(1 + n_fft // 2) * (rate / n_fft)


def _shape(power: Floats, magnitude: Floats, spec: VectorSpec) -> Floats:
    """(frames, 4): centroid, bandwidth and roll-off in Hz, flatness in [0, 1]."""
    hz = _hz(spec.rate, spec.n_fft).astype(np.float32)
    running = np.cumsum(magnitude, axis=1, dtype=np.float64)
    total = running[:, -1]
    share = 1 / np.where(total > 0, total, 1)
    # einsum adds in its own loops here; the matrix product would go through BLAS.
    centroid = np.einsum("fb,b->f", magnitude, hz) * share
    away = hz - centroid[:, None].astype(np.float32)
    bandwidth = np.sqrt(np.einsum("fb,fb,fb->f", away, away, magnitude) * share)
    rolloff = hz[np.sum(running < ROLLOFF * total[:, None], axis=1)]
    floored = np.maximum(power, AMIN)
    flatness = np.exp(np.log(floored).mean(axis=1)) / floored.mean(axis=1)
    return np.stack([centroid, bandwidth, rolloff, flatness], axis=1).astype(np.float32)


@lru_cache(maxsize=8)
def _octaves(rate: int, n_fft: int) -> tuple[tuple[int, int, int], ...]:
    """(first bin, past the last bin, bins in a peak) per octave.

    As librosa cuts them: a band takes one bin more below, and, but for the last, one less above.
    """
    hz = _hz(rate, n_fft)
    made = []
    for low, high in zip(OCTAVES[:-1], OCTAVES[1:], strict=True):
        inside = np.flatnonzero((hz >= low) & (hz <= high))
        first = max(0, inside[0] - 1)
        last = inside[-1] + 1 if high < OCTAVES[-1] else len(hz)
        peak = max(1, int(np.rint(QUANTILE * (last - first))))
        made.append((int(first), int(last - (high < OCTAVES[-1])), peak))
    return tuple(made)


def _contrast(magnitude: Floats, spec: VectorSpec) -> Floats:
    """(frames, 7) dB between the strongest and the weakest bins of each octave."""
    peaks, valleys = [], []
    for first, last, few in _octaves(spec.rate, spec.n_fft):
        ordered = np.sort(magnitude[:, first:last], axis=1)
        valleys.append(ordered[:, :few].mean(axis=1))
        peaks.append(ordered[:, -few:].mean(axis=1))
    high, low = (
        mel.decibels(np.stack(p, axis=1), ref=1.0, amin=float(AMIN), top_db=TOP_DB)
        for p in (peaks, valleys)
    )
    return high - low


def _frames(y: Floats, spec: VectorSpec) -> Floats:
    """(frames, n_fft): overlapping views."""
    return np.lib.stride_tricks.sliding_window_view(y, spec.n_fft)[:: spec.hop]


def _crossings(y: Floats, spec: VectorSpec) -> NDArray[np.float64]:
    """(frames,) share of samples whose sign differs from the sample before."""
    held = np.pad(y, spec.n_fft // 2, mode="edge")
    negative = held < -1e-10  # anything smaller counts as zero, and zero as positive
    total = np.concatenate([[0], np.cumsum(negative[1:] != negative[:-1])])
    starts = np.arange(0, len(held) - spec.n_fft + 1, spec.hop)
    return (total[starts + spec.n_fft - 1] - total[starts]) / spec.n_fft


def _rms(y: Floats, spec: VectorSpec) -> Floats:
    """(frames,) root mean square of each frame's samples, without a window."""
    frames = _frames(np.pad(y, spec.n_fft // 2), spec)
    return np.sqrt(np.einsum("fn,fn->f", frames, frames) / np.float32(spec.n_fft))


def _onset(db: Floats, spec: VectorSpec) -> NDArray[np.float32]:
    """(frames,) mean rise of the bands in dB, moved to where the rise is heard."""
    out = np.zeros(len(db), np.float32)
    late = 1 + spec.n_fft // (2 * spec.hop)
    rise = np.maximum(0, db[1:] - db[:-1]).mean(axis=1)
    out[late:] = rise[: max(0, len(db) - late)]
    return out


def vector(y: ArrayLike, spec: VectorSpec) -> Floats:
    """(len(names(spec)),) float32: mean and deviation over time, column by column."""
    y = mel.samples(y, spectrum(spec))
    power, bands, chroma = _transform(y, spec)
    magnitude = np.sqrt(power)
    db = mel.decibels(bands, ref=1.0, amin=float(AMIN), top_db=TOP_DB)
    loudest = chroma.max(axis=1, keepdims=True)
    tiny = np.finfo(np.float32).tiny
    columns: list[NDArray[Any]] = [
        mel.mfcc(db, spec.mfcc),
        _shape(power, magnitude, spec),
        _contrast(magnitude, spec),
        _crossings(y, spec)[:, None],
        _rms(y, spec)[:, None],
        chroma / np.where(loudest < tiny, 1, loudest),
        _onset(db, spec)[:, None],
    ]
    table = np.concatenate(columns, axis=1, dtype=np.float64)
    return np.stack([table.mean(axis=0), table.std(axis=0)], axis=1).ravel().astype(np.float32)
