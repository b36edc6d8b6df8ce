"""Who speaks when, told from sound alone: labels for recordings that have none.

Reads and writes nothing: samples come from a function that is given, a minute at a time, so that
ten hours need little more memory than ten minutes. Does, in this order:

- speech: energies of 10 ms frames of the whole recording, and voice.spans of them;
- numbers: MFCCs of the speech, from our own mel kernel, averaged over STEP frames, then normalised
  over the recording (mean 0, deviation 1);
- embeddings: the mean of those over WINDOW seconds of one span, every HOP seconds; a shorter span
  is one. (Deviations beside the means made real voices worse, 46 to 51 % for 44 to 47 % error.)
- speakers: clusters.py groups the embeddings into as many as there may be, then goes over the
  speech step by step, and joins whoever sounds alike.

These labels are guesses: overlap is never found, and who sounds alike is one speaker.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pipeline.dsp import clusters, mel, voice
from pipeline.dsp.mel import MelSpec

Read = Callable[[int, int], np.ndarray]  # samples [start, stop) of a recording, float32
Span = tuple[int, int]

CHUNK = 6000  # frames of 10 ms held at once: a minute
STEP = 5  # frames that become one row of numbers: 50 ms, a third of the shortest utterance
WINDOW, HOP = 30, 15  # steps: 1.5 s holds several syllables, and seldom more than one speaker
MELS, COEFFICIENTS = 40, 24  # the first of these is loudness, which is nobody's own: it is left out
LOW, HIGH = 50.0, 7600.0  # Hz: where voices are
AMIN = 1e-10  # power; under it all is silence
LEAST = 1.0  # dB; numbers of speech vary by 5 to 20, those of a hum by next to nothing


def turns(read: Read, length: int, rate: int, most: int) -> list[tuple[int, int, int]]:
    """(start, stop, speaker) in samples, speakers numbered from 1 in the order of their first turn,
    `most` of them at most."""
    frame = max(1, round(voice.FRAME * rate))
    spans = voice.spans(powers(read, length, frame))
    if not spans:
        return []
    rows, places = numbers(read, spans, rate, frame)
    rows = normal(rows)
    windows = cut(places)
    groups = clusters.grouped(np.array([rows[a:b].mean(axis=0) for a, b in windows]), most)
    who = clusters.refined(rows, owned(windows, groups, len(rows)), near(places))
    return _joined(places, who, spans, frame)


def powers(read: Read, length: int, frame: int) -> np.ndarray:
    """(frames,) the power of each frame of 10 ms; an offset of the whole is no sound."""
    squares, sums = [np.zeros(0)], [np.zeros(0)]
    for start in range(0, length // frame * frame, CHUNK * frame):
        stop = min(start + CHUNK * frame, length // frame * frame)
        rows = read(start, stop).astype(np.float64).reshape(-1, frame)
        squares.append(np.square(rows).mean(axis=1))
        sums.append(rows.mean(axis=1))
    power, mean = np.concatenate(squares), np.concatenate(sums)
    offset = mean.mean() if len(mean) else 0.0
    mean *= 2.0 * offset  # the mean of (x - offset)^2, without another look at x
    power -= mean
    power += offset**2
    return np.maximum(power, 0.0, out=power)


def numbers(
    read: Read, spans: Sequence[Span], rate: int, frame: int
) -> tuple[np.ndarray, np.ndarray]:
    """((steps, numbers) float32 dB, (steps,) the first frame of each): the speech, step by step."""
    spec = _spec(rate, frame)
    rows, places = [], []
    for start, stop in _pieces(spans):
        wave = read(start * frame, (stop - 1) * frame + spec.n_fft)
        short = (stop - start - 1) * frame + spec.n_fft - len(wave)
        power = mel.mel_power(np.pad(wave, (0, max(0, short))), spec)
        cepstrum = mel.mfcc(mel.decibels(power, ref=1.0, amin=AMIN, top_db=None), COEFFICIENTS)
        firsts = np.arange(0, stop - start, STEP)
        counts = np.minimum(STEP, stop - start - firsts)[:, None]
        rows.append(np.add.reduceat(cepstrum[: stop - start, 1:], firsts, axis=0) / counts)
        places.append(start + firsts)
    return np.concatenate(rows).astype(np.float32), np.concatenate(places)


def _spec(rate: int, frame: int) -> MelSpec:
    """Windows of 25 ms, each from the beginning of its frame on."""
    win = round(0.025 * rate)
    n_fft = 1 << max(8, (win - 1).bit_length())  # 128 bins or more: for bands at any rate
    high = min(HIGH, rate / 2)
    return MelSpec(rate, n_fft, frame, MELS, fmin=LOW, fmax=high, win=win, center=False)


def _pieces(spans: Sequence[Span]) -> Iterator[Span]:
    """Spans, long ones in parts of whole steps."""
    for start, stop in spans:
        for first in range(start, stop, CHUNK):
            yield first, min(first + CHUNK, stop)


def normal(rows: np.ndarray) -> np.ndarray:
    """Mean 0 and deviation 1 over the recording, in place."""
    rows -= rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    rows /= np.maximum(rows.std(axis=0, dtype=np.float64), LEAST).astype(np.float32)
    return rows


def near(places: np.ndarray) -> np.ndarray:
    """(steps,) whether a step follows the one before it without a pause."""
    return np.concatenate([[False], np.diff(places) <= STEP])


def cut(places: np.ndarray) -> list[Span]:
    """Windows in steps: they lie evenly in each span, HOP from each other at most."""
    edges = np.flatnonzero(np.concatenate([~near(places), [True]]))
    found = []
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        count = 1 + max(0, -(-(stop - start - WINDOW) // HOP))
        firsts = np.linspace(start, max(start, stop - WINDOW), count).round().astype(int)
        found += [(int(first), int(min(first + WINDOW, stop))) for first in firsts]
    return found


def owned(windows: Sequence[Span], groups: np.ndarray, steps: int) -> np.ndarray:
    """(steps,) the group of each step: where two windows overlap, each has its half."""
    found = np.zeros(steps, int)
    last = 0
    for (start, stop), group in zip(windows, groups, strict=True):
        first = (start + last) // 2 if last > start else start
        found[first:stop] = group
        last = stop
    return found


def _joined(
    places: np.ndarray, who: np.ndarray, spans: Sequence[Span], frame: int
) -> list[tuple[int, int, int]]:
    """Steps of one speaker that follow each other are one turn."""
    ends = np.array([stop for _, stop in spans])
    number = {group: k + 1 for k, group in enumerate(dict.fromkeys(who.tolist()))}
    fresh = np.concatenate([[True], (who[1:] != who[:-1]) | ~near(places)[1:]])
    firsts = np.flatnonzero(fresh)
    lasts = np.append(firsts[1:], len(who)) - 1
    found = []
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        limit = ends[np.searchsorted(ends, places[last], side="right")]
        stop = int(min(places[last] + STEP, limit))
        found.append((int(places[first]) * frame, stop * frame, number[int(who[first])]))
    return found
