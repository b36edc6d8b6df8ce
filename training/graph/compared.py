"""Exports held against the net itself: on test clips, at the edges of what can be heard, in time.

Reads and writes nothing: it is given the exports' bytes. Does: loads each again, compares its
probabilities with the net's, measures its size and its speed on one core.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from training.errors import RunError
from training.graph.lite import Model, load_lite
from training.graph.saved import load_saved

TOLERANCE = 1e-4  # of a probability, for float files
DROP = 0.01  # of the score, for 8-bit files; one clip where there are fewer than 100
FEW = 64  # clips that float files are compared on; 8-bit ones see all
TIMED = 16  # clips

Export = bytes | dict[str, bytes]  # a file, or path -> content of a folder
Arrays = tuple[np.ndarray, ...]  # one for each input, (clips, ...) float32


@dataclass(frozen=True)
class Served:
    """A net as it is used: what it is given, what it answers, how good that is."""

    net: keras.Model
    names: Sequence[str]  # of its answers
    chances: Callable[[Any], Any]  # its logits -> probabilities, of tensors
    measure: str  # what `score` is called
    score: Callable[[np.ndarray, np.ndarray], float]  # (truth, probabilities), higher is better
    front: Any = None  # a layer that makes the net's input of sound; the last one of several inputs
    lite: Any = None  # the same for TensorFlow Lite, where that has to be another one

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        return {given.name: tuple(given.shape[1:]) for given in self.net.inputs}

    def answer(self, *given: Any) -> Any:
        """Probabilities, of tensors."""
        return self.chances(self.net(given if len(given) > 1 else given[0], training=False))

    def heard(self, wave: Any) -> Any:
        """Probabilities for sound: a net of two inputs hears it beside what the front makes."""
        told = self.front(wave)
        return self.answer(wave, told) if len(self.net.inputs) > 1 else self.answer(told)

    def answers(self, *given: np.ndarray) -> np.ndarray:
        """Probabilities, of arrays, in parts."""
        parts = [np.array_split(array, max(1, len(array) // 32)) for array in given]
        return np.concatenate([np.asarray(self.answer(*some)) for some in zip(*parts, strict=True)])


@dataclass(frozen=True)
class Compared:
    """What one kind of input is compared on."""

    names: tuple[str, ...]  # of the inputs
    clips: Arrays
    truth: np.ndarray  # of each clip
    probabilities: np.ndarray  # of the net in Keras
    edges: Arrays  # silence and full scale, for float files
    at_edges: np.ndarray  # their probabilities


def row(name: str, data: Export, on: Compared, served: Served) -> dict[str, Any]:
    """What is told of one export; a RunError where it does not agree."""
    int8, count = "int8" in name, len(on.truth)
    model = load_lite(data) if isinstance(data, bytes) else load_saved(data, on.names)
    most = count if int8 else FEW
    found, expected = model(*(x[:most] for x in on.clips)), on.probabilities[:most]
    apart = _apart(found, expected)
    if not int8:
        apart = max(_apart(model(*on.edges), on.at_edges), apart)
    if not apart <= (1 if int8 else TOLERANCE):
        do = "use the net itself, and report this with the versions in config.json"
        raise RunError("an export that differs", name, f"at most {TOLERANCE}", apart, do)
    right, before = (served.score(on.truth[:most], held) for held in (found, expected))
    least = before - max(DROP, 1 / count)
    if int8 and right < least - 1e-9:
        do = "calibrate it with more clips, or use the float file"
        what = f"8 bits cost {served.measure}"
        raise RunError(what, name, f"{least:.4f} or more", f"{right:.4f}", do)
    size = len(data) if isinstance(data, bytes) else sum(map(len, data.values()))
    return {
        "file": name, "input": ", ".join(on.names), "int8": int8, "bytes": size,
        "ms": round(_ms(model, on.clips), 3), "difference": apart, "score": right,
        "drop": before - right, "agreement": float((found.argmax(1) == expected.argmax(1)).mean()),
    }  # fmt: skip


def _apart(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference; infinite where that cannot be said."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return math.inf
    return float(np.abs(found - expected).max())


def _ms(model: Model, clips: Arrays) -> float:
    """Of one clip, in time of this process alone: a busy machine tells the same."""
    spent = []
    for one in zip(*(x[:TIMED] for x in clips), strict=True):
        began = time.process_time()
        model(*(x[None] for x in one))
        spent.append(time.process_time() - began)
    return 1000 * float(np.median(spent))


def on_fields(served: Served, clips: Arrays, truth: np.ndarray) -> Compared:
    """On what shards hold."""
    edges = tuple(np.stack([np.full(x.shape[1:], f(x)) for f in (np.min, np.max)]) for x in clips)
    found = served.answers(*clips)
    return Compared(tuple(served.inputs), clips, truth, found, edges, served.answers(*edges))


def on_sound(
    served: Served, waves: np.ndarray, features: np.ndarray, truth: np.ndarray
) -> tuple[Compared, float]:
    """On sound, and how far the front end's features of it lie from those given."""
    front = served.front
    ends = np.stack([np.zeros(waves.shape[1], np.float32), np.ones(waves.shape[1], np.float32)])
    ends[1, ::2] = -1  # as loud as can be
    own, last = (np.concatenate([np.asarray(front(x[None])) for x in all_])
                 for all_ in (waves, ends))  # fmt: skip
    several = len(served.net.inputs) > 1
    found = served.answers(waves, own) if several else served.answers(own)
    at_ends = served.answers(ends, last) if several else served.answers(last)
    apart = float(np.abs(own - features).max())
    return Compared(("wave",), (waves,), truth, found, (ends,), at_ends), apart


def by_name(on: Mapping[str, Compared], name: str) -> Compared:
    """What a file is compared on."""
    return on["sound" if "audio" in name else "fields"]
