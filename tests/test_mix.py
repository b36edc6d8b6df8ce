"""Mixtures against ratios recomputed from the stored samples in exact arithmetic.

Reads and writes nothing. Does: checks labels, ceilings, refusals and the limits of float32.
"""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dsp import mix
from pipeline.dsp.levels import active_level
from pipeline.dsp.mix import CEILING, FLOOR, Mixture, Silent, at_level, at_snr, fit

RATE = 22050
N = 44096


def speech(seed: int, n: int = N, level: float = 0.05) -> np.ndarray:
    """Noise in syllables with a pause of half the clip."""
    t = np.arange(n) / RATE
    on = np.clip(np.sin(2 * np.pi * 4 * t), 0, None) * (t < n / RATE / 2)
    return (np.random.default_rng(seed).standard_normal(n) * on * level * 2).astype(np.float32)


def hiss(seed: int, n: int = N, level: float = 0.05) -> np.ndarray:
    return (np.random.default_rng([seed, 1]).standard_normal(n) * level).astype(np.float32)


def bursty(seed: int, seconds: float) -> np.ndarray:
    """Loud for its first third, faint after."""
    n = round(seconds * RATE)
    return hiss(seed, n) * np.where(np.arange(n) < n / 3, 1.0, 0.01).astype(np.float32)


def exact_rms(x: np.ndarray) -> float:
    return math.sqrt(math.fsum(float(v) * float(v) for v in x) / x.size)


def stored_noise(m: Mixture) -> np.ndarray:
    return m.noisy.astype(np.float64) - m.clean.astype(np.float64)


def assert_sound(m: Mixture, clean: np.ndarray, noise: np.ndarray) -> None:
    """What holds for every mixture."""
    assert m.noisy.dtype == m.clean.dtype == np.float32
    assert m.noisy.shape == m.clean.shape == clean.shape
    assert max(np.abs(m.noisy).max(), np.abs(m.clean).max()) <= CEILING
    assert 0.0 < m.gain <= 1.0
    assert float(np.float32(m.gain)) == m.gain
    np.testing.assert_array_equal(m.clean, (clean.astype(np.float64) * m.gain).astype(np.float32))
    np.testing.assert_array_equal(m.clean, clean * np.float32(m.gain))
    added, wide = stored_noise(m), noise.astype(np.float64)
    factor = (added @ wide) / (wide @ wide)
    assert factor > 0.0
    # What is not the noise is one float32 rounding of noisy, and this estimate of the factor.
    size = np.abs(m.noisy.astype(np.float64))
    assert (np.abs(added - factor * wide) <= 2.0**-24 * size + 2.0**-27 * size.max()).all()


@pytest.mark.parametrize("speech_level", ["p56", "rms"])
@pytest.mark.parametrize("snr_db", [-60.0, -35.5, -5.0, 0.0, 7.25, 20.0, 60.0])
@pytest.mark.parametrize("loudness", [0.0005, 0.05, 0.9])
def test_the_label_is_the_ratio_in_the_stored_samples(
    speech_level: str, snr_db: float, loudness: float
) -> None:
    clean, noise = speech(1, level=loudness), hiss(2)
    m = at_snr(clean, noise, snr_db, speech_level=speech_level, rate=RATE)
    assert_sound(m, clean, noise)
    level = exact_rms(m.clean) if speech_level == "rms" else active_level(m.clean, RATE)[0]
    recomputed = 20 * math.log10(level / exact_rms(stored_noise(m)))
    assert m.achieved == pytest.approx(recomputed, abs=1e-9)
    assert m.achieved == pytest.approx(snr_db, abs=0.01)
    assert m.requested == snr_db
    assert m.achieved == mix.measured_snr(m.clean, m.noisy, speech_level=speech_level, rate=RATE)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 9),
    n=st.integers(300, 9000),
    noise_n=st.integers(200, 9000),
    offset=st.integers(0, 10**6),
    snr_db=st.floats(-60.0, 60.0),
    clean_db=st.floats(-60.0, 6.0),
    noise_db=st.floats(-60.0, 6.0),
    speech_level=st.sampled_from(["p56", "rms"]),
)
def test_every_pair_above_the_floor_gets_its_ratio(
    seed: int,
    n: int,
    noise_n: int,
    offset: int,
    snr_db: float,
    clean_db: float,
    noise_db: float,
    speech_level: str,
) -> None:
    clean = hiss(seed, n, 10 ** (clean_db / 20))
    noise = fit(hiss(seed + 100, noise_n, 10 ** (noise_db / 20)), n, offset)
    m = at_snr(clean, noise, snr_db, speech_level=speech_level, rate=8000)
    assert_sound(m, clean, noise)
    assert abs(m.achieved - snr_db) <= 0.01


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9), n=st.integers(50, 9000), level=st.floats(1e-4, 30.0))
def test_every_noise_gets_its_standard_deviation(seed: int, n: int, level: float) -> None:
    clean, noise = hiss(seed, n, 0.2), fit(hiss(seed + 100, n), n, 0)
    m = at_level(clean, noise, level)
    assert_sound(m, clean, noise)
    assert m.requested == level
    assert m.achieved == pytest.approx(float(stored_noise(m).std()), rel=1e-4)
    assert m.achieved == mix.measured_level(m.clean, m.noisy)
    assert m.achieved / m.gain == pytest.approx(level, rel=1e-3)


