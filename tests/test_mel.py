"""The mel kernel against librosa in float64, over parameters, lengths and signals.

Reads and writes nothing, except that one test starts two interpreters.
"""

import dataclasses
import os
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path
from typing import Any, Literal

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dsp import mel
from pipeline.dsp.mel import MelSpec
from pipeline.errors import UsageError

SPECS = [
    MelSpec(22050, 2048, 512, 128),
    MelSpec(16000, 512, 256, 96),
    MelSpec(16000, 2048, 512, 96),
    MelSpec(16000, 512, 160, 80, win=400),
    MelSpec(44100, 2048, 512, 128),
]
VARIANTS = [{}, {"scale": "htk"}, {"pad": "reflect"}, {"norm": "none"}, {"power": 1.0}]

# A float32 FFT spreads its rounding errors over all bins alike: in amplitude a few EPS times the
# square root of the frame's windowed energy (Parseval: the root mean square bin). What lies 140 dB
# under the frame's peak is therefore rounding noise in any float32 transform, and only an amplitude
# floor tied to that energy is honest. Beyond that floor, 1e-5 of the power must hold.
RELATIVE = 1e-5
FLOOR = 5.0  # in units of EPS * sqrt(frame energy); worst seen 4.0
EPS = float(np.finfo(np.float32).eps)


