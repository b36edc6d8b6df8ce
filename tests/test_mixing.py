"""Mixing on the fly: what each number of Online promises, measured another way.

Reads and writes nothing.
"""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest

from training.data.mixing import (
    CEILING,
    Loudness,
    Online,
    active_level,
    coloured,
    cut,
    mixed,
    resampled,
)
from training.errors import Changed

RATE = 22050
N = 44096
OFF: dict[str, Any] = {
    "below": 0.0, "above": 0.0, "alone": 0.0, "untouched": 0.0, "speed": (1.0, 1.0),
    "colour": 0.0, "gain": (0.0, 0.0),
}  # fmt: skip


def generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def speech(seed: int, n: int = N, level: float = 0.05) -> np.ndarray:
    """Noise in syllables; silence in the second half."""
    t = np.arange(n) / RATE
    on = np.clip(np.sin(2 * np.pi * 4 * t), 0, None) * (t < n / RATE / 2)
    return (generator(1, seed).standard_normal(n) * on * level * 2).astype(np.float32)


def hiss(seed: int, n: int = N, level: float = 0.05) -> np.ndarray:
    return (generator(2, seed).standard_normal(n) * level).astype(np.float32)


def power(x: np.ndarray) -> float:
    return math.fsum((x.astype(np.float64) ** 2).tolist()) / len(x)


def active_power(x: np.ndarray) -> float:
    """Mean square over the 100 ms blocks within 40 dB of the loudest, block by block."""
    size = 2205
    blocks = [x[at : at + size] for at in range(0, len(x), size)]
    powers = [power(block) for block in blocks]
    loud = [b for b, p in zip(blocks, powers, strict=True) if p >= max(powers) * 1e-4]
    return power(np.concatenate(loud))


def snr(noisy: np.ndarray, clean: np.ndarray) -> float:
    return 10 * math.log10(active_power(clean) / power(noisy.astype(np.float64) - clean))


def made(
    seed: int, kind: str = "snr", values: tuple[float, float] = (0.0, 0.0), **told: Any
) -> tuple[np.ndarray, np.ndarray]:
    loudness, online = Loudness(kind, *values), Online(**(OFF | told))
    return mixed(speech(seed), hiss(seed), loudness, online, RATE, generator(3, seed))


@pytest.mark.parametrize("wanted", [-15.0, 0.0, 7.5, 30.0])
@pytest.mark.parametrize("told", [{}, {"colour": 0.375, "gain": (-12.0, 6.0)}])
def test_the_snr_is_that_of_the_active_sound(wanted: float, told: dict[str, Any]) -> None:
    for seed in range(5):
        noisy, clean = made(seed, values=(wanted, wanted), **told)
        assert noisy.dtype == clean.dtype == np.float32
        assert snr(noisy, clean) == pytest.approx(wanted, abs=0.02)


def test_snrs_are_uniform_from_below_the_lowest_to_above_the_highest() -> None:
    found = [snr(*made(i, values=(0.0, 10.0), below=5.0, above=3.0)) for i in range(100)]
    assert kstest(found, "uniform", (-5.0, 18.0)).pvalue > 0.01
    assert min(found) > -5.01
    assert max(found) < 13.01


def test_levels_are_log_uniform_over_the_recipes() -> None:
    found = [np.diff(made(i, "level", (0.003, 0.1)), axis=0).std() for i in range(100)]
    assert kstest(np.log(found), "uniform", (math.log(0.003), math.log(0.1 / 0.003))).pvalue > 0.01


def test_with_everything_off_clean_is_untouched() -> None:
    for seed in range(5):
        noisy, clean = made(seed, values=(20.0, 20.0))
        assert clean.tobytes() == speech(seed).tobytes()
        added = noisy.astype(np.float64) - clean
        wide = hiss(seed).astype(np.float64)
        factor = (added @ wide) / (wide @ wide)
        np.testing.assert_allclose(added, factor * wide, atol=1e-6)


def test_some_are_noise_alone_and_some_are_clean() -> None:
    alone = clean_only = 0
    for seed in range(300):
        noisy, clean = made(seed, alone=0.2, untouched=0.1)
        assert noisy.any()
        alone += not clean.any()
        clean_only += np.array_equal(noisy, clean) and np.array_equal(clean, speech(seed))
    assert alone == pytest.approx(60, abs=21)  # 3 deviations
    assert clean_only == pytest.approx(30, abs=16)


def test_noise_alone_is_as_loud_as_it_would_be_beside_the_clean() -> None:
    noisy, clean = made(1, values=(6.0, 6.0), alone=1.0)
    assert not clean.any()
    assert 10 * math.log10(active_power(speech(1)) / power(noisy)) == pytest.approx(6, abs=0.02)


def test_gain_is_uniform_in_decibels_and_the_same_for_both() -> None:
    found = []
    for seed in range(100):
        _, clean = made(seed, values=(40.0, 40.0), gain=(-12.0, 6.0))
        found.append(10 * math.log10(power(clean) / power(speech(seed))))
        np.testing.assert_allclose(clean, speech(seed) * 10 ** (found[-1] / 20), rtol=1e-5)
    assert kstest(found, "uniform", (-12.0, 18.0)).pvalue > 0.01


def test_nothing_passes_full_scale() -> None:
    turned = 0
    for seed in range(200):
        loud = Online(**(OFF | {"gain": (30.0, 40.0)}))
        args = (Loudness("snr", -10, 10), loud, RATE, generator(4, seed))
        noisy, clean = mixed(speech(seed, 4000), hiss(seed, 4000), *args)
        assert max(np.abs(noisy).max(), np.abs(clean).max()) <= CEILING
        turned += max(np.abs(noisy).max(), np.abs(clean).max()) > 0.9999
    assert turned == 200