def test_the_same_noise_is_turned_down_with_its_speech() -> None:
    clean, noise = speech(3, level=0.1), fit(hiss(4), N, 0)
    soft, loud = at_level(clean, noise, 0.02), at_level(clean, noise, 0.5)
    assert soft.gain == 1.0
    np.testing.assert_array_equal(soft.clean, clean)
    assert loud.gain < 1.0
    assert np.abs(loud.noisy).max() == pytest.approx(CEILING, abs=1e-6)


def test_a_clean_that_is_over_full_scale_is_turned_down_even_if_noise_cancels_it() -> None:
    clean = speech(5)
    clean[100] = 1.5
    noise = hiss(6)
    noise[100] = -0.1 * 8
    m = at_snr(clean, noise, 20.0, speech_level="rms", rate=RATE)
    assert_sound(m, clean, noise)
    assert m.gain < 1 / 1.4


def test_the_float32_of_the_largest_sample_does_not_cross_the_ceiling() -> None:
    for seed in range(3000):  # one in some hundred crosses when the gain is merely 1 / peak
        clean = hiss(seed, 4, 0.5)
        m = at_level(clean, hiss(seed + 1, 4), 1.0)
        assert max(np.abs(m.noisy).max(), np.abs(m.clean).max()) <= CEILING


def test_a_burst_shorter_than_the_clip_is_measured_after_it_is_fitted() -> None:
    clean, raw = speech(7, 2 * RATE), bursty(8, 1.5)
    for offset in (0, 9000, 30000):
        noise = fit(raw, clean.size, offset)
        m = at_snr(clean, noise, 10.0, speech_level="rms", rate=RATE)
        power_ratio = exact_rms(m.clean) ** 2 / exact_rms(stored_noise(m)) ** 2
        assert 10 * math.log10(power_ratio) == pytest.approx(10.0, abs=0.01)


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 50), n=st.integers(1, 200), offset=st.integers(0, 300))
def test_fit_repeats_from_the_offset_then_cuts_and_takes_the_mean_off(
    size: int, n: int, offset: int
) -> None:
    noise = hiss(size, size) + np.float32(0.5)
    fitted = fit(noise, n, offset)
    expected = np.array([noise[(offset + i) % size] for i in range(n)], np.float64)
    assert fitted.dtype == np.float32
    np.testing.assert_allclose(fitted, expected - expected.mean(), atol=1e-7)


def test_fit_does_not_write_into_a_long_noise() -> None:
    noise = hiss(9, 100) + np.float32(0.5)
    before = noise.copy()
    fit(noise, 50, 10)[:] = 0.0
    np.testing.assert_array_equal(noise, before)


@pytest.mark.parametrize("speech_level", ["p56", "rms"])
@pytest.mark.parametrize("level", [0.0, 1e-7, 0.5 * FLOOR])
def test_silence_is_refused_by_name(speech_level: str, level: float) -> None:
    sound, nothing = hiss(10), hiss(11, level=level)
    for clean, noise, which in ((nothing, sound, "clean"), (sound, nothing, "noise")):
        with pytest.raises(Silent) as caught:
            at_snr(clean, noise, 0.0, speech_level=speech_level, rate=RATE)
        assert caught.value.which == which
    with pytest.raises(Silent, match="noise"):
        at_level(sound, nothing, 0.1)


