"""A diarizer and others on the test split of a recipe.

Reads: the shards of an index. Does: puts the windows of each recording together, truth and all;
asks every system who spoke when; scores the answers. Writes nothing but a word on what is left out:
examples whose labels were guessed are no truth to measure with.

Systems other than ours are given sound, so they are asked only where the recipe stores it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import soxr

from training.data.index import DataError, Index
from training.diarizer.baselines import baselines
from training.diarizer.infer import Listener
from training.diarizer.rttm import Turn
from training.diarizer.sequences import Row, check, heard, hop, rows
from training.diarizer.summary import Scored, score
from training.diarizer.systems import RATE, System, asked
from training.errors import Changed
from training.folders import Bar
from training.run import say

TEST = "test"
FEW = 6  # voices


@dataclass(frozen=True)
class Recording:
    """Windows of one recording that follow each other."""

    name: str
    parts: tuple[Row, ...]
    seconds: float
    truth: tuple[Turn, ...]

    def frames(self) -> Iterator[np.ndarray]:
        """(frames, mels) of each window, the last as far as it is recorded."""
        for row in self.parts:
            held = _fields(row, "logmel", "valid")
            yield held["logmel"][: -(-int(held["valid"]) // hop(row.index))]

    def wave(self, rate: int) -> np.ndarray:
        """(samples,) float32 at so many Hz; for recipes that store it."""
        parts = []
        for row in self.parts:
            held = _fields(row, "wave", "valid")
            parts.append(held["wave"][: int(held["valid"])])
        native = int(self.parts[0].index.recipe["audio"]["rate"])
        whole = np.concatenate(parts)
        return whole if rate == native else soxr.resample(whole, native, rate)


def has_sound(index: Index) -> bool:
    return "wave" in {field.name for field in index.fields}


def windows_of(index: Index, split: str = TEST) -> list[tuple[bytes, int]]:
    """(recording, its first sample) of each example of a split."""
    held = [_fields(row, "source", "start") for row in rows(index, split)]
    return sorted((one["source"].tobytes(), int(one["start"])) for one in held)


def recordings(index: Index, split: str = TEST) -> Iterator[Recording]:
    """All of a split whose labels were given, in the index's order. A recording that windows are
    missing of ends there and begins anew after it; where a recipe does not name voices, every
    window is one of its own, as nobody knows who is who in the next."""
    check(index)
    described = {field.name for field in index.fields}
    rate = int(index.recipe["audio"]["rate"])
    for name, run in groupby(_told(index, split), key=lambda one: one[0]):
        part: list[tuple[Row, dict[str, np.ndarray]]] = []
        after = -1
        for _, row, held in run:
            if part and ("voices" not in described or int(held["start"]) != after):
                yield _recording(name, part, rate)
                part = []
            part.append((row, held))
            after = int(held["start"]) + int(held["valid"])
        yield _recording(name, part, rate)


def _told(index: Index, split: str) -> Iterator[tuple[str, Row, dict[str, np.ndarray]]]:
    names = {field.name for field in index.fields}
    told = ("source", "start", "valid", "activity", "voices")
    wanted = [n for n in told if n in names]
    for row in rows(index, split, given=True):
        held = _fields(row, *wanted)
        yield bytes(held["source"].reshape(1)[0]).decode()[:12], row, held


def few_voices(index: Index, split: str = TEST) -> str:
    """A word where a test hears so few people that intervals over recordings mislead; else ""."""
    if "voices" not in {field.name for field in index.fields}:
        return ""
    heard = {int(v) for *_, held in _told(index, split) for v in held["voices"].ravel() if v}
    if not 0 < len(heard) < FEW:
        return ""
    return f"{index.name}: the test has {len(heard)} voices alone, too few to judge a diarizer by"


def generated(index: Index, split: str = TEST) -> int:
    """How many examples of a split have labels that were guessed."""
    return len(rows(index, split)) - len(rows(index, split, given=True))


def _fields(row: Row, *names: str) -> dict[str, np.ndarray]:
    described = {field.name: field for field in row.index.fields}
    held = {name: np.empty((1, *described[name].shape), described[name].numpy) for name in names}
    with row.blocks as blocks:
        blocks.read_into(held, row.at)
    return {name: array[0] for name, array in held.items()}


def _recording(
    name: str, part: Sequence[tuple[Row, Mapping[str, np.ndarray]]], rate: int
) -> Recording:
    step = hop(part[0][0].index) / rate
    start = int(part[0][1]["start"])
    truth: list[Turn] = []
    for _, held in part:
        begin = (int(held["start"]) - start) / rate
        end = begin + int(held["valid"]) / rate
        who = held.get("voices", np.arange(1, held["activity"].shape[1] + 1))
        for column, voice in zip(held["activity"].T, who.tolist(), strict=True):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], column, [0]]).astype(np.int8)))
            for a, b in edges.reshape(-1, 2).tolist():
                stop = min(begin + b * step, end)
                if begin + a * step < stop:
                    truth.append(Turn(begin + a * step, stop, f"{voice:x}"))
    truth.sort()
    names = {who: str(k) for k, who in enumerate(dict.fromkeys(t.speaker for t in truth), 1)}
    truth = [turn._replace(speaker=names[turn.speaker]) for turn in truth]
    seconds = (int(part[-1][1]["start"]) - start + int(part[-1][1]["valid"])) / rate
    called = f"{name}-{start}" if start else name
    return Recording(called, tuple(row for row, _ in part), seconds, tuple(truth))


def measured(
    ours: Mapping[str, Listener], others: Mapping[str, System], index: Index
) -> list[Scored]:
    """Every system on every recording."""
    found: list[Scored] = []
    if left := generated(index):
        say(f"left out of the test split of {index.name}: {left} with generated labels")
    if few := few_voices(index):
        say(few)
    every = list(recordings(index))
    if not every:
        raise DataError("nothing to measure with", index.folder, "examples in the split test", 0)
    sound = has_sound(index)
    for listener in ours.values() if not sound else ():
        if listener.heard != heard(index):
            raise Changed("frames of another kind", index.folder, listener.heard, heard(index))
    with Bar(sum(one.seconds for one in every), len(every)) as bar:
        for one in every:
            bar.file(one.name)
            for name, turns in baselines(one.name, one.seconds, one.truth).items():
                found.append(score(one.name, name, one.truth, turns, one.seconds))
            for name, listener in ours.items():
                found.append(_ours(name, listener, one, sound))
            for name, system in others.items() if sound else ():
                found.append(asked(name, system, one.wave(RATE), one.truth, one.name))
            bar.add(one.seconds)
    return found


def found_in(one: Recording, listener: Listener, sound: bool) -> list[Turn]:
    """Our answer, from its sound or from what is stored of it."""
    if sound:
        return listener.account([one.wave(listener.rate)]).turns
    return listener.account_of_frames(one.frames()).turns


def _ours(name: str, listener: Listener, one: Recording, sound: bool) -> Scored:
    if sound:
        system = System(lambda wave: listener.account([wave]).turns)
        wave = one.wave(listener.rate)
        return asked(name, system, wave, one.truth, one.name, listener.rate)
    turns = found_in(one, listener, sound)
    return score(one.name, name, one.truth, turns, one.seconds)
