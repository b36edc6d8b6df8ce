"""Levels against analytic signals and against a sample-by-sample walk through ITU-T P.56.

Reads and writes nothing. Does: checks RMS, active speech level and activity factor.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dsp import levels
from pipeline.dsp.levels import active_level, rms

RATE = 22050


def tone(seconds: float, amplitude: float = 0.5, rate: int = RATE) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * 440.0 * t)).astype(np.float32)


def silence(seconds: float, rate: int = RATE) -> np.ndarray:
    return np.zeros(round(seconds * rate), np.float32)


def speechlike(seed: int, seconds: float = 4.0, rate: int = RATE) -> np.ndarray:
    """Noise syllables at 4 per second, in phrases with pauses, over a faint room."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    syllables = np.clip(np.sin(2 * np.pi * 4 * t), 0, None) ** 0.5
    phrase = (np.sin(2 * np.pi * t / 2.3 + seed) > -0.3).astype(float)
    wave = rng.standard_normal(t.size) * (0.1 * syllables * phrase + 1e-4)
    return wave.astype(np.float32)


def db(ratio: float) -> float:
    return 20 * math.log10(ratio)


def walk_through_standard(x: np.ndarray, rate: int) -> tuple[float, float]:
    """P.56 method B as its clause 6 tells it: one sample after another, fixed thresholds."""
    g, hang = math.exp(-1 / (rate * 0.03)), math.ceil(rate * 0.2)
    thresholds = [2.0**-k for k in range(15, 0, -1)]
    active, idle = [0] * 15, [hang] * 15
    p = q = energy = 0.0
    for sample in x.tolist():
        energy += sample * sample
        p = g * p + (1 - g) * abs(sample)
        q = g * q + (1 - g) * p
        for j, threshold in enumerate(thresholds):
            if q >= threshold:
                active[j] += 1
                idle[j] = 0
            elif idle[j] < hang:
                active[j] += 1
                idle[j] += 1
    points = [
        (db(c), 10 * math.log10(energy / a)) for c, a in zip(thresholds, active, strict=True) if a
    ]
    above = [a - c for c, a in points]
    level = float(np.interp(-15.9, [-d for d in above], [a for _, a in points]))
    return level, energy / x.size / 10 ** (level / 10)


def test_rms_of_known_signals() -> None:
    assert rms(np.zeros(0, np.float32)) == 0.0
    assert rms(np.full(7, -0.25, np.float32)) == 0.25
    assert rms(tone(1.0)) == pytest.approx(0.5 / math.sqrt(2), rel=1e-6)


def test_rms_accumulates_in_double_precision() -> None:
    x = np.full(3_000_001, 0.1, np.float32)
    x[0] = 1000.0
    expected = math.sqrt(math.fsum(float(v) ** 2 for v in x) / x.size)
    assert rms(x) == pytest.approx(expected, rel=1e-12)


def test_rms_leaves_its_input_alone() -> None:
    x = np.full(4, 3.0)
    assert rms(x) == 3.0
    assert (x == 3.0).all()


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_a_steady_tone_has_its_rms_and_is_always_active(rate: int) -> None:
    level, activity = active_level(tone(4.0, rate=rate), rate)
    assert abs(db(level / (0.5 / math.sqrt(2)))) < 0.05
    assert activity == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("lead", [0.0, 4.0])
def test_a_half_silent_tone_keeps_the_level_of_the_tone(lead: float) -> None:
    level, activity = active_level(
        np.concatenate([silence(lead), tone(4.0), silence(4.0 - lead + 1.0)]), RATE
    )
    assert abs(db(level / rms(tone(4.0)))) < 0.3  # 0.2 s of hangover and some decay in 4 s
    # Hangover, plus the 0.1 s or so that the envelope needs to fall by the margin.
    assert activity == pytest.approx((4.0 + 0.2 + 0.1) / 9.0, abs=0.01)


def test_a_pause_counts_only_while_it_is_short() -> None:
    def activity(pause: float) -> float:
        return active_level(np.tile(np.r_[tone(0.5), silence(pause)], 8), RATE)[1]

    assert activity(0.15) > 0.98
    assert activity(1.5) == pytest.approx((0.5 + 0.2 + 0.1) / 2.0, abs=0.03)


