"""Tracks through a tagger: which tags each has, and when.

Reads: a recording, or every sound file below a folder. Writes: a table or JSON lines to the stream
it is given; for each track a taggram, the tags over time, as JSON and PNG; to stderr how far it is
and what cannot be read. Does: hears several tracks at once, cuts each into patches whose frames see
their neighbours, as the shards have them, and asks for all of them.

A track's answer is the mean over its patches. Memory does not grow with a track, but for its
answers.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from training import durable
from training.data.index import DataError
from training.data.ordered import ordered
from training.errors import RunError, plain
from training.folders import Bar, asked_for, clock, json_line, seconds_of, speed, told
from training.listening import SILENT, Tick, listened, untold
from training.run import say
from training.tagger import plots

# (n, samples around a patch) float32 -> (n, tags) probabilities; called by several threads at once
Heard = Callable[[np.ndarray], np.ndarray]
BATCH = 8  # patches at once: 24 s
LONGEST = 200  # bytes of a track's name in a taggram's: a file system takes 255 with all around it


@dataclass(frozen=True)
class Cut:
    """How a recipe cuts tracks into patches, one after the other."""

    rate: int
    quality: str  # of soxr
    samples: int  # in a patch
    hop: int
    half: int  # samples that a frame sees to either side

    @classmethod
    def of(cls, recipe: Mapping[str, Any], field: str) -> "Cut":
        audio, told = recipe["audio"], recipe["features"][field]
        samples, half = recipe["window"]["samples"], told["n_fft"] // 2
        return cls(audio["rate"], audio["resample"], samples, told["hop"], half)

    @property
    def around(self) -> int:
        """Samples that the frames of a patch see."""
        return self.samples - self.hop + 2 * self.half

    def patches(self, sound: Iterable[np.ndarray], most: int = BATCH) -> Iterator[np.ndarray]:
        """(at most `most`, around) float32, from (frames,) blocks at the recipe's rate.

        A last patch counts when all its frames lie in the track; a track shorter than one patch is
        repeated until it fills one.
        """
        held, first = np.zeros(self.half, np.float32), True
        for block in sound:
            held = np.concatenate([held, block])
            while len(held) >= (most - 1) * self.samples + self.around:
                yield self._stacked(held, most)
                held, first = held[most * self.samples :], False
        # Frames are centred on every hop from the track's first sample to its last.
        count = ((len(held) - self.half) // self.hop + 1) // (self.samples // self.hop)
        if first and not count and len(held) > self.half:
            held = np.concatenate([held[: self.half], np.resize(held[self.half :], self.samples)])
            count = 1
        if count:
            held = np.pad(held, (0, max(0, (count - 1) * self.samples + self.around - len(held))))
            yield self._stacked(held, count)

    def _stacked(self, held: np.ndarray, count: int) -> np.ndarray:
        return np.stack([held[k * self.samples :][: self.around] for k in range(count)])


@dataclass(frozen=True)
class Answer:
    """What is heard in one track."""

    seconds: float
    each: np.ndarray  # (patches, tags)
    silent: bool = False  # it holds nothing but zeros

    @property
    def whole(self) -> np.ndarray:
        found: np.ndarray = self.each.mean(axis=0)
        return found


def tagged(heard: Heard, cut: Cut, source: Path, tick: Tick = untold) -> Answer:
    """One track of any length; `tick` is told the seconds that each block adds."""
    with listened(source, cut.rate, cut.quality, tick) as sound:
        found = [heard(batch) for batch in cut.patches(sound)]
        seconds, silent = sound.seconds, sound.silent
    if not found:
        raise DataError("holds no sound", source, do="leave it out")
    return Answer(seconds, np.concatenate(found).astype(np.float64), silent)


@dataclass(frozen=True)
class Asked:
    """What to tell of each track."""

    tags: Sequence[str]
    cut: Cut
    top: int = 10
    as_json: bool = False


def tag_path(
    heard: Heard, asked: Asked, source: Path, out: TextIO, folder: Path, jobs: int = 1
) -> int:
    """Tag a file, or every one below a folder; 0 when each of them could be read.

    A track that cannot be read is named, and the others go on. Taggrams go into `folder`.
    """
    began, done, sound = time.monotonic(), 0, 0.0
    paths, passed = asked_for(source)
    base = source if source.is_dir() else source.parent
    with Bar(sum(map(seconds_of, paths)), len(paths)) as bar:

        def one(path: Path) -> Answer | DataError:
            bar.file(plain(path.name))
            try:
                return tagged(heard, asked.cut, path, bar.add)
            except DataError as error:
                return error

        found = ordered(iter(paths), one, jobs)
        for path, answer in zip(paths, found, strict=True):
            if isinstance(answer, DataError):
                bar.say(plain(str(answer)))
                if asked.as_json:
                    bar.say(json_line({"path": str(path), "error": str(answer)}, out), out)
                continue
            done, sound = done + 1, sound + answer.seconds
            target = folder / _short(path.relative_to(base))
            if other := _other(path, target):
                bar.say(f"{plain(str(_named(target, 'json')))}: replaces that of {plain(other)}")
            _drawn(path, answer, asked, target)
            line = _as_json(path, answer, asked)
            bar.say(json_line(line, out) if asked.as_json else _as_table(path, answer, asked), out)
    took = time.monotonic() - began
    count, others = told(done, len(paths), passed)
    fast = speed(sound, took)
    say(f"tagged {count}, {clock(sound)} of sound in {clock(took)} ({fast}){others}")
    say(f"taggrams: {folder}" if done else "no taggrams: nothing was heard")
    return int(done < len(paths))


def _short(path: Path) -> Path:
    """The same, or with so much of its name as leaves room, and what tells it from others."""
    name = os.fsencode(path.name)
    if len(name) <= LONGEST:
        return path
    begin = name[: LONGEST - 9].decode(errors="ignore")
    return path.with_name(f"{begin}-{hashlib.sha256(name).hexdigest()[:8]}")


def _drawn(path: Path, answer: Answer, asked: Asked, target: Path) -> None:
    """The tags over time, as `<name>.json` and `<name>.png`."""
    step = asked.cut.samples / asked.cut.rate
    row = _told(path, answer) | {
        "step": step,
        "tags": list(asked.tags), "probabilities": np.round(answer.each, 6).tolist(),
    }  # fmt: skip
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot be made: {error.strerror}", target.parent, do="name OUT="
        ) from error
    durable.write(_named(target, "json"), [f"{json_line(row)}\n".encode()])
    name, picture = plain(path.name), _named(target, "png")
    plots.taggram(answer.each, asked.tags, answer.seconds, step, name, picture)


def _named(target: Path, kind: str) -> Path:
    return target.with_name(f"{target.name}.{kind}")


def _other(path: Path, target: Path) -> str:
    """Of which other track there is a taggram already; "" where there is none."""
    with contextlib.suppress(OSError, ValueError, TypeError, LookupError, RecursionError):
        before = str(json.loads(_named(target, "json").read_bytes())["path"])
        return before if Path(before).resolve() != path.resolve() else ""
    return ""


def _best(answer: Answer, asked: Asked) -> list[tuple[str, float]]:
    order = np.argsort(-answer.whole, kind="stable")[: asked.top]
    return [(asked.tags[k], round(float(answer.whole[k]), 6)) for k in order]


def _told(path: Path, answer: Answer) -> dict[str, Any]:
    row = {"path": str(path), "seconds": round(answer.seconds, 6)}
    return row | ({"note": SILENT} if answer.silent else {})


def _as_json(path: Path, answer: Answer, asked: Asked) -> dict[str, Any]:
    return _told(path, answer) | {"top": _best(answer, asked)}


def _as_table(path: Path, answer: Answer, asked: Asked) -> str:
    top = ", ".join(f"{plain(name)} {100 * p:.0f} %" for name, p in _best(answer, asked))
    top += f"  ({SILENT})" if answer.silent else ""
    return f"{plain(str(path))}  {clock(answer.seconds)}  {top}"
