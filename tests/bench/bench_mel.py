"""How long the mel kernel and the handcrafted vector take beside librosa and the bare transform.

    python -m tests.bench.bench_mel

Reads and writes nothing; prints medians of calls that take turns, beside other programs where they
are installed. Ours uses one thread by itself; librosa's matrix products are held to one as well,
which is their fastest on busy cores.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import librosa
import numpy as np
import scipy.fft
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # librosa needs it

from pipeline.dsp import features, mel
from pipeline.dsp.mel import MelSpec
from tests.bench.common import Row
from tests.bench.mel_peers import there

SPECS = [MelSpec(22050, 2048, 512, 128), MelSpec(16000, 512, 256, 96)]
SECONDS = {3: (12, 20), 120: (3, 3)}  # length of the clip: turns, calls in a row
TARGETS = {(3, "librosa"): 4.0, (120, "librosa"): 2.0}
BESIDE_RFFT = 1 / 1.6  # of the time that the transforms alone take


def interleaved(calls: dict[str, Callable[[], object]], repeats: int, row: int) -> dict[str, float]:
    """Median milliseconds of each call; they take turns, so that noise falls on all alike.

    A turn is a few calls in a row, as in a worker that makes spectra of window after window: the
    first one pays for memory that the other side's large arrays made the C allocator give back.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            for _ in range(row):
                start = time.perf_counter()
                call()
                if turn:  # the first turn builds filterbanks and fills caches
                    times[name].append(1e3 * (time.perf_counter() - start))
    return {name: median(taken) for name, taken in times.items()}


def windowed(y: np.ndarray, spec: MelSpec) -> np.ndarray:
    """The frames as the transform gets them, so that the bare transform does nothing else."""
    padded = np.pad(y, spec.n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, spec.n_fft)[:: spec.hop]
    return np.ascontiguousarray(frames * mel.hann(spec.n_fft, spec.n_fft))


def librosa_vector(y: np.ndarray, s: features.VectorSpec) -> np.ndarray:
    k: dict[str, Any] = {"n_fft": s.n_fft, "hop_length": s.hop}
    framed: dict[str, Any] = {"frame_length": s.n_fft, "hop_length": s.hop}
    f = librosa.feature
    rows = [
        f.mfcc(y=y, sr=s.rate, n_mfcc=s.mfcc, n_mels=s.mels, **k),
        f.spectral_centroid(y=y, sr=s.rate, **k),
        f.spectral_bandwidth(y=y, sr=s.rate, **k),
        f.spectral_rolloff(y=y, sr=s.rate, **k),
        f.spectral_flatness(y=y, **k),
        f.spectral_contrast(y=y, sr=s.rate, **k),
        f.zero_crossing_rate(y, **framed),
        f.rms(y=y, **framed),
        f.chroma_stft(y=y, sr=s.rate, tuning=0, **k),
        librosa.onset.onset_strength(y=y, sr=s.rate, n_mels=s.mels, **k)[None],
    ]
    table = np.concatenate(rows)
    return np.stack([table.mean(axis=1), table.std(axis=1)], axis=1).ravel()


def _row(name: str, ours: float, other: float, target: float | None = None) -> Row:
    return Row(name, f"{ours:.3f} ms", f"{other:.3f} ms", other / ours, target)


def _mel_rows(spec: MelSpec, seconds: int, repeats: int, row: int) -> list[Row]:
    y = np.random.default_rng(1).standard_normal(seconds * spec.rate).astype(np.float32) / 10
    frames = windowed(y, spec)
    others: dict[str, Callable[[], object]] = {
        "librosa": lambda: librosa.feature.melspectrogram(
            y=y, sr=spec.rate, n_fft=spec.n_fft, hop_length=spec.hop, n_mels=spec.mels
        ),
        "a bare rfft": lambda: scipy.fft.rfft(frames, workers=1),
        **dict(there(y, spec)),
    }
    taken = interleaved({"ours": lambda: mel.mel_power(y, spec), **others}, repeats, row)
    what = f"mel {spec.n_fft}/{spec.hop}/{spec.mels}, {seconds} s"
    return [
        _row(
            f"{what} / {name}",
            taken["ours"],
            taken[name],
            BESIDE_RFFT if name == "a bare rfft" else TARGETS.get((seconds, name)),
        )
        for name in others
    ]


@threadpool_limits.wrap(limits=1)
def run() -> list[Row]:
    rows = []
    for seconds, (repeats, row) in SECONDS.items():
        for spec in SPECS:
            rows += _mel_rows(spec, seconds, repeats, row)
    made = features.VectorSpec(22050)
    y = np.random.default_rng(1).standard_normal(3 * 22050).astype(np.float32) / 10
    taken = interleaved(
        {"ours": lambda: features.vector(y, made), "librosa": lambda: librosa_vector(y, made)}, 8, 5
    )
    rows.append(_row("vector of 92, 3 s / librosa", taken["ours"], taken["librosa"]))
    return rows


if __name__ == "__main__":
    for row in run():
        print(f"{row.what:50s} {row.ours:>12} {row.other:>12}  {row.ratio:6.2f}x")