def test_the_floor_is_above_dithered_silence_and_below_a_quiet_room() -> None:
    dither = np.random.default_rng(0).integers(-1, 2, N).astype(np.float32) / 32768
    with pytest.raises(Silent, match="clean"):
        at_snr(dither, hiss(1), 0.0, speech_level="rms", rate=RATE)
    room = hiss(2, level=10 ** (-75 / 20))
    m = at_snr(hiss(3), room, 5.0, speech_level="rms", rate=RATE)
    assert m.achieved == pytest.approx(5.0, abs=0.01)


def test_an_offset_without_sound_is_silence() -> None:
    constant = np.full(N, 0.3, np.float32)
    with pytest.raises(Silent, match="clean"):
        at_snr(constant, hiss(1), 0.0, speech_level="rms", rate=RATE)
    for noise in (constant, fit(constant[:30000], N, 77)):
        with pytest.raises(Silent, match="noise"):
            at_snr(hiss(1), noise, 0.0, speech_level="rms", rate=RATE)


def test_no_samples_are_silence() -> None:
    nothing = np.zeros(0, np.float32)
    with pytest.raises(Silent, match="noise"):
        fit(nothing, N, 0)
    with pytest.raises(Silent, match="clean"):
        at_snr(nothing, nothing, 0.0, speech_level="rms", rate=RATE)


def test_silent_clean_may_be_given_a_noise_of_a_known_level() -> None:
    m = at_level(np.zeros(N, np.float32), fit(hiss(12), N, 0), 0.1)
    assert m.achieved == pytest.approx(0.1, rel=1e-5)


