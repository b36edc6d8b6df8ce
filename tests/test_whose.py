"""Who speaks, told from sound: coloured noises that take turns are told apart and counted.

Reads and writes nothing.
"""

import itertools
import tracemalloc

import numpy as np
import pytest

from pipeline.demo import plan as demo
from pipeline.dsp import clusters, voice, whose
from training.diarizer.baselines import everything
from training.diarizer.rttm import Turn
from training.diarizer.scores import Errors, errors

RATE = 8000
Spoken = list[tuple[str, float, float]]


EDGES = np.linspace(100, 3900, 13)  # Hz


def babble(who: str, seconds: float, rate: int, random: np.random.Generator) -> np.ndarray:
    """Noise in twelve bands: each speaker has a level in each, and so has each sound of 0.1 s."""
    own = 10 * np.random.default_rng(ord(who)).standard_normal(12)  # dB
    n = round(seconds * rate)
    spectrum = np.fft.rfft(random.standard_normal(n))
    place = np.digitize(np.fft.rfftfreq(n, 1 / rate), EDGES) - 1
    wave = np.zeros(n)
    for band in range(12):
        sounds = own[band] + 6 * random.standard_normal(int(10 * seconds) + 1)
        gain = 10 ** (sounds[np.arange(n) * 10 // rate] / 20)
        wave += gain * np.fft.irfft(np.where(place == band, spectrum, 0), n)
    return 0.1 * wave / np.sqrt(np.mean(wave**2))


def sound(turns: Spoken, seconds: float, rate: int = RATE) -> np.ndarray:
    random = np.random.default_rng(1)
    wave = 1e-3 * random.standard_normal(round(seconds * rate))
    for who, start, stop in turns:
        part = babble(who, stop - start, rate, random)
        wave[round(start * rate) :][: len(part)] += part
    return wave.astype(np.float32)


def rounds(names: str, turns: int, each: float = 3.0) -> Spoken:
    """As many turns, one after another, half a second of silence between two."""
    order = itertools.islice(itertools.cycle(names), turns)
    return [(who, 0.5 + k * (each + 0.5), (k + 1) * (each + 0.5)) for k, who in enumerate(order)]


def heard(wave: np.ndarray, most: int = 4, rate: int = RATE) -> list[Turn]:
    found = whose.turns(lambda a, b: wave[max(a, 0) : b], len(wave), rate, most)
    return [Turn(a / rate, b / rate, str(who)) for a, b, who in found]


def truth(turns: Spoken) -> list[Turn]:
    return sorted(Turn(a, b, who) for who, a, b in turns)


@pytest.mark.parametrize("names", ["A", "AB", "ABC"])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
def test_turns_are_told_apart_and_counted(names: str, rate: int) -> None:
    said = rounds(names, 12)
    found = heard(sound(said, 43.0, rate), rate=rate)
    assert len({turn.speaker for turn in found}) == len(names)
    assert errors(truth(said), found).rate < 0.05


def test_speakers_who_leave_no_pause_are_parted_near_where_they_change() -> None:
    said = [("A", 1.0, 5.0), ("B", 5.0, 9.0), ("A", 9.0, 13.0), ("B", 13.0, 17.0)]
    found = heard(sound(said, 18.0))
    assert [turn.speaker for turn in found] == ["1", "2", "1", "2"]
    for turn, (_, start, stop) in zip(found, said, strict=True):
        assert abs(turn.start - start) <= 0.1
        assert abs(turn.end - stop) <= 0.1


def test_numbers_are_in_the_order_of_first_turns() -> None:
    found = heard(sound(rounds("CAB", 9), 33.0))
    assert list(dict.fromkeys(turn.speaker for turn in found)) == ["1", "2", "3"]
    assert [turn.start for turn in found] == sorted(turn.start for turn in found)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_never_more_than_may_be(most: int) -> None:
    found = heard(sound(rounds("ABCD", 12), 43.0), most)
    assert len({turn.speaker for turn in found}) == most


def test_a_long_recording_has_no_more_speakers_than_a_short_one() -> None:
    found = heard(sound(rounds("AB", 60), 211.0))
    assert {turn.speaker for turn in found} == {"1", "2"}


@pytest.mark.parametrize("n", [0, 1, 79, 80, 100, 4000])
def test_silence_and_next_to_nothing_are_nobody(n: int) -> None:
    assert heard(np.zeros(n, np.float32)) == []


def test_little_speech_is_one_speaker() -> None:
    found = heard(sound([("A", 0.5, 1.2), ("B", 2.0, 2.7)], 4.0))
    assert [turn.speaker for turn in found] == ["1", "1"]


def test_a_sound_that_never_changes_is_one_speaker() -> None:
    tone = 0.1 * np.sin(2 * np.pi * 400 * np.arange(20 * RATE) / RATE).astype(np.float32)
    first = heard(tone)[0]
    assert (first.speaker, first.start) == ("1", 0.0)
    assert first.end > 19.9  # its last 25 ms end in silence, and sound otherwise


def test_turns_stay_inside_the_recording_and_begin_after_they_end() -> None:
    wave = sound([("A", 0.0, 7.013)], 7.013)
    for turn in heard(wave):
        assert 0 <= turn.start < turn.end <= len(wave) / RATE


def test_speech_is_what_is_found_in_the_whole_wave(monkeypatch: pytest.MonkeyPatch) -> None:
    """Energies a minute at a time, an offset and all, lead to the spans of voice.active."""
    wave = sound(rounds("AB", 50), 176.0) + np.float32(0.03)
    power = whose.powers(lambda a, b: wave[a:b], len(wave), 80)
    assert [(80 * a, 80 * b) for a, b in voice.spans(power)] == voice.active(wave, RATE)
    monkeypatch.setattr(whose, "CHUNK", 700)
    np.testing.assert_allclose(
        whose.powers(lambda a, b: wave[a:b], len(wave), 80), power, rtol=1e-9, atol=1e-15
    )


def test_how_much_is_held_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    wave = sound(rounds("AB", 12, each=9.0), 116.0)
    before = heard(wave)
    monkeypatch.setattr(whose, "CHUNK", 500)  # whole steps: spans are cut
    assert heard(wave) == before


def test_many_embeddings_are_grouped_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    centres = 5 * random.standard_normal((3, 12))
    who = random.integers(3, size=900)
    points = centres[who] + random.standard_normal((900, 12))
    monkeypatch.setattr(clusters, "BLOCK", 100)
    found = clusters.grouped(points, 3)
    assert len({(a, b) for a, b in zip(who, found, strict=True)}) == 3
    assert set(found) == {0, 1, 2}


def test_what_sounds_otherwise_for_a_moment_is_no_turn() -> None:
    """Twenty nats for another are not worth two changes of twelve; four hundred are."""
    fits, near = np.zeros((2, 100)), np.ones(100, bool)
    fits[1, 10:12] = fits[1, 40:80] = fits[0, :10] = fits[0, 80:] = 10.0
    fits[0, 12:40] = 1.0
    found = clusters._path(fits, near)
    assert found.tolist() == [0] * 40 + [1] * 40 + [0] * 20


def test_memory_grows_by_little_with_the_length() -> None:
    """Half an hour more takes 20 MB more at most; its samples would take 58 MB."""
    minute = sound(rounds("AB", 17), 60.0)
    n = len(minute)

    def read(start: int, stop: int) -> np.ndarray:
        return minute[np.arange(max(start, 0), stop) % n]

    peaks = []
    for minutes in (5, 35):
        tracemalloc.start()
        found = whose.turns(read, minutes * n, RATE, 2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len({who for _, _, who in found}) == 2
    assert peaks[1] - peaks[0] < 20 << 20


def test_synthetic_voices_are_told_apart_better_than_by_saying_one() -> None:
    """The demo corpus' conversations; ALIKE and CHANGE were chosen on those of other seeds."""
    ours, one = Errors(), Errors()
    for pool, number in itertools.product(demo.POOLS, range(demo.TALKS)):
        wave, rows, kind = demo.talk(0, pool, number)
        known = sorted(Turn(a, b, who) for who, a, b in rows)
        ours += errors(known, heard(wave.astype(np.float32) / 8, rate=kind.rate))
        one += errors(known, everything(len(wave) / kind.rate))
    print(f"DER {ours.rate:.1%}, one speaker {one.rate:.1%}")
    assert ours.rate < 0.5 * one.rate