def signal(kind: str, n: int, rate: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    t = np.arange(n) / rate
    tone = 0.5 * np.sin(2 * np.pi * 1000.3 * t)
    made = {
        "noise": lambda: 0.1 * rng.standard_normal(n),
        "tone": lambda: tone,
        "click": lambda: np.eye(1, n, n // 2)[0],
        "silence": lambda: np.zeros(n),
        "tone_and_hiss": lambda: tone + 5e-6 * rng.standard_normal(n),  # 100 dB apart
    }
    return made[kind]().astype(np.float32)


def settings_of(spec: MelSpec) -> dict:
    return {
        "n_fft": spec.n_fft,
        "hop_length": spec.hop,
        "win_length": spec.win,
        "center": spec.center,
        "pad_mode": {"zero": "constant", "reflect": "reflect"}[spec.pad],
    }


def bank_of(spec: MelSpec) -> np.ndarray:
    norm: Literal["slaney"] | None = None if spec.norm == "none" else "slaney"
    return librosa.filters.mel(
        sr=spec.rate, n_fft=spec.n_fft, n_mels=spec.mels, fmin=spec.fmin, fmax=spec.fmax,
        htk=spec.scale == "htk", norm=norm, dtype=np.float64,
    )  # fmt: skip


def reference(y: np.ndarray, spec: MelSpec) -> tuple[np.ndarray, np.ndarray]:
    """librosa's mel spectrum (frames, mels) in float64, and each frame's windowed energy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # clips under n_fft, bands under one bin
        x = np.abs(librosa.stft(y.astype(np.float64), **settings_of(spec)))
        bank = bank_of(spec)
        made = librosa.feature.melspectrogram(
            y=y.astype(np.float64), sr=spec.rate, power=spec.power, n_mels=spec.mels,
            fmin=spec.fmin, fmax=spec.fmax, htk=spec.scale == "htk",
            norm=None if spec.norm == "none" else "slaney", dtype=np.float64, **settings_of(spec),
        )  # fmt: skip
    assert np.allclose(made, bank @ x**spec.power)
    doubled = 2 * np.sum(x**2, axis=0) - x[0] ** 2 - (x[-1] ** 2 if spec.n_fft % 2 == 0 else 0)
    return made.T, doubled / spec.n_fft


def excess(got: np.ndarray, want: np.ndarray, energy: np.ndarray, spec: MelSpec) -> float:
    """The floor, in its unit, that would just admit the worst band."""
    weight = bank_of(spec).sum(axis=1) ** (1 / spec.power)
    over = abs(got.astype(np.float64) ** (1 / spec.power) - want ** (1 / spec.power))
    over -= RELATIVE / spec.power * want ** (1 / spec.power)
    unit = EPS * np.sqrt(energy)[:, None] * weight[None, :]
    assert not np.any((over > 0) & (unit == 0))
    return float(np.max(over / np.where(unit == 0, 1, unit), initial=0))


KINDS = ["noise", "tone", "click", "silence", "tone_and_hiss"]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("base", SPECS, ids=lambda s: f"{s.rate}-{s.n_fft}-{s.hop}-{s.mels}")
def test_equals_librosa(base: MelSpec, variant: dict) -> None:
    spec = dataclasses.replace(base, **variant)
    seen = {}
    for kind in KINDS:
        y = signal(kind, 20011, spec.rate)
        want, energy = reference(y, spec)
        got = mel.mel_power(y, spec)
        assert got.dtype == np.float32
        assert got.shape == want.shape
        seen[kind] = excess(got, want, energy, spec)
    print(spec.rate, spec.n_fft, variant, {kind: round(worst, 2) for kind, worst in seen.items()})
    assert max(seen.values()) <= FLOOR, seen
    assert seen["silence"] == seen["click"] == 0


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.rate}-{s.n_fft}-{s.hop}-{s.mels}")
def test_noise_needs_no_floor(spec: MelSpec) -> None:
    y = signal("noise", 3 * spec.rate, spec.rate)
    np.testing.assert_allclose(mel.mel_power(y, spec), reference(y, spec)[0], rtol=RELATIVE)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.rate}-{s.n_fft}-{s.hop}-{s.mels}")
def test_any_length(spec: MelSpec) -> None:
    n, hop = spec.n_fft, spec.hop
    for length in (1, 2, hop - 1, hop, hop + 1, n - 1, n, n + 1, 4 * hop, 4099, 33 * hop - 1):
        for kind in ("noise", "tone"):
            y = signal(kind, length, spec.rate)
            want, energy = reference(y, spec)
            got = mel.mel_power(y, spec)
            assert got.shape == want.shape == (mel.frame_count(length, spec), spec.mels), length
            assert excess(got, want, energy, spec) <= FLOOR, (length, kind)


@pytest.mark.filterwarnings("ignore:Empty filters")
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from([8000, 16000, 22050, 44100]),
    st.integers(64, 2100),
    st.integers(1, 1400),
    st.integers(1, 128),
    st.sampled_from(VARIANTS),
    st.floats(0.1, 1),
    st.floats(0, 900),
    st.booleans(),
    st.integers(2101, 9000),
    st.sampled_from(KINDS),
)
def test_drawn_parameters(
    rate: int, n_fft: int, hop: int, mels: int, variant: dict, win: float, fmin: float,
    center: bool, length: int, kind: str,
) -> None:  # fmt: skip
    hop = max(hop, length // 40)
    spec = MelSpec(
        rate, n_fft, hop, mels, fmin=fmin, fmax=0.45 * rate, center=center,
        win=max(2, int(win * n_fft)), **variant,
    )  # fmt: skip
    y = signal(kind, length, rate)
    want, energy = reference(y, spec)
    got = mel.mel_power(y, spec)
    assert got.shape == want.shape
    assert excess(got, want, energy, spec) <= FLOOR


def test_mirrored_edges_of_clips_shorter_than_the_window() -> None:
    spec = MelSpec(16000, 512, 256, 40, pad="reflect")
    bare = dataclasses.replace(spec, center=False)
    for length in (2, 3, 100, 256, 257):
        y = signal("noise", length, 16000)
        mirrored = np.pad(y, 256, mode="reflect")
        np.testing.assert_array_equal(mel.mel_power(y, spec), mel.mel_power(mirrored, bare))
    assert np.isfinite(mel.mel_power(np.ones(1), spec)).all()


def test_the_transform_equals_librosas() -> None:
    for spec in SPECS:
        y = signal("noise", 20011, spec.rate)
        x = np.abs(librosa.stft(y.astype(np.float64), **settings_of(spec))).T
        blocks = mel.spectra(mel.samples(y, spec), spec)
        power = np.concatenate([mel.pair_sums(mel.squares(z))[:, :k].T for _, k, z in blocks])
        error = abs(np.sqrt(power.astype(np.float64)) - x)
        unit = EPS * np.sqrt(np.mean(x**2, axis=1, keepdims=True))
        assert np.all(error <= RELATIVE / 2 * x + FLOOR * unit)


def test_pieces_with_context_give_the_same_bytes() -> None:
    for spec in SPECS:
        bare = dataclasses.replace(spec, center=False)
        y = signal("noise", 100 * spec.hop + 77, spec.rate)
        whole = mel.mel_power(y, spec)
        middle = np.concatenate([np.zeros(spec.n_fft // 2, np.float32), y])
        for first, count in ((0, 1), (3, 1), (5, 7), (11, 64), (40, 33)):
            part = middle[first * spec.hop : (first + count - 1) * spec.hop + spec.n_fft]
            got = mel.mel_power(part, bare)
            np.testing.assert_array_equal(got, whole[first : first + count])


def test_memory_does_not_grow_with_length() -> None:
    spec = SPECS[1]
    y = signal("noise", 120 * 16000, 16000)
    mel.mel_power(y[:16000], spec)
    tracemalloc.start()
    out = mel.mel_power(y, spec)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - out.nbytes < 4 * mel.BLOCK_BYTES


SCRIPT = """
import hashlib, sys, numpy as np
from pipeline.dsp import mel
assert "librosa" not in sys.modules and "numba" not in sys.modules
y = np.random.default_rng(3).standard_normal(90001).astype(np.float32)
spec = mel.MelSpec(22050, 2048, 512, 128)
power = mel.mel_power(y, spec)
db = mel.decibels(power, ref="max", amin=1e-10, top_db=80.0)
print(hashlib.sha256(power.tobytes() + mel.mfcc(db, 20).tobytes()).hexdigest())
"""


def test_thread_settings_change_no_byte() -> None:
    root = Path(__file__).resolve().parent.parent
    seen = set()
    for threads in ("1", "2"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        made = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, **dict.fromkeys(names, threads), "PYTHONPATH": str(root)},
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        seen.add(made.stdout)
    assert len(seen) == 1, seen
    assert len(seen.pop()) == 65


def test_impossible_requests_are_refused() -> None:
    spec = SPECS[1]
    for y in (np.zeros(0), np.zeros((2, 4000))):
        with pytest.raises(ValueError, match="expected mono audio"):
            mel.mel_power(y, spec)
    with pytest.raises(ValueError, match="512 samples or more"):
        mel.mel_power(np.zeros(511), dataclasses.replace(spec, center=False))
    wrong: list[dict] = [
        {"n_fft": 1}, {"hop": 0}, {"mels": 0}, {"win": 513}, {"win": 0}, {"fmin": -1.0},
        {"fmin": 9e3}, {"fmax": 8001.0}, {"power": 0.0}, {"pad": "edge"}, {"scale": "bark"},
        {"norm": "l1"},
    ]  # fmt: skip
    for change in wrong:
        with pytest.raises(UsageError):
            dataclasses.replace(spec, **change)


@pytest.mark.parametrize("ref", [1.0, 0.5, "max"])
@pytest.mark.parametrize("top_db", [None, 80.0, 20.0])
def test_decibels_equal_librosa(ref: Any, top_db: float | None) -> None:
    power = mel.mel_power(signal("tone_and_hiss", 30000, 16000), SPECS[1])
    power[3] = 0
    want = librosa.power_to_db(
        power.astype(np.float64), ref=np.max if ref == "max" else ref, amin=1e-10, top_db=top_db
    )
    got = mel.decibels(power, ref=ref, amin=1e-10, top_db=top_db)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-5)


def test_logs_are_taken_in_float32() -> None:
    power = np.array([[0, 1e-12, 1e-6, 1e-3, 1, 1e3, 1e8]], np.float32)
    wide = power.astype(np.float64)
    compressed, natural = mel.log10_1p(power, 1e4), mel.ln(power, 1e-5)
    assert compressed.dtype == natural.dtype == np.float32
    np.testing.assert_allclose(compressed, np.log1p(wide * 1e4) / np.log(10), rtol=1e-6)
    np.testing.assert_allclose(natural, np.log(wide + 1e-5), rtol=1e-6, atol=1e-7)


def test_mfcc_equals_librosa() -> None:
    db = mel.decibels(
        mel.mel_power(signal("noise", 30000, 16000), SPECS[1]), ref=1.0, amin=1e-10, top_db=80.0
    )
    want = librosa.feature.mfcc(S=db.T.astype(np.float64), n_mfcc=20).T
    got = mel.mfcc(db, 20)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=RELATIVE, atol=1e-6 * abs(want).max())
