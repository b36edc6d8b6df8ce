"""Speech-like sound for the demo corpus: voices, utterances and conversations.

Reads and writes nothing. Does: a source-filter model. Glottal pulses and hiss are shaped, frame
by frame, by formants that move between vowels, so that the result has pitch, harmonics, formants
and pauses, and is plainly synthetic.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import istft, stft

from pipeline.rng import stream

Floats = NDArray[np.float64]
Rng = np.random.Generator
Span = tuple[float, float]  # start and end, seconds

FRAME = 0.005  # seconds between control points

# F1, F2, F3 of ten English vowels, men's averages, Hz (Peterson and Barney, JASA 24, 1952).
VOWELS = np.array(
    [
        (270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410),
        (730, 1090, 2440), (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240),
        (640, 1190, 2390), (490, 1350, 1690),
    ],
    dtype=float,
)  # fmt: skip
LOCI = np.array([(300, 900, 2300), (320, 1750, 2600), (300, 2200, 2900)], dtype=float)
NASAL = np.array([250, 1100, 2300], dtype=float)
BANDWIDTHS = np.array([70, 100, 150, 220, 300], dtype=float)  # Hz
STRENGTHS = np.array([1.0, 0.55, 0.3, 0.15, 0.1])
LENGTHS = {"fricative": (12, 24), "stop": (11, 19), "nasal": (9, 15), "none": (0, 1)}  # frames


@dataclass(frozen=True)
class Voice:
    """One speaker. Pitch never leaves low..high (Hz)."""

    name: str
    low: float
    high: float
    tract: float  # formants are multiplied by it: a short tract has high formants
    open_quotient: float
    breath: float
    tempo: float  # syllables per second


@dataclass
class Tracks:
    """Control values, one per FRAME."""

    formants: Floats  # (frames, 3) Hz
    pitch: Floats  # Hz
    voiced: Floats  # amplitude
    hiss: Floats  # amplitude
    centre: Floats  # Hz, of the hiss
    spans: list[Span] = field(default_factory=list)


def series(phase: Floats, levels: list[float], fade: Floats | float = 1.0) -> Floats:
    """Harmonics of a phase track (cycles); the k-th has level k and is damped k times by `fade`."""
    turn = np.exp(2j * np.pi * phase) * fade
    out, power = np.zeros(len(phase)), np.ones(len(phase), dtype=complex)
    for level in levels:
        power *= turn
        out += level * power.imag
    return out


def make_voice(seed: int, name: str, place: float) -> Voice:
    """A voice whose pitch range is set by its place in 0..1 and the rest by its name."""
    rng = stream(seed, "demo voice", name)
    middle = 85.0 * 3.0**place
    return Voice(
        name=name,
        low=0.8 * middle,
        high=1.25 * middle,
        tract=0.95 + 0.2 * place + rng.uniform(-0.04, 0.04),
        open_quotient=rng.uniform(0.5, 0.75),
        breath=rng.uniform(0.02, 0.12),
        tempo=rng.uniform(3.6, 5.6),
    )


def utterance(voice: Voice, rate: int, seconds: float, rng: Rng) -> tuple[Floats, list[Span]]:
    """Phrases with pauses: (samples,) at unit speech RMS, and each phrase's start and end."""
    n = round(seconds * rate)
    tracks = _tracks(voice, seconds, rng)
    times = FRAME * np.arange(len(tracks.pitch), dtype=np.float64)
    at = np.arange(n) / rate
    pulses: Floats = _pulses(voice, np.interp(at, times, tracks.pitch), rate, rng) * np.interp(
        at, times, tracks.voiced
    )
    hiss: Floats = rng.standard_normal(n) * np.interp(at, times, tracks.hiss)
    out = _shape(pulses, rate, times, tracks, voice) + _shape_hiss(hiss, rate, times, tracks)
    spoken = np.zeros(n, dtype=bool)
    for start, end in tracks.spans:
        spoken[round(start * rate) : round(end * rate)] = True
    return out / max(float(np.sqrt(np.mean(out[spoken] ** 2))), 1e-9), tracks.spans