def test_colour_is_the_filter_of_the_paper() -> None:
    tint = np.array([0.3, -0.2, -0.35, 0.1])
    impulse = np.zeros(512)
    impulse[0] = 1.0
    z = np.exp(2j * np.pi * np.arange(257) / 512)
    wanted = (1 + 0.3 / z - 0.2 / z**2) / (1 - 0.35 / z + 0.1 / z**2)
    np.testing.assert_allclose(np.fft.rfft(coloured(impulse, tint)), wanted, atol=1e-12)
    assert coloured(speech(1), tint).dtype == np.float32


def test_clean_and_noise_each_have_a_colour_of_their_own() -> None:
    spectra = []
    for seed in range(20):
        white = hiss(seed, 1 << 16)
        online = Online(**(OFF | {"colour": 0.375}))
        args = (Loudness("level", 0.05, 0.05), online, RATE, generator(5, seed))
        noisy, clean = mixed(white, hiss(seed + 100, 1 << 16), *args)
        spectra += [tilt(clean), tilt(noisy.astype(np.float64) - clean)]
    assert np.std(spectra[::2]) > 1.0
    assert np.std(spectra[1::2]) > 1.0
    assert abs(np.corrcoef(spectra[::2], spectra[1::2])[0, 1]) < 0.6
    assert abs(tilt(hiss(1, 1 << 16))) < 0.2


def tilt(x: np.ndarray) -> float:
    """Upper half of the spectrum over the lower, in dB."""
    spectrum = np.abs(np.fft.rfft(x)) ** 2
    half = len(spectrum) // 2
    return float(10 * np.log10(spectrum[half:].sum() / spectrum[:half].sum()))


def test_a_filter_dies_away_to_silence() -> None:
    x = speech(3)
    for seed in range(50):
        y = coloured(x, generator(6, seed).uniform(-0.49, 0.49, 4))
        assert not y[-N // 4 :].any()
        assert not ((y != 0) & (np.abs(y) < np.finfo(np.float32).tiny)).any()


@pytest.mark.parametrize("speed", [0.9, 1.0, 1.1])
@pytest.mark.parametrize("to", [16000, 22050, 44100])
def test_speed_moves_every_tone_and_folds_none(speed: float, to: int) -> None:
    t = np.arange(N) / RATE
    low, high = np.sin(2 * np.pi * 441 * t), np.sin(2 * np.pi * 10900 * t)
    y = resampled((0.1 * low).astype(np.float32), RATE, to, speed)
    assert y.dtype == np.float32
    assert len(y) == pytest.approx(N * to / RATE / speed, abs=1)
    n = np.arange(len(y))
    wanted = 0.1 * np.sin(2 * np.pi * 441 * speed * n / to)
    inner = slice(2000, -2000)
    np.testing.assert_allclose(y[inner], wanted[inner], atol=1e-4)
    if 10900 * speed > 1.05 * to / 2:
        gone = resampled((0.1 * high).astype(np.float32), RATE, to, speed)
        assert np.abs(gone[inner]).max() < 1e-4


def test_the_same_rate_and_speed_change_no_bit() -> None:
    x = speech(1)
    assert resampled(x, RATE, RATE) is x
    assert resampled(x, RATE, RATE, 1.001) is x  # speeds count in hundredths


def test_a_cut_is_of_the_asked_length() -> None:
    x = np.arange(10.0)
    assert cut(x, 10, 0.99) is not None
    assert {tuple(cut(x, 8, u)) for u in np.linspace(0, 0.999, 50)} == {
        tuple(x[i : i + 8]) for i in range(3)
    }
    np.testing.assert_array_equal(cut(x, 12, 0.7), [*x, 0, 0])


def test_active_level_leaves_pauses_out_and_follows_a_gain() -> None:
    x = hiss(1)
    x[N // 2 :] *= 1e-3  # 60 dB down
    assert active_level(x, RATE) == pytest.approx(0.05, rel=0.06)
    assert active_level(x * 0.25, RATE) == pytest.approx(active_level(x, RATE) / 4, rel=1e-6)
    assert active_level(x, RATE) == pytest.approx(math.sqrt(active_power(x)), rel=1e-6)
    assert active_level(np.zeros(99), RATE) == 0.0
    assert active_level(np.full(7, 0.5), RATE) == pytest.approx(0.5)


@pytest.mark.parametrize("level", [0.0, 1e-6])
def test_silence_is_no_reason_to_stop(level: float) -> None:
    online = Online(**OFF)
    loudness = Loudness("snr", 0, 0)
    quiet, sound = hiss(1, level=level), hiss(2)
    noisy, clean = mixed(sound, quiet, loudness, online, RATE, generator(0))
    assert noisy.tobytes() == clean.tobytes() == sound.tobytes()
    noisy, clean = mixed(sound, None, loudness, online, RATE, generator(0))
    assert noisy.tobytes() == clean.tobytes() == sound.tobytes()
    noisy, clean = mixed(quiet, sound, loudness, online, RATE, generator(0))
    assert np.isfinite(noisy).all()
    assert np.abs(noisy).max() < 1e-3


@pytest.mark.parametrize(
    "told",
    [
        {"below": -1.0},
        {"alone": -0.1},
        {"alone": 0.6, "untouched": 0.6},
        {"speed": (1.1, 0.9)},
        {"speed": (0.0, 1.0)},
        {"colour": 0.5},
        {"gain": (3.0, -3.0)},
        {"below": math.nan},
        {"gain": (math.nan, math.nan)},
        {"room": -1},
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(Changed, match="out of range"):
        Online(**told)