@pytest.mark.parametrize(("room_db", "counted"), [(-40.0, False), (-8.0, True)])
def test_the_margin_decides_whether_the_room_is_speech(room_db: float, counted: bool) -> None:
    room = tone(4.0, 0.5 * 10 ** (room_db / 20))
    _, activity = active_level(np.concatenate([tone(4.0), room]), RATE)
    assert (activity > 0.95) is counted


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gain", [1.0, 0.031, 3.7])
def test_agrees_with_a_walk_through_the_standard(seed: int, gain: float) -> None:
    x = (gain * speechlike(seed, seconds=3.0, rate=8000)).astype(np.float32)
    level, activity = active_level(x, 8000)
    slow_db, slow_activity = walk_through_standard(x, 8000)
    # The standard's own thresholds are 6 dB apart; where they fall moves its result by this much.
    assert abs(db(level) - slow_db) < 0.25
    assert activity == pytest.approx(slow_activity, rel=0.06)


def test_equals_the_standard_where_the_thresholds_coincide() -> None:
    x = speechlike(1, seconds=3.0, rate=8000)
    x = x / levels._held_envelope(x, 8000, 1).max() * 0.125  # float64: the peak is a threshold
    slow_db, slow_activity = walk_through_standard(x, 8000)
    level, activity = active_level(x, 8000)
    assert db(level) == pytest.approx(slow_db, abs=1e-3)
    assert activity == pytest.approx(slow_activity, rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 50), gain=st.floats(1e-4, 8.0))
def test_a_gain_on_the_signal_is_that_gain_on_its_level(seed: int, gain: float) -> None:
    x = speechlike(seed, seconds=2.0)
    level, activity = active_level(x, RATE)
    scaled, scaled_activity = active_level(x * np.float32(gain), RATE)
    assert db(scaled / (level * gain)) == pytest.approx(0.0, abs=1e-4)
    assert scaled_activity == pytest.approx(activity, rel=1e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 50), seconds=st.floats(0.5, 20.0))
def test_appended_silence_does_not_change_the_level(seed: int, seconds: float) -> None:
    # One second lets the last hangover run out; what follows is never active.
    x = np.concatenate([speechlike(seed, seconds=2.0), silence(1.0)])
    longer = np.concatenate([x, silence(seconds)])
    assert active_level(longer, RATE)[0] == pytest.approx(active_level(x, RATE)[0], rel=1e-9)
    assert active_level(longer, RATE)[1] < active_level(x, RATE)[1]


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 9000),
    kind=st.sampled_from(["click", "noise", "burst", "constant"]),
    seed=st.integers(0, 9),
)
def test_any_signal_has_a_finite_level_not_below_its_rms(n: int, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = {
        "click": np.eye(1, n, n // 2)[0],
        "noise": rng.standard_normal(n),
        "burst": rng.standard_normal(n) * (np.arange(n) < n / 9),
        "constant": np.ones(n),
    }[kind].astype(np.float32)
    level, activity = active_level(x, 8000)
    assert rms(x) * (1 - 1e-9) <= level < math.inf
    assert level <= np.abs(x).max() * 1.1  # the start of a sudden rise is not yet active
    assert 0.0 < activity <= 1.0 + 1e-9


def test_a_click_is_active_for_its_hangover() -> None:
    x = silence(3.0)
    x[RATE] = 1.0
    level, activity = active_level(x, RATE)
    assert activity == pytest.approx(0.2 / 3.0, rel=1e-3)
    assert level == pytest.approx(1 / math.sqrt(0.2 * RATE), rel=1e-3)


@pytest.mark.parametrize("ms", [1, 10, 50, 150])
def test_a_word_that_begins_as_the_clip_ends_has_no_absurd_level(ms: int) -> None:
    word = tone(ms / 1000)
    level, activity = active_level(np.concatenate([silence(2.0), word]), RATE)
    assert level == pytest.approx(rms(word) * math.sqrt(ms / 200), rel=0.01)
    assert activity == pytest.approx(0.2 / (2.0 + ms / 1000), rel=0.01)


def test_hours_of_silence_around_a_word_still_meet_the_margin() -> None:
    x = np.zeros(4 * 3600 * 100, np.float32)  # 4 h at 100 Hz
    x[5000:5100] = np.sin(np.arange(100))
    x += np.float32(1e-3) * np.sin(np.arange(x.size)).astype(np.float32)
    level, _ = active_level(x, 100)
    assert abs(db(level / rms(x[5000:5130]))) < 0.5


@pytest.mark.parametrize("n", [0, 1, 10, 44096])
def test_silence_has_no_level(n: int) -> None:
    assert active_level(np.zeros(n, np.float32), RATE) == (0.0, 0.0)


def test_silent_says_which_signal() -> None:
    assert levels.Silent("noise").which == "noise"


def test_a_minute_of_speech_is_as_loud_as_its_seconds() -> None:
    """At the top thresholds a minute is active for hardly a moment, and the margin is met."""
    second = speechlike(3, 2.3 * 2)
    level, activity = active_level(np.tile(second, 13), RATE)
    assert abs(db(level / active_level(second, RATE)[0])) < 0.3
    assert 0.5 < activity < 0.95
