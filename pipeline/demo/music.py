"""Music for the demo corpus: short clips whose tags are true by construction.

Reads and writes nothing. Does: draws a plan (tempo, mode, instruments), turns it into notes and
hits, and plays them with an artist's timbres. The same plan names the tags.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.signal import fftconvolve

from pipeline.demo.voices import series
from pipeline.rng import stream

Floats = NDArray[np.float64]
Rng = np.random.Generator

# Roots in semitones above the tonic and whether each triad is major; the tonic's comes first.
PROGRESSIONS: dict[str, list[list[tuple[int, bool]]]] = {
    "major": [[(0, True), (7, True), (9, False), (5, True)],
              [(0, True), (5, True), (7, True), (0, True)],
              [(0, True), (9, False), (5, True), (7, True)]],
    "minor": [[(0, False), (8, True), (3, True), (10, True)],
              [(0, False), (5, False), (7, False), (0, False)],
              [(0, False), (3, True), (8, True), (5, False)]],
}  # fmt: skip
TAGS = (
    "fast", "slow", "drums", "no-drums", "plucked", "pad", "bass", "backwards", "rising", "falling",
    "major", "minor",
)  # fmt: skip


@dataclass(frozen=True)
class Clip:
    """What is played. `tonic` is a MIDI note number."""

    artist: str
    beats_per_minute: float  # fast is 132..168, slow 64..88
    mode: str  # major or minor
    lead: str  # plucked or pad
    drums: bool
    bass: bool
    tonic: int
    backwards: bool = False
    glide: int = 0  # semitones that each of the lead's notes rises, before it is played backwards

    @property
    def tags(self) -> list[str]:
        speed = "fast" if self.beats_per_minute > 110 else "slow"
        beat = "drums" if self.drums else "no-drums"
        heard = -self.glide if self.backwards else self.glide
        there = {"bass": self.bass, "backwards": self.backwards, "rising": heard > 0}
        there["falling"] = heard < 0
        return [speed, beat, self.lead, *(tag for tag in there if there[tag]), self.mode]


@dataclass(frozen=True)
class Artist:
    """Timbres that all of one artist's clips share."""

    name: str
    brightness: float  # dB per octave over the harmonics
    decay: float  # seconds, of plucked notes
    detune: float  # Hz between the pad's two layers
    kick: float  # Hz
    snare: float  # Hz
    hat: float  # share of the drums' level
    side: float  # how far the lead stands from the middle, -1..1
    room: float  # level of the reverberation


def make_artist(seed: int, name: str) -> Artist:
    rng = stream(seed, "demo artist", name)
    return Artist(
        name, rng.uniform(-11, -5), rng.uniform(0.15, 0.5), rng.uniform(0.3, 1.6),
        rng.uniform(45, 62), rng.uniform(160, 260), rng.uniform(0.15, 0.45),
        rng.uniform(-0.6, 0.6), rng.uniform(0.05, 0.3),
    )  # fmt: skip


def make_clip(seed: int, artist: str, number: int) -> Clip:
    """Clips number the combinations of tags in turn, so that every tag is often true and false."""
    rng = stream(seed, "demo clip", artist, number)
    fast, drums, bass = number % 2 == 0, number // 2 % 2 == 0, rng.random() < 0.5
    return Clip(
        artist,
        rng.uniform(132, 168) if fast else rng.uniform(64, 88),
        "major" if rng.random() < 0.5 else "minor",
        "plucked" if rng.random() < 0.5 else "pad",
        drums,
        bass,
        int(rng.integers(57, 69)),
    )


@dataclass(frozen=True)
class Levels:
    """How loud bass and drums are beside the lead, whose peak is a half."""

    bass: float = 0.35
    drums: float = 0.5


