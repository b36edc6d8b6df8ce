"""Recordings through a classifier: which classes each holds, and when.

Reads: a recording, or every sound file below a folder. Writes: a table or JSON lines to the stream
it is given; to stderr how far it is and what cannot be read. Does: cuts a recording into windows as
the recipe does, one a second, and asks for all of them.

A recording's answer is the mean over its windows. A second's answer is that of the window whose
middle lies nearest to its own, so that a change shows in the second in which it is heard.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from training.data.index import DataError
from training.errors import plain
from training.folders import Bar, asked_for, clock, json_line, seconds_of, speed, told
from training.listening import SILENT, Tick, listened, untold
from training.run import say

Heard = Callable[[np.ndarray], np.ndarray]  # (n, samples) float32 -> (n, classes), sums of 1
BATCH = 32  # windows at once


@dataclass(frozen=True)
class Cut:
    """How a recipe cuts recordings; here a window starts at every second."""

    rate: int
    quality: str  # of soxr
    samples: int  # in a window
    enough: int  # samples that a window must have, but for the first
    pad: str  # repeat or zero

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> "Cut":
        audio, window = recipe["audio"], recipe["window"]
        enough = max(1, math.ceil(round(window["min_fill"] * window["samples"], 6)))
        return cls(audio["rate"], audio["resample"], window["samples"], enough, window["pad"])

    def windows(self, sound: Iterable[np.ndarray], most: int = BATCH) -> Iterator[np.ndarray]:
        """(at most `most`, samples) float32, from (frames,) blocks at the recipe's rate."""
        held, first, after = np.zeros(0, np.float32), True, max(self.samples, self.rate)
        for block in sound:
            held = np.concatenate([held, block])
            while len(held) >= (most - 1) * self.rate + after:
                yield np.stack([held[k * self.rate :][: self.samples] for k in range(most)])
                held, first = held[most * self.rate :], False
        rest = [held[at : at + self.samples] for at in range(0, len(held), self.rate)]
        rest = [x for k, x in enumerate(rest) if len(x) >= self.enough or (first and not k)]
        for at in range(0, len(rest), most):
            yield np.stack([self._filled(x) for x in rest[at : at + most]])

    def _filled(self, part: np.ndarray) -> np.ndarray:
        if self.pad == "repeat":
            return np.resize(part, self.samples)
        return np.pad(part, (0, self.samples - len(part)))

    def nearest(self, seconds: int, windows: int) -> np.ndarray:
        """Of each second, the window in whose middle it lies."""
        before = max(0, round((self.samples / self.rate - 1) / 2))
        return np.clip(np.arange(seconds) - before, 0, windows - 1)


@dataclass(frozen=True)
class Answer:
    """What is heard in one recording."""

    seconds: float
    whole: np.ndarray  # (classes,)
    each: np.ndarray  # (seconds, classes); the last second may be a part of one
    silent: bool = False  # it holds nothing but zeros


def classify_path(
    heard: Heard, recipe: Mapping[str, Any], classes: Sequence[str], source: Path, *,
    top: int = 3, as_json: bool = False, out: TextIO,
) -> int:  # fmt: skip
    """Classify a file, or every one below a folder; 0 when each of them could be read.

    A recording that cannot be read is named, and the others go on.
    """
    began, done, sound = time.monotonic(), 0, 0.0
    paths, passed = asked_for(source)
    with Bar(sum(map(seconds_of, paths)), len(paths)) as bar:
        for path in paths:
            bar.file(plain(path.name))
            try:
                answer = classified(heard, Cut.of(recipe), path, bar.add)
            except DataError as error:
                bar.say(plain(str(error)))
                if as_json:
                    bar.say(json_line({"path": str(path), "error": str(error)}, out), out)
                continue
            done, sound = done + 1, sound + answer.seconds
            line = _as_json(path, answer, classes, top)
            bar.say(json_line(line, out) if as_json else _as_table(path, answer, classes, top), out)
    took = time.monotonic() - began
    count, others = told(done, len(paths), passed)
    fast = speed(sound, took)
    say(f"classified {count}, {clock(sound)} of sound in {clock(took)} ({fast}){others}")
    return int(done < len(paths))


def classified(heard: Heard, cut: Cut, source: Path, tick: Tick = untold) -> Answer:
    """One recording of any length; `tick` is told the seconds that each block adds."""
    with listened(source, cut.rate, cut.quality, tick) as sound:
        found = [heard(batch) for batch in cut.windows(sound)]
        seconds, silent = sound.seconds, sound.silent
    if not found:
        raise DataError("holds no sound", source, do="leave it out")
    each = np.concatenate(found).astype(np.float64)
    by_second = each[cut.nearest(math.ceil(seconds), len(each))]
    return Answer(seconds, each.mean(axis=0), by_second, silent)


def _best(probabilities: np.ndarray, classes: Sequence[str], top: int) -> list[tuple[str, float]]:
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [(classes[k], round(float(probabilities[k]), 6)) for k in order]


def _as_json(path: Path, answer: Answer, classes: Sequence[str], top: int) -> dict[str, Any]:
    each = [{"start": k, "top": _best(p, classes, top)} for k, p in enumerate(answer.each)]
    row = {"path": str(path), "seconds": round(answer.seconds, 6)}
    row |= {"note": SILENT} if answer.silent else {}
    return row | {"top": _best(answer.whole, classes, top), "per_second": each}


def _as_table(path: Path, answer: Answer, classes: Sequence[str], top: int) -> str:
    whole = ", ".join(
        f"{plain(name)} {_percent(p)}" for name, p in _best(answer.whole, classes, top)
    )
    whole += f"  ({SILENT})" if answer.silent else ""
    rows = [(_span(a, b), plain(classes[k]), _percent(p)) for a, b, k, p in runs(answer.each)]
    wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{span:>{wide[0]}}  {name:<{wide[1]}}  {p:>5}" for span, name, p in rows]
    return "\n  ".join([f"{plain(str(path))}  {clock(answer.seconds)}  {whole}", *lines])


def runs(each: np.ndarray) -> list[tuple[int, int, int, float]]:
    """(start, end, class, its mean probability) of seconds in a row with the same first class."""
    found = []
    for best, group in groupby(enumerate(each), key=lambda one: int(np.argmax(one[1]))):
        seconds = [second for second, _ in group]
        start, end = seconds[0], seconds[-1] + 1
        found.append((start, end, best, float(each[start:end, best].mean())))
    return found


def _span(start: int, end: int) -> str:
    return f"{_moment(start)}-{_moment(end)}"


def _moment(second: int) -> str:
    minutes, rest = divmod(second, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %"
