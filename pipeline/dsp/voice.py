"""Where in a recording somebody speaks.

Reads and writes nothing. Does: voice activity by energy. Frames of 10 ms, smoothed over 50 ms, are
compared with a threshold between the recording's own floor (the quietest frames) and its own
active level (the loudest): a stretch starts and ends where it rises over a low threshold, and
counts if it passes a high one. A pause under PAUSE is part of speech, as in the scoring of
diarizers; what is shorter than SHORTEST is a click.

It tells sound from silence, not speech from other sound, and it needs some quiet: where nothing
in a recording is quieter than the rest, all of it is taken for speech.
"""

import numpy as np

from pipeline.dsp.levels import FLOOR

FRAME = 0.01  # s
SMOOTH = 5  # frames: longer than a period of any voice, shorter than any sound of speech
PAUSE = 0.3  # s; NIST's evaluations join a speaker's segments over pauses up to this
SHORTEST = 0.15  # s; the shortest words, "a" or "oh", last about this
QUIET, LOUD = 5, 95  # percentiles of the frames: the floor and the active level
RANGE = (30.0, 36.0)  # dB under the active level: soft consonants lie that far under vowels
ABOVE = (9.0, 5.0)  # dB over the floor, at least, to be heard as voice: high and low threshold
PARTS = (0.5, 0.33)  # in loud noise, where that is too much: parts of the way to the active level
PLAIN = 3.0  # dB; a floor nearer to the active level than this is no floor


def active(wave: np.ndarray, rate: int) -> list[tuple[int, int]]:
    """(start, stop) in samples of each stretch of wave (n,) in which somebody speaks."""
    frame = max(1, round(FRAME * rate))
    count = len(wave) // frame
    if count == 0:
        return []
    rows = wave[: count * frame].astype(np.float64).reshape(count, frame)
    rows -= rows.mean()  # an offset is no sound
    return [(a * frame, b * frame) for a, b in spans(np.square(rows).mean(axis=1))]


def spans(power: np.ndarray) -> list[tuple[int, int]]:
    """The same in frames, from the power of each; so a long recording need not be held whole."""
    if len(power) == 0:
        return []
    levels = _decibels(_smoothed(power))
    low, high = _thresholds(levels)
    found = _joined(_over(levels, _decibels(power), low, high), round(PAUSE / FRAME))
    return [(a, b) for a, b in found if b - a >= SHORTEST / FRAME]


def _smoothed(power: np.ndarray) -> np.ndarray:
    """The mean of SMOOTH frames around each, fewer at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(power)])
    places = np.arange(len(power))
    first = np.maximum(places - SMOOTH // 2, 0)
    last = np.minimum(places + SMOOTH // 2 + 1, len(power))
    mean: np.ndarray = (sums[last] - sums[first]) / (last - first)
    return mean


def _decibels(power: np.ndarray) -> np.ndarray:
    """-200 dB for nothing: the difference of two sums may even lie under it."""
    level: np.ndarray = 10.0 * np.log10(np.maximum(power, 1e-20))
    return level


def _thresholds(levels: np.ndarray) -> tuple[float, float]:
    """(low, high) in dB."""
    floor, loud = np.percentile(levels, [QUIET, LOUD])
    silence = 20.0 * np.log10(FLOOR)
    floor = max(floor, silence)
    if loud - floor < PLAIN:  # nothing is quieter than the rest: all is speech, or all is silence
        return silence, silence
    high, low = (
        max(loud - under, floor + min(above, part * (loud - floor)))
        for under, above, part in zip(RANGE, ABOVE, PARTS, strict=True)
    )
    return float(low), float(high)


def _over(levels: np.ndarray, own: np.ndarray, low: float, high: float) -> list[tuple[int, int]]:
    """Runs of frames over `low` that reach `high`, less what smoothing added at their ends: frames
    whose own level lies under it."""
    over = np.concatenate([[False], levels > low, [False]])
    edges = np.flatnonzero(over[1:] != over[:-1])
    spans = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        inside = np.flatnonzero(own[start:stop] > low)
        if len(inside) and levels[start:stop].max() > high:
            spans.append((int(start + inside[0]), int(start + inside[-1]) + 1))
    return spans


def _joined(spans: list[tuple[int, int]], pause: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, stop in spans:
        if found and start - found[-1][1] < pause:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found