def conversation(
    voices: list[Voice], rate: int, seconds: float, rng: Rng
) -> tuple[Floats, list[tuple[str, float, float]]]:
    """Turns of two or more voices, some overlapping: (samples,) and (name, start, end) rows."""
    n = round(seconds * rate)
    out, rows = np.zeros(n), []
    gains = {v.name: 10 ** (rng.uniform(-3, 3) / 20) for v in voices}
    begin, last, ends = 0.3, -1, {v.name: 0.0 for v in voices}
    for turn in range(1000):
        who = turn if turn < len(voices) else int(rng.integers(len(voices)))
        if who == last:
            continue
        voice, length = voices[who], rng.uniform(1.6, 3.8)
        begin = max(begin, ends[voice.name] + 0.2)  # nobody talks over himself
        length = min(length, seconds - begin - 0.1)
        if length < 1.2:
            break
        samples, spans = utterance(voice, rate, length, rng)
        first = round(begin * rate)
        out[first : first + len(samples)] += gains[voice.name] * samples[: n - first]
        rows += [(voice.name, begin + a, begin + b) for a, b in spans]
        ends[voice.name] = begin + spans[-1][1]
        overlap = rng.random() < 0.35
        begin = ends[voice.name] + (-rng.uniform(0.4, 0.9) if overlap else rng.uniform(0.1, 0.8))
        last = who
    return out, sorted(rows, key=lambda row: row[1])


def _tracks(voice: Voice, seconds: float, rng: Rng) -> Tracks:
    frames = int(np.ceil(seconds / FRAME)) + 1
    tracks = Tracks(
        np.tile(VOWELS[8], (frames, 1)), np.full(frames, voice.low),
        np.zeros(frames), np.zeros(frames), np.full(frames, 4000.0),
    )  # fmt: skip
    start = rng.uniform(0.06, 0.2)
    while start < seconds - 0.6 or not tracks.spans:
        end = min(start + rng.uniform(0.9, 2.4), seconds - 0.06)
        tracks.spans.append(_phrase(tracks, voice, start, end, rng))
        start = tracks.spans[-1][1] + rng.uniform(0.25, 0.6)
    tracks.formants = gaussian_filter1d(tracks.formants, 5, axis=0, mode="nearest")
    tracks.voiced = gaussian_filter1d(tracks.voiced, 1.6)
    tracks.hiss = gaussian_filter1d(tracks.hiss, 0.8)
    return tracks


def _phrase(tracks: Tracks, voice: Voice, start: float, end: float, rng: Rng) -> Span:
    """Fill one phrase; its pitch declines from high to low, with an accent on each syllable."""
    first, last = round(start / FRAME), round(end / FRAME)
    at, pitch_bumps = first, np.zeros(last - first)
    while at < last:
        kind = str(rng.choice(list(LENGTHS), p=(0.35, 0.25, 0.2, 0.2)))
        if at == first and kind == "stop":
            kind = "none"  # a closure would be silence inside the phrase's stated start
        vowel = _consonant(tracks, kind, at, last, rng)
        length = max(14, round(rng.uniform(0.75, 1.25) / voice.tempo / FRAME) - (vowel - at))
        stop = last if vowel + length > last - 16 else vowel + length
        stress = rng.uniform(0.6, 1.0)
        tracks.voiced[vowel:stop] = stress * _arch(stop - vowel)
        tracks.formants[vowel:stop] = VOWELS[rng.integers(len(VOWELS))]
        pitch_bumps += (stress - 0.6) * np.exp(
            -0.5 * ((np.arange(first, last) - (vowel + stop) / 2) / 12) ** 2
        )
        at = stop
    fade = min(24, last - first)
    tracks.voiced[last - fade : last] *= np.linspace(1, 0.3, fade)
    fall = np.linspace(0.8, rng.uniform(0.05, 0.3), last - first) + 0.6 * pitch_bumps
    wobble = 0.015 * gaussian_filter1d(rng.standard_normal(last - first), 1.0)
    pitch = voice.low * (voice.high / voice.low) ** np.clip(fall, 0, 1) * (1 + wobble)
    tracks.pitch[first:last] = np.clip(pitch, voice.low, voice.high)
    return first * FRAME, last * FRAME


