"""The handcrafted vector against librosa's own functions, called one by one in float64.

Reads and writes nothing.
"""

import warnings
from typing import Any

import librosa
import numpy as np
import pytest

from pipeline.dsp.features import VectorSpec, names, vector
from pipeline.errors import UsageError

SPECS = [
    VectorSpec(22050),
    VectorSpec(16000, 512, 256, 96),
    VectorSpec(44100, 2048, 512, 64, mfcc=13),
    VectorSpec(16000, 1023, 300, 40),
]
KINDS = ["swelling", "tone", "click", "silence", "steps"]
RELATIVE = 1e-5
FLOOR = 4.0  # in units of EPS times the column's largest number; see unequal()
EPS = float(np.finfo(np.float32).eps)


def signal(kind: str, n: int, rate: int) -> np.ndarray:
    rng = np.random.default_rng(11)
    t = np.arange(n) / rate
    noise = rng.standard_normal(n)
    made = {
        "swelling": lambda: 0.05 * noise * (1.2 + np.sin(7 * t)),
        "tone": lambda: 0.4 * np.sin(2 * np.pi * 440 * t) + 1e-5 * noise,  # 90 dB apart
        "click": lambda: np.eye(1, n, n // 2)[0],
        "silence": lambda: np.zeros(n),
        "steps": lambda: 0.1 * noise * (np.floor(8 * t) % 2) + 1e-4 * noise,
    }
    return made[kind]().astype(np.float32)


def librosa_columns(y: np.ndarray, s: VectorSpec) -> np.ndarray:
    """(columns, frames) float64, in the order of the vector."""
    k: dict[str, Any] = {"n_fft": s.n_fft, "hop_length": s.hop}
    framed: dict[str, Any] = {"frame_length": s.n_fft, "hop_length": s.hop}
    f = librosa.feature
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # clips under n_fft
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
    return np.concatenate(rows).astype(np.float64)


def unequal(y: np.ndarray, spec: VectorSpec) -> dict[str, tuple[float, float, float]]:
    """name -> (got, wanted, error in units of the tolerance), for all beyond it."""
    table = librosa_columns(y.astype(np.float64), spec)
    want = np.stack([table.mean(axis=1), table.std(axis=1)], axis=1).ravel()
    # A mean or deviation near zero is a difference of large numbers (cepstra of decibels,
    # frequencies): what float32 lost of those numbers, it lost. So the floor is a few EPS of the
    # column's largest number, or for cepstra and contrast of the decibels they are made of.
    largest = np.abs(table).max(axis=1)
    largest[: spec.mfcc] = largest[: spec.mfcc].max()
    contrast = slice(spec.mfcc + 4, spec.mfcc + 11)
    largest[contrast] = np.maximum(largest[contrast], 100)
    allowed = RELATIVE * np.abs(want) + FLOOR * EPS * np.repeat(largest, 2)
    got = vector(y, spec)
    error = np.abs(got - want) / np.where(allowed == 0, np.finfo(float).tiny, allowed)
    return {
        name: (float(a), float(b), float(e))
        for name, a, b, e in zip(names(spec), got, want, error, strict=True)
        if not e <= 1
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.rate}-{s.n_fft}-{s.hop}-{s.mels}")
def test_equals_librosa(spec: VectorSpec, kind: str) -> None:
    assert unequal(signal(kind, 2 * spec.rate + 13, spec.rate), spec) == {}


@pytest.mark.parametrize("length", [2048, 2049, 511, 5001, 3 * 512 - 1])
def test_short_windows(length: int) -> None:
    assert unequal(signal("swelling", length, 22050), SPECS[0]) == {}


def test_noise_needs_no_floor() -> None:
    spec = SPECS[0]
    y = signal("swelling", 3 * spec.rate, spec.rate)
    table = librosa_columns(y.astype(np.float64), spec)
    want = np.stack([table.mean(axis=1), table.std(axis=1)], axis=1).ravel()
    np.testing.assert_allclose(vector(y, spec), want, rtol=RELATIVE)


def test_names_tell_what_stands_where() -> None:
    spec = SPECS[0]
    listed = names(spec)
    assert len(set(listed)) == len(listed) == len(vector(np.ones(4000), spec)) == 92
    assert listed[:2] == ("mfcc_01_mean", "mfcc_01_deviation")
    assert listed[-1] == "onset_deviation"
    t = np.arange(22050) / 22050
    made = dict(zip(listed, vector(0.5 * np.sin(2 * np.pi * 2000 * t), spec), strict=True))
    assert made["crossings_mean"] == pytest.approx(2 * 2000 / 22050, rel=0.05)
    assert made["rms_mean"] == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    assert made["centroid_mean"] == pytest.approx(2000, rel=0.05)
    loudest = max((f"chroma_{i + 1:02d}_mean" for i in range(12)), key=lambda name: made[name])
    assert loudest == "chroma_12_mean"  # 2000 Hz is nearest to B6 (1976 Hz); C comes first


def test_one_sample_and_none() -> None:
    assert np.isfinite(vector(np.ones(1), SPECS[0])).all()
    with pytest.raises(ValueError, match="expected mono audio"):
        vector(np.zeros(0), SPECS[0])


def test_the_same_bytes_again_and_the_input_untouched() -> None:
    y = signal("swelling", 30000, 22050)
    kept = y.copy()
    first = vector(y, SPECS[0])
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, vector(y, SPECS[0]))
    np.testing.assert_array_equal(y, kept)


@pytest.mark.parametrize(
    "wrong",
    [{"rate": 8000}, {"rate": 12800}, {"n_fft": 64}, {"hop": 0}, {"mfcc": 0}, {"mfcc": 129}],
    ids=str,
)
def test_impossible_specs_are_refused(wrong: dict) -> None:
    with pytest.raises(UsageError):
        VectorSpec(**{"rate": 16000, **wrong})
