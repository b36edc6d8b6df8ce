"""Where somebody speaks: bursts whose edges are known, and the demo's voices whose phrases are.

Reads and writes nothing.
"""

import numpy as np
import pytest

from pipeline.demo.plan import voices
from pipeline.demo.voices import Span, utterance
from pipeline.dsp.voice import PAUSE, active
from pipeline.rng import stream

RATE = 16000


def noise(seconds: float, level: float = 1.0, seed: int = 0) -> np.ndarray:
    return level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def bursts(*spans: Span, seconds: float = 6.0, floor: float = 0.0) -> np.ndarray:
    """Noise of RMS 0.1 in the spans (seconds), and of RMS `floor` everywhere."""
    wave = noise(seconds, floor, 1)
    for start, stop in spans:
        place = slice(round(start * RATE), round(stop * RATE))
        wave[place] += noise(seconds, 0.1, 2)[place]
    return wave.astype(np.float32)


def found(wave: np.ndarray, rate: int = RATE) -> list[Span]:
    return [(a / rate, b / rate) for a, b in active(wave, rate)]


@pytest.mark.parametrize("snr", [10, 20, 30, 60])
def test_bursts_in_noise_are_found_to_a_frame(snr: float) -> None:
    spans = [(0.5, 1.2), (2.0, 2.6), (4.0, 5.5)]
    got = found(bursts(*spans, floor=0.1 * 10 ** (-snr / 20)))
    assert len(got) == 3
    for (start, stop), (low, high) in zip(got, spans, strict=True):
        assert abs(start - low) <= 0.011
        assert abs(stop - high) <= 0.011


def test_at_5_db_they_are_found_still() -> None:
    got = found(bursts((0.5, 1.2), (4.0, 5.5), floor=0.1 * 10 ** (-5 / 20)))
    assert len(got) == 2
    assert np.abs(np.array(got) - [(0.5, 1.2), (4.0, 5.5)]).max() <= 0.03


def test_a_short_pause_is_part_of_speech_and_a_long_one_is_not() -> None:
    assert len(found(bursts((1.0, 2.0), (2.0 + PAUSE - 0.05, 3.0)))) == 1
    assert len(found(bursts((1.0, 2.0), (2.0 + PAUSE + 0.05, 3.0)))) == 2


def test_a_click_is_nobody() -> None:
    assert found(bursts((1.0, 1.02), (2.0, 3.0))) == [(2.0, 3.0)]


def test_leading_silence_is_never_speech() -> None:
    got = found(bursts((3.0, 4.0), floor=1e-5))
    assert got == [(3.0, 4.0)]


def test_a_faint_sound_counts_between_and_after_loud_ones_but_does_not_start_speech() -> None:
    """What lies between the thresholds belongs to the speech it touches, and is none alone."""
    wave = bursts((2.0, 3.0), floor=1e-3)
    faint = 1e-3 * 10 ** (7 / 20)
    alone, touching = wave.copy(), wave.copy()
    alone[RATE // 2 : RATE] = faint * noise(0.5, seed=3)
    touching[3 * RATE : 3 * RATE + RATE // 2] = faint * noise(0.5, seed=3)
    assert found(alone) == [(2.0, 3.0)]
    assert found(touching) == [pytest.approx((2.0, 3.5), abs=0.021)]


@pytest.mark.parametrize("gain", [0.01, 3.0])
def test_a_gain_or_an_offset_changes_nothing(gain: float) -> None:
    wave = bursts((0.5, 1.2), (4.0, 5.5), floor=0.005)
    assert found((gain * wave).astype(np.float32)) == found(wave) == found(wave + np.float32(0.05))


@pytest.mark.parametrize("wave", [np.zeros(0), np.zeros(100), np.zeros(RATE), np.full(RATE, 0.5)])
def test_silence_is_nobody(wave: np.ndarray) -> None:
    assert active(wave.astype(np.float32), RATE) == []


def test_sound_without_any_quiet_is_speech_from_end_to_end() -> None:
    assert found(noise(1.0, 0.1).astype(np.float32)) == [(0.0, 1.0)]


def test_other_rates() -> None:
    wave = bursts((0.5, 1.2), (4.0, 5.5))
    got = np.array(found(wave, RATE // 2))
    assert np.abs(got - [(1.0, 2.4), (8.0, 11.0)]).max() <= 0.021


def talking(spans: list[Span], n: int) -> np.ndarray:
    """(n,) bool: true spans, with pauses under PAUSE taken for speech as `active` does."""
    table, last = np.zeros(n, bool), -1.0
    for start, stop in spans:
        begin = last if start - last < PAUSE else start
        table[round(begin * RATE) : round(stop * RATE)] = True
        last = stop
    return table


@pytest.mark.parametrize(("snr", "missed", "wrong"), [(60, 0.002, 0.03), (20, 0.01, 0.02),
                                                     (10, 0.1, 0.01)])  # fmt: skip
def test_the_demos_voices(snr: float, missed: float, wrong: float) -> None:
    """Against the phrases that they were made of, as parts of the time that is spoken."""
    miss = false = total = 0
    for k, voice in enumerate(voices(0)[::3]):
        sound, spans = utterance(voice, RATE, 6.0, stream(0, "test", k))  # 1 is the speech's RMS
        heard = (sound + noise(6.0, 10 ** (-snr / 20), k)).astype(np.float32)
        truth, got = talking(spans, len(sound)), np.zeros(len(sound), bool)
        for start, stop in active(heard, RATE):
            got[start:stop] = True
        miss += np.count_nonzero(truth & ~got)
        false += np.count_nonzero(got & ~truth)
        total += np.count_nonzero(truth)
    assert miss / total <= missed
    assert false / total <= wrong