def _arch(frames: int) -> Floats:
    """A vowel's loudness: 0.6 at its ends, 1 in its middle."""
    return 0.4 + 0.6 * np.sin(np.linspace(0.3, np.pi - 0.3, frames))


def _consonant(tracks: Tracks, kind: str, at: int, last: int, rng: Rng) -> int:
    """Write one consonant at frame `at`; returns the frame where its vowel starts."""
    shortest, longest = LENGTHS[kind]
    stop = min(at + int(rng.integers(shortest, longest)), last - 16)
    if stop <= at:
        return at
    tracks.formants[at:stop] = NASAL if kind == "nasal" else LOCI[rng.integers(len(LOCI))]
    if kind == "nasal":
        tracks.voiced[at:stop] = 0.35
    elif kind == "fricative":
        tracks.hiss[at:stop] = rng.uniform(0.25, 0.6)
        tracks.centre[at:stop] = rng.uniform(2500, 6500)
        tracks.voiced[at:stop] = rng.choice((0.0, 0.0, 0.25))
    else:
        tracks.hiss[stop - 4 : stop] = (0.9, 0.6, 0.25, 0.15)  # burst, then aspiration
        tracks.centre[stop - 4 : stop] = rng.uniform(1200, 4500)
    return stop


def _pulses(voice: Voice, pitch: Floats, rate: int, rng: Rng) -> Floats:
    """Glottal flow derivative, 2t - 3t^2/q while open (Klatt and Klatt, JASA 87, 1990)."""
    phase = np.cumsum(pitch) / rate
    cycle = phase.astype(int)
    shimmer = 1 + 0.06 * rng.standard_normal(int(cycle[-1]) + 1)
    t, q = phase - cycle, voice.open_quotient
    flow = np.where(t < q, 2 * t / q - 3 * (t / q) ** 2, 0.0) * shimmer[cycle]
    return flow + voice.breath * rng.standard_normal(len(pitch)) * (t < q)


def _shape(x: Floats, rate: int, times: Floats, tracks: Tracks, voice: Voice) -> Floats:
    def gain(hertz: Floats, at: Floats) -> Floats:
        moving = [np.interp(at, times, tracks.formants[:, k]) for k in range(3)]
        moving += [np.full(len(at), 3500.0), np.full(len(at), 4500.0)]
        total = np.full((len(hertz), len(at)), 0.01)
        for centre, width, strength in zip(moving, BANDWIDTHS, STRENGTHS, strict=True):
            away = (hertz[:, None] - voice.tract * centre) / (width / 2)
            total += strength / np.sqrt(1 + away**2)
        return total

    return _filtered(x, rate, gain)


def _shape_hiss(x: Floats, rate: int, times: Floats, tracks: Tracks) -> Floats:
    def gain(hertz: Floats, at: Floats) -> Floats:
        centre = np.minimum(np.interp(at, times, tracks.centre), 0.4 * rate)
        octaves = np.log2(np.maximum(hertz, 20.0)[:, None] / centre)
        return 0.18 * np.exp(-0.5 * (octaves / 0.5) ** 2)

    return _filtered(x, rate, gain)


def _filtered(x: Floats, rate: int, gain) -> Floats:  # type: ignore[no-untyped-def]
    size, hop = round(0.02 * rate), round(0.005 * rate)
    hertz, at, spectrum = stft(x, rate, nperseg=size, noverlap=size - hop)
    return istft(spectrum * gain(hertz, at), rate, nperseg=size, noverlap=size - hop)[1][: len(x)]
