"""The demo corpus' sound: every annotation is true of what is heard."""

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from pipeline.demo.music import Clip, make_artist, play
from pipeline.demo.plan import POOLS, clips, plan, pools, talk, voices
from pipeline.demo.sounds import CLASSES, NOISES, falling, rising, sound
from pipeline.demo.voices import utterance
from pipeline.rng import stream

PLAN = plan(0)


# ---- sound against annotation ------------------------------------------------------------------


def pitch_of(samples: np.ndarray, rate: int, low: float, high: float) -> np.ndarray:
    """Pitch (Hz) of the voiced frames by normalised autocorrelation, an octave of room around."""
    size, first, last = round(0.05 * rate), round(rate / (1.8 * high)), round(rate * 1.8 / low)
    found = []
    for at in range(0, len(samples) - size - last, size // 2):
        frame = samples[at : at + size]
        scores = []
        for lag in range(first, last):
            moved = samples[at + lag : at + lag + size]
            scores.append(frame @ moved / np.sqrt(frame @ frame * (moved @ moved) + 1e-9))
        if max(scores) > 0.85 and frame @ frame > 0.1 * size:
            near = [k for k, score in enumerate(scores) if score > 0.95 * max(scores)]
            found.append(rate / (first + near[0]))  # the shortest of equal lags is the period
    return np.array(found)


@pytest.mark.parametrize("which", [0, 6, 13, 19])
def test_pitch_of_a_voice_lies_in_its_range(which: int) -> None:
    voice = voices(0)[which]
    samples, _ = utterance(voice, 16000, 3, stream(5, "pitch", which))
    found = pitch_of(samples, 16000, voice.low, voice.high)
    assert len(found) > 20
    inside = (found > 0.97 * voice.low) & (found < 1.03 * voice.high)
    assert inside.mean() > 0.8
    assert voice.low < np.median(found) < voice.high


def test_voices_have_distinct_ranges_and_pools_share_nobody() -> None:
    lows = [v.low for v in voices(0)]
    assert all(b > 1.03 * a for a, b in zip(lows, lows[1:], strict=False))
    names = [v.name for people in pools(0).values() for v in people] + [v.name for v in voices(0)]
    assert len(set(names)) == len(names)


def test_speech_has_pauses_where_no_phrase_is_stated() -> None:
    samples, spans = utterance(voices(0)[8], 16000, 8, stream(0, "pauses"))
    assert len(spans) >= 2
    gaps = [b[0] - a[1] for a, b in zip(spans, spans[1:], strict=False)]
    assert min(gaps) >= 0.2
    between = samples[round((spans[0][1] + 0.04) * 16000) : round((spans[1][0] - 0.04) * 16000)]
    assert np.max(np.abs(between)) < 0.01


@pytest.mark.parametrize("pool", POOLS)
def test_rttm_is_true_of_the_sound(pool: str) -> None:
    people = {v.name: v for v in pools(0)[pool]}
    samples, rows, kind = talk(0, pool, 0)
    rms = librosa.feature.rms(y=samples, frame_length=256, hop_length=160, center=True)[0]
    times = np.arange(len(rms)) * 160 / kind.rate
    spoken, wide = np.zeros(len(rms), int), np.zeros(len(rms), bool)
    for _, start, end in rows:
        spoken += (times >= start) & (times < end)
        wide |= (times > start - 0.04) & (times < end + 0.04)
    assert rms[~wide].max() < 0.01  # silence outside
    assert np.mean(rms[spoken > 0] > 0.1) > 0.75  # sound inside, but for stops
    assert (spoken > 1).mean() > 0.01  # somebody interrupts
    assert {who for who, _, _ in rows} == set(people)
    for who, start, end in rows[:4]:
        alone = spoken[(times >= start) & (times < end)] == 1
        if alone.all():
            part = samples[round(start * kind.rate) : round(end * kind.rate)]
            middle = np.median(pitch_of(part, kind.rate, people[who].low, people[who].high))
            assert people[who].low <= middle <= people[who].high


def test_rttm_lines_have_ten_fields_inside_the_recording() -> None:
    talks = [item for item in PLAN if item.row.get("rttm")]
    assert len(talks) >= 6
    for item in talks:
        assert 15 <= item.seconds <= 25
        lines = item.beside[item.row["rttm"]]().splitlines()
        for line in lines:
            kind, name, channel, start, length, *rest = line.split(" ")
            assert (kind, name, channel) == ("SPEAKER", Path(item.path).stem, "1")
            assert rest[:2] == ["<NA>", "<NA>"]
            assert rest[2].startswith(item.row["group"])
            assert rest[3:] == ["<NA>", "<NA>"]
            assert float(length) > 0.3
            assert float(start) + float(length) <= item.seconds
        assert len({line.split()[7] for line in lines}) in (2, 3)


# ---- tags --------------------------------------------------------------------------------------


def played(clip: Clip) -> np.ndarray:
    sound = play(clip, make_artist(0, clip.artist), 22050, 4.0, stream(0, "test", clip.artist))
    return sound.mean(axis=1)


def power(sound: np.ndarray, low: float, high: float) -> float:
    spectrum = np.abs(np.fft.rfft(sound)) ** 2
    hertz = np.fft.rfftfreq(len(sound), 1 / 22050)
    return float(spectrum[(hertz >= low) & (hertz < high)].sum() / spectrum.sum())


def test_tags_cover_the_vocabulary_and_exclude_each_other() -> None:
    counts = Counter(tag for clip in clips(0) for tag in clip.tags)
    assert 8 <= len(counts) <= 10
    assert all(5 <= n <= 27 for n in counts.values())
    for a, b in [("fast", "slow"), ("drums", "no-drums"), ("plucked", "pad"), ("major", "minor")]:
        assert all((a in clip.tags) != (b in clip.tags) for clip in clips(0))
    rows = {i.path: i.row["tags"] for i in PLAN if i.row["role"] == "music"}
    assert list(rows.values()) == ["|".join(clip.tags) for clip in clips(0)]


@pytest.mark.parametrize("clip", clips(0)[::5], ids=lambda clip: clip.artist)
def test_tags_are_true_of_the_sound(clip: Clip) -> None:
    plain = played(replace(clip, drums=False))
    assert (power(plain, 40, 125) > 0.02) == ("bass" in clip.tags)
    full = played(clip)
    assert (power(full, 7000, 11025) > 2e-4) == ("drums" in clip.tags)
    lead = played(replace(clip, drums=False, bass=False))
    start, later = np.abs(lead[:1100]).max(), np.abs(lead[2640:3960]).max()
    assert (start > later) == ("plucked" in clip.tags)
    bar = lead[: round(2 * 60 / clip.beats_per_minute * 22050)]  # the tonic's chord
    third = {
        mode: power(bar, *(440 * 2 ** ((clip.tonic + step - 69 + d) / 12) for d in (-0.4, 0.4)))
        for mode, step in (("major", 4), ("minor", 3))
    }
    assert max(third, key=third.__getitem__) in clip.tags
    onsets = librosa.onset.onset_detect(
        y=played(replace(clip, lead="plucked")), sr=22050, units="time"
    )
    assert (len(onsets) / 4 > 3.5) == ("fast" in clip.tags)  # two notes a beat


# ---- noise -------------------------------------------------------------------------------------


def colour(label: str, source: int, take: int) -> np.ndarray:
    x = sound(label, stream(0, label, source), stream(0, "t", source, take), 32000, 16000)
    mel = librosa.feature.melspectrogram(y=x, sr=16000, n_mels=20)
    return np.log(mel + 1e-6).mean(axis=1)


@pytest.mark.parametrize("label", CLASSES)
def test_takes_of_one_source_are_alike_and_not_equal(label: str) -> None:
    takes = [colour(label, source, 0) for source in range(4)]
    again = [colour(label, source, 1) for source in range(4)]
    same = np.mean([np.linalg.norm(a - b) for a, b in zip(takes, again, strict=True)])
    other = np.mean(
        [np.linalg.norm(takes[i] - again[j]) for i in range(4) for j in range(4) if i != j]
    )
    assert 0 < same < 0.6 * other


def test_a_falling_siren_is_a_rising_one_backwards() -> None:
    for source in range(5):
        up = rising(stream(0, "s", source), stream(0, "t", source), 48000, 16000)
        down = falling(stream(0, "s", source), stream(0, "t", source), 48000, 16000)
        assert np.array_equal(up, down[::-1])
        pitches = librosa.feature.spectral_centroid(y=up, sr=16000, hop_length=160)[0, 5:-5]
        moves = np.diff(pitches)
        assert np.sum(moves > 0) > 2 * np.sum(moves < 0)  # it falls in the gaps alone, and fast
    assert set(CLASSES) - set(NOISES) == {"siren-rising", "siren-falling"}


# ---- the whole corpus --------------------------------------------------------------------------


@pytest.mark.slow
def test_noise_classes_are_neither_trivial_nor_hopeless() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, labels, groups = [], [], []
    for item in PLAN:
        if item.row.get("label") and not item.path.startswith("broken/"):
            x, rate = soundfile.read(io.BytesIO(item.make()), always_2d=True)
            y = librosa.resample(x.mean(axis=1), orig_sr=rate, target_sr=16000)
            mfcc = librosa.feature.mfcc(y=y, sr=16000, n_mfcc=20)
            rows.append(np.concatenate([mfcc.mean(axis=1), mfcc.std(axis=1)]))
            labels.append(item.row["label"])
            groups.append(item.row["group"])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    folds = StratifiedGroupKFold(7, shuffle=True, random_state=0)
    guess = cross_val_predict(model, np.array(rows), labels, groups=groups, cv=folds)
    assert 0.65 < np.mean(guess == np.array(labels)) < 0.95
