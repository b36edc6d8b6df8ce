"""One short-time Fourier transform and the mel spectra made from it.

Reads arrays of samples, writes nothing. Does: takes blocks of frames that fit a core's cache
through window, real FFT, squares and a sparse filterbank; beside the result, memory does not grow
with the recording.
The numbers are librosa's; every sum runs in one fixed order on one thread, without BLAS.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import scipy.fft
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from pipeline.dsp import bands
from pipeline.errors import UsageError

Floats = NDArray[np.float32]
Precision = Literal["float32", "float64"]

# Windowed frames plus their spectrum; a core's second-level cache is 1 to 2 MB.
BLOCK_BYTES = 3 << 18
# The FFT takes as many frames at once as a vector register holds (4 float32 in scipy's wheels) and
# the rest one by one. Whole groups only, so a frame's bytes cannot depend on where it stands.
LANES = 4


@dataclass(frozen=True)
class MelSpec:
    """What a mel spectrum is: rate and frequencies in Hz, lengths in samples."""

    rate: int
    n_fft: int
    hop: int
    mels: int
    fmin: float = 0.0
    fmax: float | None = None  # None: half the rate
    center: bool = True  # frame f is centred on sample f * hop, else begins there
    pad: Literal["zero", "reflect"] = "zero"
    power: float = 2.0
    scale: Literal["slaney", "htk"] = "slaney"
    norm: Literal["slaney", "none"] = "slaney"
    win: int | None = None  # periodic Hann of this length in the middle of n_fft; None: n_fft

    def __post_init__(self) -> None:
        top = self.rate / 2 if self.fmax is None else self.fmax
        checks = {
            "n_fft >= 2, hop, mels and rate >= 1": self.n_fft >= 2
            and min(self.hop, self.mels, self.rate) >= 1,
            "1 <= win <= n_fft": 1 <= (self.win or self.n_fft) <= self.n_fft and self.win != 0,
            "0 <= fmin < fmax <= rate / 2": 0 <= self.fmin < top <= self.rate / 2,
            "power > 0": self.power > 0,
            "pad zero or reflect": self.pad in ("zero", "reflect"),
            "scale slaney or htk": self.scale in ("slaney", "htk"),
            "norm slaney or none": self.norm in ("slaney", "none"),
        }
        for rule, kept in checks.items():
            if not kept:
                raise UsageError("impossible mel spectrum", expected=rule, got=self)


def frame_count(n: int, spec: MelSpec) -> int:
    """Frames that n samples give; 0 where they are too few for one."""
    span = n + 2 * (spec.n_fft // 2) if spec.center else n
    return 0 if n < 1 or span < spec.n_fft else 1 + (span - spec.n_fft) // spec.hop


@lru_cache(maxsize=32)
def hann(win: int, n_fft: int, dtype: Precision = "float32") -> NDArray[np.floating]:
    """(n_fft,): a periodic Hann window in the middle of zeros."""
    window = np.zeros(n_fft, dtype)
    left = (n_fft - win) // 2
    window[left : left + win] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win) / win)
    window.flags.writeable = False
    return window


@lru_cache(maxsize=32)
def _filters(*what: Any) -> scipy.sparse.csr_array:
    """(mels, 1 + n_fft // 2): a bin belongs to two bands at most, so nearly all of it is zero."""
    return scipy.sparse.csr_array(bands.triangles(*what))


def filterbank(spec: MelSpec) -> scipy.sparse.csr_array:
    """The spec's mel filters (mels, 1 + n_fft // 2) float32, built once per process."""
    top = spec.rate / 2 if spec.fmax is None else spec.fmax
    norm = spec.norm == "slaney"
    return _filters(spec.rate, spec.n_fft, spec.mels, spec.fmin, top, spec.scale, norm)


def samples(y: ArrayLike, spec: MelSpec) -> Floats:
    """y as contiguous float32, or ValueError where it cannot give one frame."""
    y = np.ascontiguousarray(y, dtype=np.float32)
    if y.ndim != 1 or not frame_count(len(y), spec):
        need = 1 if spec.center else spec.n_fft
        raise ValueError(f"mel: expected mono audio of {need} samples or more, got {y.shape}")
    return y


def stretch(y: Floats, start: int, stop: int, pad: str) -> Floats:
    """y[start:stop] where y goes on past both ends, as zeros or mirrored about its end samples."""
    if start >= 0 and stop <= len(y):
        return y[start:stop]
    if pad == "reflect":
        period = max(1, 2 * (len(y) - 1))
        i = np.arange(start, stop) % period
        return y[np.minimum(i, period - i) if len(y) > 1 else i]
    out = np.zeros(stop - start, np.float32)
    a, b = max(start, 0), min(stop, len(y))
    if a < b:
        out[a - start : b - start] = y[a:b]
    return out


def spectra(
    y: Floats, spec: MelSpec, dtype: Precision = "float32"
) -> Iterator[tuple[int, int, NDArray[np.complexfloating]]]:
    """Blocks of the transform: (first frame, frames, (1 + n_fft // 2, frames or more) complex).

    Frames are the last axis: the FFT writes them so at no cost, and squares and filters then run
    along contiguous memory. Columns past `frames` are filling.
    """
    n, hop, count = spec.n_fft, spec.hop, frame_count(len(y), spec)
    most = max(LANES, BLOCK_BYTES // (8 * n) // LANES * LANES)
    window = hann(spec.win or n, n, dtype)
    block = np.empty((min(most, -(-count // LANES) * LANES), n), dtype)
    for first in range(0, count, most):
        k = min(most, count - first)
        start = first * hop - (n // 2 if spec.center else 0)
        part = stretch(y, start, start + (k - 1) * hop + n, spec.pad)
        frames: Floats = np.ndarray((k, n), np.float32, part, strides=(4 * hop, 4))
        np.multiply(frames, window, out=block[:k])
        whole = block[: -(-k // LANES) * LANES]
        whole[k:] = 0
        yield first, k, scipy.fft.rfft(whole.T, axis=0, workers=1)


def squares(x: NDArray[np.complexfloating]) -> NDArray[np.floating]:
    """(bins, frames) -> (bins, 2 * frames): re^2 and im^2 in turn, over the same memory."""
    parts = x.view(x.real.dtype)
    return np.multiply(parts, parts, out=parts)


def pair_sums(parts: NDArray[np.floating]) -> NDArray[np.floating]:
    """(rows, 2 * frames) -> (rows, frames): each number plus its neighbour."""
    return np.add(parts[:, ::2], parts[:, 1::2])


def mel_power(y: ArrayLike, spec: MelSpec) -> Floats:
    """(frames, mels) float32: magnitude to the spec's power, summed into mel bands."""
    y = samples(y, spec)
    bank = filterbank(spec)
    out = np.empty((frame_count(len(y), spec), spec.mels), np.float32)
    for first, k, x in spectra(y, spec):
        parts = squares(x)
        if spec.power == 2.0:
            # Filtering re^2 and im^2 apart leaves few numbers to add across, and is faster.
            found = pair_sums(bank @ parts)
        else:
            found = bank @ np.power(pair_sums(parts), np.float32(spec.power / 2))
        out[first : first + k] = found.T[:k]
    return out


def decibels(
    power: Floats, *, ref: float | Literal["max"], amin: float, top_db: float | None
) -> Floats:
    """10 log10(power / ref), both at least amin; nothing more than top_db under the highest."""
    db = np.log10(np.maximum(power, np.float32(amin)))
    db *= np.float32(10)
    level = float(np.max(power)) if ref == "max" else abs(ref)
    db -= np.float32(10 * np.log10(max(amin, level)))
    return db if top_db is None else np.maximum(db, db.max() - np.float32(top_db), out=db)


def log10_1p(power: Floats, c: float) -> Floats:
    """log10(1 + c * power) float32, exact for small power too."""
    out = np.log1p(np.multiply(power, np.float32(c)))
    return np.multiply(out, np.float32(1 / np.log(10)), out=out)


def ln(power: Floats, eps: float) -> Floats:
    """Natural log of (power + eps), float32."""
    out = np.add(power, np.float32(eps))
    return np.log(out, out=out)


def mfcc(db: Floats, count: int) -> Floats:
    """(frames, mels) dB -> (frames, count): orthonormal DCT-II over the bands."""
    return scipy.fft.dct(db, type=2, norm="ortho", axis=-1, workers=1)[:, :count]