@pytest.mark.parametrize("speech_level", ["p56", "rms"])
@pytest.mark.parametrize("snr_db", [-60.0, 0.0, 60.0])
def test_a_click_in_silence_still_gets_a_true_label(speech_level: str, snr_db: float) -> None:
    click = np.zeros(N, np.float32)
    click[N // 3] = 0.9
    for clean, noise in ((click, hiss(1)), (speech(2), fit(click, N, 5)), (click, click)):
        m = at_snr(clean, noise, snr_db, speech_level=speech_level, rate=RATE)
        assert_sound(m, clean, noise)
        assert m.achieved == pytest.approx(snr_db, abs=0.01)


def test_an_offset_in_the_noise_does_not_pass_for_noise() -> None:
    clean, noise = speech(13), hiss(14, level=0.01)
    plain = at_snr(clean, fit(noise, N, 0), 5.0, speech_level="p56", rate=RATE)
    shifted = at_snr(clean, fit(noise + np.float32(0.25), N, 0), 5.0, speech_level="p56", rate=RATE)
    np.testing.assert_allclose(plain.noisy, shifted.noisy, atol=1e-6)
    assert at_level(clean, fit(noise + np.float32(0.25), N, 0), 0.05).gain == 1.0


def test_an_offset_in_a_noise_that_was_not_fitted_is_measured_as_it_is_stored() -> None:
    clean, noise = speech(13), hiss(14) + np.float32(0.1)
    m = at_snr(clean, noise, 5.0, speech_level="rms", rate=RATE)
    assert_sound(m, clean, noise)
    assert m.achieved == pytest.approx(5.0, abs=0.01)
    assert at_level(clean, noise, 0.01).achieved == pytest.approx(0.01, rel=1e-4)


@pytest.mark.parametrize("speech_level", ["p56", "rms"])
def test_an_offset_in_the_clean_counts_as_level_and_the_label_still_holds(
    speech_level: str,
) -> None:
    clean, noise = speech(15) + np.float32(0.1), hiss(16)
    m = at_snr(clean, noise, 3.0, speech_level=speech_level, rate=RATE)
    assert_sound(m, clean, noise)
    assert m.achieved == pytest.approx(3.0, abs=0.01)
    assert exact_rms(m.clean) / exact_rms(stored_noise(m)) == pytest.approx(10**0.15, rel=0.05)


def test_the_pause_is_left_out_of_the_active_level_only() -> None:
    clean, noise = speech(17), hiss(18)
    by_rms = at_snr(clean, noise, 10.0, speech_level="rms", rate=RATE)
    by_p56 = at_snr(clean, noise, 10.0, speech_level="p56", rate=RATE)
    more = 20 * math.log10(exact_rms(stored_noise(by_p56)) / exact_rms(stored_noise(by_rms)))
    assert more == pytest.approx(10 * math.log10(2.0 / 1.2), abs=0.7)  # 1 of 2 s, and hangover


@pytest.mark.parametrize("speech_level", ["p56", "rms"])
@pytest.mark.parametrize("snr_db", [-20.0, 20.0])
def test_a_level_measured_before_gives_the_same_bytes(speech_level: str, snr_db: float) -> None:
    clean, noise = speech(19, level=0.2), hiss(20)
    known = mix.level_of(clean, speech_level, RATE)
    a = at_snr(clean, noise, snr_db, speech_level=speech_level, rate=RATE)
    b = at_snr(clean, noise, snr_db, speech_level=speech_level, rate=RATE, clean_level=known)
    assert (a.noisy == b.noisy).all()
    assert a.achieved == b.achieved


def test_where_float32_cannot_hold_the_noise_the_label_says_what_is_left() -> None:
    clean, noise = speech(21) + hiss(21), hiss(22)
    fine = at_snr(clean, noise, 100.0, speech_level="rms", rate=RATE)
    assert fine.achieved == pytest.approx(100.0, abs=0.01)
    coarse = at_snr(clean, noise, 170.0, speech_level="rms", rate=RATE)
    recomputed = 20 * math.log10(exact_rms(coarse.clean) / exact_rms(stored_noise(coarse)))
    assert coarse.achieved == pytest.approx(recomputed, abs=1e-9)
    assert abs(coarse.achieved - 170.0) > 0.1
    with pytest.raises(Silent, match="noise"):
        at_snr(clean, noise, 300.0, speech_level="rms", rate=RATE)
    with pytest.raises(Silent, match="clean"):
        at_snr(clean, noise, -1000.0, speech_level="rms", rate=RATE)
    with pytest.raises(Silent, match="noise"):
        at_level(clean, noise, 1e-20)


def test_60_db_under_a_clean_with_a_large_offset_is_still_held() -> None:
    clean = hiss(23, level=0.001) + np.float32(0.9)  # steps of 6e-8 under noise of 9e-4
    m = at_snr(clean, hiss(24), 60.0, speech_level="rms", rate=RATE)
    assert m.achieved == pytest.approx(60.0, abs=0.01)


def test_measuring_a_pair_without_clean_or_noise_is_refused() -> None:
    clean, nothing = speech(25), np.zeros(N, np.float32)
    with pytest.raises(Silent, match="noise"):
        mix.measured_snr(clean, clean, speech_level="p56", rate=RATE)
    with pytest.raises(Silent, match="clean"):
        mix.measured_snr(nothing, clean, speech_level="p56", rate=RATE)
    assert mix.measured_level(clean, clean) == 0.0


def test_inputs_are_not_written_to_and_not_shared() -> None:
    clean, noise = speech(26), hiss(27)
    before = clean.tobytes(), noise.tobytes()
    for m in (at_level(clean, noise, 0.01), at_level(clean, noise, 3.0)):
        m.clean[:] = m.noisy[:] = 0.0
    assert (clean.tobytes(), noise.tobytes()) == before


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, -1])
def test_samples_that_are_not_finite_never_reach_a_mixture(bad: float, at: int) -> None:
    sound, broken = speech(28), hiss(29)
    broken[at] = bad
    for clean, noise, which in ((broken, sound, "clean"), (sound, broken, "noise")):
        with pytest.raises(ValueError, match=f"{which} has samples that are not finite"):
            at_snr(clean, noise, 0.0, speech_level="p56", rate=RATE)
        with pytest.raises(ValueError, match=f"{which} has samples that are not finite"):
            at_level(clean, noise, 0.1)


def test_misuse_is_named() -> None:
    sound = hiss(30)
    with pytest.raises(ValueError, match="use fit"):
        at_snr(sound, sound[:-1], 0.0, speech_level="rms", rate=RATE)
    with pytest.raises(ValueError, match="float32"):
        at_level(sound.astype(np.float64), sound, 0.1)
    with pytest.raises(ValueError, match="p56, rms"):
        at_snr(sound, sound, 0.0, speech_level="loud", rate=RATE)
    for level in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="above 0"):
            at_level(sound, sound, level)


def test_silent_crosses_processes() -> None:
    assert pickle.loads(pickle.dumps(Silent("clean"))).which == "clean"