def play(
    clip: Clip, artist: Artist, rate: int, seconds: float, rng: Rng, levels: Levels = Levels()
) -> Floats:
    """(samples, 2), peak 1."""
    n, beat = round(seconds * rate), 60.0 / clip.beats_per_minute
    chords = PROGRESSIONS[clip.mode][rng.integers(3)]
    lead, low, drums = np.zeros(n), np.zeros(n), np.zeros(n)
    for k in range(int(np.ceil(seconds / beat))):
        root, is_major = chords[k // 2 % 4]
        triad = [clip.tonic + root + step for step in (0, 4 if is_major else 3, 7)]
        if clip.lead == "plucked":
            for half in (0.0, 0.5):
                note = triad[(2 * k + int(2 * half)) % 3]
                _add(lead, _pluck(artist, note, rate, clip.glide), (k + half) * beat, rate)
        elif k % 2 == 0:
            for note in triad:
                _add(lead, _pad(artist, note, 2 * beat, rate, clip.glide), k * beat, rate)
        if clip.bass:
            octaves = 2 if triad[0] - 24 < 46 else 3
            _add(low, _bass(triad[0] - 12 * octaves, 0.9 * beat, rate), k * beat, rate)
        if clip.drums:
            _hit(artist, drums, k, beat, rate, rng)
    lead += artist.room * fftconvolve(lead, _room(rate, rng))[:n]
    middle = levels.bass * low / _peak(low) + levels.drums * drums / _peak(drums)
    lead *= 0.5 / _peak(lead)
    angle = np.pi / 4 * (1 + artist.side)
    both = np.stack([middle + np.cos(angle) * lead, middle + np.sin(angle) * lead], axis=1)
    both = both[::-1] if clip.backwards else both
    return both / _peak(both)


def worn(sound: Floats, rate: int, rng: Rng) -> Floats:
    """(samples, channels) as an old tape has it: hiss, and an equaliser that nobody set right, so
    that no tag is told by the average spectrum alone; peak 1."""
    size = next_fast_len(len(sound), real=True)
    bands = np.log2(np.maximum(np.fft.rfftfreq(size, 1 / rate), 40.0))
    decibels = np.interp(bands, np.log2([60, 250, 1000, 4000, 12000]), rng.normal(0, 6, 5))
    spectrum = np.fft.rfft(sound, size, axis=0) * 10 ** (decibels / 20)[:, None]
    out = np.fft.irfft(spectrum, size, axis=0)[: len(sound)]
    out = out / _peak(out)
    hiss = 10 ** (rng.uniform(-60, -30) / 20)
    out += hiss * rng.standard_normal(out.shape)
    return out / _peak(out)


def _peak(x: Floats) -> float:
    return max(float(np.max(np.abs(x))), 1e-9)


def _add(out: Floats, sound: Floats, at: float, rate: int) -> None:
    first = round(at * rate)
    if first < len(out):
        out[first : first + len(sound)] += sound[: len(out) - first]


def _hertz(note: int) -> float:
    return float(440.0 * 2 ** ((note - 69) / 12))


def _levels(artist: Artist, pitch: float, rate: int, most: int) -> list[float]:
    ks = range(1, min(most, int(0.45 * rate / pitch)) + 1)
    return [float(k ** (artist.brightness / 6.02)) for k in ks]


def _turns(t: Floats, glide: int) -> Floats:
    """Seconds, as a pitch counts them that rises by `glide` semitones over t."""
    if not glide:
        return t
    rise = np.log(2) * glide / 12 / t[-1]
    return np.asarray(np.expm1(rise * t) / rise)


def _pluck(artist: Artist, note: int, rate: int, glide: int) -> Floats:
    t, pitch = np.arange(round(4 * artist.decay * rate)) / rate, _hertz(note)
    levels = _levels(artist, pitch, rate, 12)
    fade = np.exp(-t / artist.decay / 2)  # harmonic k dies with (k + 1) times this rate
    return fade * series(pitch * _turns(t, glide), levels, fade)


def _pad(artist: Artist, note: int, seconds: float, rate: int, glide: int) -> Floats:
    t, pitch = np.arange(round((seconds + 0.25) * rate)) / rate, _hertz(note)
    levels = _levels(artist, pitch, rate, 8)
    layers = [pitch - artist.detune / 2, pitch + artist.detune / 2]
    turns = _turns(t, glide)
    out = series(layers[0] * turns, levels) + series(layers[1] * turns, levels)
    return out * np.clip(np.minimum(t / 0.2, (t[-1] - t) / 0.25), 0, 1)


def _bass(note: int, seconds: float, rate: int) -> Floats:
    t, pitch = np.arange(round(seconds * rate)) / rate, _hertz(note)
    out = np.sin(2 * np.pi * pitch * t) + 0.3 * np.sin(4 * np.pi * pitch * t)
    return out * np.clip(np.minimum(t / 0.01, (t[-1] - t) / 0.03), 0, 1)


def _hit(artist: Artist, out: Floats, k: int, beat: float, rate: int, rng: Rng) -> None:
    """Kick on even beats, snare on odd ones, hats on every half."""
    t = np.arange(round(0.2 * rate)) / rate
    if k % 2 == 0:
        sweep = artist.kick * (t + 0.04 * (1 - np.exp(-t / 0.02)))  # cycles: falls from 3 x kick
        _add(out, np.exp(-t / 0.07) * np.sin(2 * np.pi * sweep), k * beat, rate)
    else:
        rattle = rng.standard_normal(len(t)) * 0.4 + np.sin(2 * np.pi * artist.snare * t) * 0.5
        _add(out, np.exp(-t / 0.05) * rattle, k * beat, rate)
    hat = np.diff(rng.standard_normal(len(t) + 1)) * np.exp(-t / 0.015)
    for half in (0.0, 0.5):
        _add(out, artist.hat * hat, (k + half) * beat, rate)


def _room(rate: int, rng: Rng) -> Floats:
    t = np.arange(round(0.5 * rate)) / rate
    tail = rng.standard_normal(len(t)) * np.exp(-t / 0.1)
    return np.asarray(tail / np.sqrt(np.sum(tail**2)))
