"""A trained net as files that run without this project, on features or on sound itself.

Reads nothing. Does: exports, has each export loaded again from its bytes and compared with the net.
Writes: ``saved_model/``, ``model.tflite`` and ``model-int8.tflite``, each with ``-audio`` for the
one that has the front end inside, only when all agree, and ``exports.json``, what was found.
"""

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.durable import write, write_error, write_json
from training.errors import RunError
from training.graph import compared
from training.graph.compared import Arrays, Export, Served
from training.graph.lite import chain, lite_bytes
from training.graph.saved import GRAPH, saved_files, write_saved
from training.graph.seam import halves
from training.graph.usage import (
    FILES,
    INT8,
    INT8_AUDIO,
    LITE,
    LITE_AUDIO,
    SAVED,
    SAVED_AUDIO,
    TOLD,
)

FLOAT_PART = 0.01  # of the weights, the first ones, are kept in float beside 8 bits
CALIBRATED, COMPARED = 300, 500  # examples that a run's exports are made and compared with
RANGED = 256  # clips that set the ranges of 8 bits, evenly from those given


@dataclass(frozen=True)
class Clips:
    """Labelled test clips: the same ones as the net's inputs and, with a front end, as sound."""

    fields: Arrays  # (clips, ...) float32 for each input
    truth: np.ndarray  # (clips, ...) as the score wants it
    waves: np.ndarray | None = None  # (clips, samples) float32

    def __post_init__(self) -> None:
        counts = {len(x) for x in (*self.fields, self.truth, self.waves) if x is not None}
        if len(counts) != 1 or counts == {0}:
            raise RunError("exports need clips to be compared on", "", "as many of each", counts)


def export(served: Served, calibration: Arrays, held: Clips, folder: Path) -> dict[str, Any]:
    """All exports of a net in `folder`, compared.

    `calibration` (clips, ...) of each input sets the ranges of the 8-bit files: training clips of
    all kinds. Returns {"names", "measure", "labelled", "score" of the net itself, "inputs",
    "exports": [{"file", "input", "int8", "bytes", "ms", "difference", "score", "drop",
    "agreement"}]} and, with a front end, {"rate", "samples", "pad", "front_difference"}: the
    largest between its features and those given. `difference` is the largest of any probability,
    `agreement` the part of clips with the same top answer, `ms` the time of a clip on one core. One
    that does not agree is a RunError, and no file is left.
    """
    front = served.front
    if front is not None and held.waves is None:
        raise RunError("a front end cannot be compared without sound", folder, "held.waves")
    clear(folder)
    with tf.device("/CPU:0"):  # a GPU may multiply with 10 bits
        made = _made(served, calibration)
        on = {"fields": compared.on_fields(served, held.fields, held.truth)}
        facts: dict[str, Any] = {"inputs": {n: list(s) for n, s in served.inputs.items()}}
        if front is not None and held.waves is not None:
            on["sound"], apart = compared.on_sound(served, held.waves, held.fields[-1], held.truth)
            facts |= {"rate": front.rate, "samples": front.samples, "pad": front.pad}
            facts |= {"front_difference": apart}
        rows = [
            compared.row(name, made[name], compared.by_name(on, name), served)
            for name in FILES
            if name in made
        ]
    score = served.score(held.truth, on["fields"].probabilities)
    told = {
        "names": list(served.names), "measure": served.measure, "labelled": len(held.truth),
        "score": score, **facts, "exports": rows,
    }  # fmt: skip
    try:
        _write(folder, made, told)
    except RunError:
        clear(folder)
        raise
    return told


def _write(folder: Path, made: Mapping[str, Export], told: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in made.items():
        if isinstance(data, bytes):
            write(folder / name, [data])
        else:
            write_saved(folder / name, data)
    write_json(folder / TOLD, told)  # last: what it tells of is there


def clear(folder: Path) -> None:
    """Remove what lies there of another net: first what tells of it, then what loads."""
    for name in (TOLD, *(f"{name}/{GRAPH}" for name in FILES), *FILES):
        path = folder / name
        try:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        except OSError as error:
            raise write_error(path, error) from error


def _made(served: Served, calibration: Arrays) -> dict[str, Export]:
    """The files, parts shared: what an 8-bit net makes does not depend on what feeds it."""
    net, inputs = served.net, served.inputs
    tail = lite_bytes(served.chances, {"logits": (len(served.names),)})
    plain, small = [_lite(net, inputs)], _small(net, inputs, calibration)
    made: dict[str, Export] = {
        SAVED: saved_files(served.answer, net.variables, inputs),
        LITE: chain([*plain, tail], "probabilities"),
        INT8: chain([*small, tail], "probabilities"),
    }
    if served.front is not None:
        heard = {"wave": (served.front.samples,)}
        first = lite_bytes(served.lite or served.front, heard)
        made |= {
            SAVED_AUDIO: saved_files(served.heard, net.variables, heard),
            LITE_AUDIO: chain([first, *plain, tail], "probabilities"),
            INT8_AUDIO: chain([first, *small, tail], "probabilities"),
        }
    return made


def _small(
    net: keras.Model, inputs: Mapping[str, Sequence[int]], calibration: Arrays
) -> list[bytes]:
    """A net in 8 bits, behind its first layers in float. Sound has no range that suits all clips:
    in steps for the loudest of them, soft ones would be silent."""
    if "wave" in inputs:
        return [_lite(net, inputs, ())]
    count = len(calibration[0])
    few = np.linspace(0, count - 1, min(RANGED, count)).astype(int)
    clips = tuple(np.asarray(x, np.float32)[few] for x in calibration)
    parts = halves(net, FLOAT_PART) if len(inputs) == 1 else None
    if parts is None:
        return [_lite(net, inputs, clips)]
    first, rest = parts
    inside = np.concatenate([first(one[None], training=False).numpy() for one in clips[0]])
    return [_lite(first, inputs), _lite(rest, {"inside": inside.shape[1:]}, (inside,))]


def _lite(
    net: keras.Model, inputs: Mapping[str, Sequence[int]], examples: Arrays | None = None
) -> bytes:
    function: Callable[..., Any] = lambda *x: net(x if len(x) > 1 else x[0], training=False)  # noqa: E731
    return lite_bytes(function, inputs, examples)


def some(part: np.ndarray, most: int) -> np.ndarray:
    """A part of all positions, or so many of it, evenly taken."""
    places = np.flatnonzero(part)
    kept = places[np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int)]
    found = np.zeros_like(part)
    found[kept] = True
    return found
