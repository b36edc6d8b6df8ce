"""Made noise against slopes measured with Welch's method, and babble against its voices.

Reads and writes nothing. Does: checks spectrum, level, distribution and sameness of bytes.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import welch

from pipeline.dsp.levels import Silent, active_level, rms
from pipeline.dsp.noise import SLOPES, babble, coloured
from pipeline.rng import stream

RATE = 22050


def band_levels_db(x: np.ndarray, edges_hz: np.ndarray) -> np.ndarray:
    hz, power = welch(x.astype(np.float64), RATE, nperseg=16384)
    bands = zip(edges_hz[:-1], edges_hz[1:], strict=True)
    return np.array([10 * np.log10(power[(hz >= a) & (hz < b)].mean()) for a, b in bands])


@pytest.mark.parametrize(("kind", "slope"), [("white", 0.0), ("pink", -3.01), ("brown", -6.02)])
def test_the_spectrum_falls_by_its_slope_from_40_hz_to_nearly_nyquist(
    kind: str, slope: float
) -> None:
    x = coloured(kind, 60 * RATE, stream(1, kind), RATE)
    edges = np.geomspace(40.0, 0.9 * RATE / 2, 17)
    levels = band_levels_db(x, edges)
    octaves = np.log2(np.sqrt(edges[:-1] * edges[1:]))
    assert np.polyfit(octaves, levels, 1)[0] == pytest.approx(slope, abs=0.1)
    for half in (slice(None, 9), slice(8, None)):  # straight, not only on average
        assert np.polyfit(octaves[half], levels[half], 1)[0] == pytest.approx(slope, abs=0.2)


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_brown_noise_is_flat_below_20_hz_at_every_rate(rate: int) -> None:
    x = coloured("brown", 120 * rate, stream(2, rate), rate).astype(np.float64)
    hz, power = welch(x, rate, nperseg=4 * rate)

    def level(low: float, high: float) -> float:
        return float(10 * np.log10(power[(hz >= low) & (hz <= high)].mean()))

    assert level(2, 8) == pytest.approx(level(9, 18), abs=0.7)
    assert level(36, 44) == pytest.approx(level(9, 18) - 6.0, abs=1.0)


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(sorted(SLOPES)), n=st.integers(2, 5000), seed=st.integers(0, 99))
def test_any_length_has_zero_mean_and_unit_rms(kind: str, n: int, seed: int) -> None:
    x = coloured(kind, n, stream(seed), RATE)
    assert x.shape == (n,)
    assert x.dtype == np.float32
    assert abs(x.astype(np.float64).mean()) < 1e-6
    assert rms(x) == pytest.approx(1.0, abs=1e-6)


def test_white_noise_is_normal_and_uncorrelated() -> None:
    x = coloured("white", 200_003, stream(3), RATE).astype(np.float64)
    assert (x**4).mean() == pytest.approx(3.0, abs=0.1)
    assert (np.abs(x) < 1.96).mean() == pytest.approx(0.95, abs=0.003)
    for lag in (1, 2, 100):
        assert abs((x[lag:] * x[:-lag]).mean()) < 0.01


@pytest.mark.parametrize("kind", sorted(SLOPES))
def test_the_same_name_gives_the_same_bytes_and_another_name_others(kind: str) -> None:
    first, again, other = (coloured(kind, 44096, stream(4, p), RATE) for p in ("a", "a", "b"))
    assert first.tobytes() == again.tobytes()
    assert abs(float(np.corrcoef(first, other)[0, 1])) < 0.5


@pytest.mark.parametrize(("kind", "n"), [("blue", 100), ("pink", 1), ("pink", 0)])
def test_a_wrong_kind_or_length_is_an_error(kind: str, n: int) -> None:
    with pytest.raises(ValueError, match=r"blue.*white, pink, brown|at least 2"):
        coloured(kind, n, stream(0), RATE)


def talker(seed: int, share: float, gain: float, n: int = 4 * RATE) -> np.ndarray:
    """Noise in bursts that fill a share of every second."""
    on = (np.arange(n) + seed * 1000) % RATE < share * RATE
    return (np.random.default_rng(seed).standard_normal(n) * on * gain).astype(np.float32)


def test_babble_brings_every_voice_to_the_same_active_level() -> None:
    voices = [talker(0, 0.2, 0.001), talker(1, 0.7, 0.3), talker(2, 0.4, 0.05)]
    mixed = babble(voices, RATE)
    assert mixed.dtype == np.float32
    assert rms(mixed) == pytest.approx(1.0, abs=1e-6)
    basis = np.stack([v / active_level(v, RATE)[0] for v in voices], axis=1).astype(np.float64)
    weights, residual, *_ = np.linalg.lstsq(basis, mixed.astype(np.float64), rcond=None)
    np.testing.assert_allclose(weights, weights[0], rtol=1e-5)
    assert residual[0] < 1e-6


def test_babble_depends_on_no_voice_gain() -> None:
    a, b = talker(5, 0.3, 0.1), talker(6, 0.6, 0.1)
    quiet = babble([a * np.float32(0.25), b], RATE)
    np.testing.assert_allclose(quiet, babble([a, b], RATE), atol=1e-5)


def test_babble_leaves_silent_voices_out_and_refuses_only_silence() -> None:
    voice, nothing = talker(7, 0.5, 0.1), np.zeros(4 * RATE, np.float32)
    assert (babble([nothing, voice, nothing], RATE) == babble([voice], RATE)).all()
    for voices in ([], [nothing], [nothing, nothing + np.float32(1e-6)]):
        with pytest.raises(Silent):
            babble(voices, RATE)


def test_babble_asks_for_voices_of_one_length() -> None:
    with pytest.raises(ValueError, match="fit first"):
        babble([talker(8, 0.5, 0.1), talker(9, 0.5, 0.1)[:-1]], RATE)
