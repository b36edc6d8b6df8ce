"""A trained classifier as files that run without this project, on features or on sound itself.

Reads nothing. Does: exports, loads each export again from its bytes, compares its probabilities
with the net's on labelled clips, measures its size and its speed on one core. Writes:
``saved_model/``, ``model.tflite`` and ``model-int8.tflite``, each with ``-audio`` for the one that
has the front end inside, only when all agree, and ``exports.json``, what was found.
"""

import contextlib
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.durable import write, write_error, write_json
from training.errors import RunError
from training.graph.frontend import LogMel
from training.graph.lite import Model, chain, lite_bytes, load_lite
from training.graph.saved import GRAPH, load_saved, saved_files, write_saved
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

TOLERANCE = 1e-4  # of a probability, for float files
DROP = 0.01  # of accuracy, for 8-bit files; one clip where there are fewer than 100
FLOAT_PART = 0.01  # of the weights, the first ones, are kept in float beside 8 bits
RANGED = 256  # clips that set the ranges of 8 bits, evenly from those given
FEW = 64  # clips that float files are compared on; 8-bit ones see all
TIMED = 16  # clips

Export = bytes | dict[str, bytes]  # a file, or path -> content of a folder


@dataclass(frozen=True)
class Clips:
    """Labelled test clips: the same ones as features and, with a front end, as sound."""

    features: np.ndarray  # (clips, frames, mels) float32
    labels: np.ndarray  # (clips,) whole numbers
    waves: np.ndarray | None = None  # (clips, samples) float32

    def __post_init__(self) -> None:
        counts = {len(x) for x in (self.features, self.labels, self.waves) if x is not None}
        if len(counts) != 1 or counts == {0}:
            raise RunError("exports need clips to be compared on", "", "as many of each", counts)


@dataclass(frozen=True)
class Heard:
    """What one kind of input is compared on."""

    name: str  # of the input
    clips: np.ndarray  # (clips, ...) float32
    probabilities: np.ndarray  # of the net in Keras, (clips, classes)
    edges: np.ndarray  # silence and full scale, for float files
    at_edges: np.ndarray  # their probabilities


def export(
    net: keras.Model,
    classes: Sequence[str],
    calibration: np.ndarray,
    held: Clips,
    folder: Path,
    front: LogMel | None = None,
) -> dict[str, Any]:
    """All exports of a net that makes logits of features, in `folder`, compared.

    `calibration` (clips, frames, mels) sets the ranges of the 8-bit files: training clips of
    all classes. Returns {"classes", "labelled", "accuracy" of the net itself,
    "frames", "mels", "exports": [{"file", "input", "int8", "bytes", "ms", "difference",
    "accuracy", "drop", "agreement"}]} and, with a front end, {"rate", "samples", "pad",
    "front_difference"}: the largest between its features and those given. `difference` is the
    largest of any probability, `agreement` the part of clips with the same top class, `ms` the time
    of a clip on one core. One that does not agree is a RunError, and no file is left.
    """
    if front is not None and held.waves is None:
        raise RunError("a front end cannot be compared without sound", folder, "held.waves")
    clear(folder)
    with tf.device("/CPU:0"):  # a GPU may multiply with 10 bits
        made = _made(net, calibration, len(classes), front)
        facts, heard = _reference(net, held, front)
        rows = [_compared(name, made[name], heard, held.labels) for name in FILES if name in made]
    told = {"classes": list(classes), "labelled": len(held.labels), **facts, "exports": rows}
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


def _made(
    net: keras.Model, calibration: np.ndarray, classes: int, front: LogMel | None
) -> dict[str, Export]:
    """The files, parts shared: what an 8-bit net makes does not depend on what feeds it."""

    def chances(features: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(net(features, training=False))

    shape = tuple(net.input_shape[1:])
    tail = lite_bytes(tf.nn.softmax, (1, classes))
    plain, small = _lite(net), _small(net, calibration)
    made: dict[str, Export] = {
        SAVED: saved_files(chances, net.variables, shape, "features"),
        LITE: chain([plain, tail], "features", "probabilities"),
        INT8: chain([*small, tail], "features", "probabilities"),
    }
    if front is not None:
        heard, first = (front.samples,), lite_bytes(front, (1, front.samples))
        made |= {
            SAVED_AUDIO: saved_files(lambda x: chances(front(x)), net.variables, heard, "wave"),
            LITE_AUDIO: chain([first, plain, tail], "wave", "probabilities"),
            INT8_AUDIO: chain([first, *small, tail], "wave", "probabilities"),
        }
    return made


def _small(net: keras.Model, calibration: np.ndarray) -> list[bytes]:
    """A net in 8 bits, behind its first layers in float."""
    few = np.linspace(0, len(calibration) - 1, min(RANGED, len(calibration))).astype(int)
    clips = np.asarray(calibration, np.float32)[few]
    parts = halves(net, FLOAT_PART)
    if parts is None:
        return [_lite(net, clips)]
    first, rest = parts
    inside = np.concatenate([first(one[None], training=False).numpy() for one in clips])
    return [_lite(first), _lite(rest, inside)]


def _lite(net: keras.Model, examples: np.ndarray | None = None) -> bytes:
    return lite_bytes(lambda x: net(x, training=False), (1, *net.input_shape[1:]), examples)


def _reference(
    net: keras.Model, held: Clips, front: LogMel | None
) -> tuple[dict[str, Any], dict[str, Heard]]:
    """What the net itself makes of the clips, as features and as sound."""

    def chances(features: np.ndarray) -> np.ndarray:
        parts = np.array_split(features, max(1, len(features) // 32))
        return np.concatenate([tf.nn.softmax(net(x, training=False)).numpy() for x in parts])

    features = np.asarray(held.features, np.float32)
    low, high = (np.full((1, *features.shape[1:]), f(features)) for f in (np.min, np.max))
    edges = np.concatenate([low, high])
    found = chances(features)
    facts: dict[str, Any] = {"accuracy": float((found.argmax(1) == held.labels).mean())}
    facts |= {"frames": features.shape[1], "mels": features.shape[2]}
    heard = {"features": Heard("features", features, found, edges, chances(edges))}
    if front is not None and held.waves is not None:
        waves = np.asarray(held.waves, np.float32)
        ends = np.stack([np.zeros(front.samples, np.float32), np.ones(front.samples, np.float32)])
        ends[1, ::2] = -1  # as loud as can be
        own = np.concatenate([front(one[None]).numpy() for one in waves])
        apart = float(np.abs(own - features).max())
        facts |= {"rate": front.rate, "samples": front.samples, "pad": front.pad}
        facts |= {"front_difference": apart}
        at_ends = chances(front(ends).numpy())
        heard["wave"] = Heard("wave", waves, chances(own), ends, at_ends)
    return facts, heard


def _compared(
    name: str, data: Export, both: Mapping[str, Heard], labels: np.ndarray
) -> dict[str, Any]:
    heard, int8 = both["wave" if "audio" in name else "features"], "int8" in name
    model = load_lite(data) if isinstance(data, bytes) else load_saved(data)
    most = len(labels) if int8 else FEW
    found, expected = model(heard.clips[:most]), heard.probabilities[:most]
    apart = _apart(found, expected)
    if not int8:
        apart = max(_apart(model(heard.edges), heard.at_edges), apart)
    if not apart <= (1 if int8 else TOLERANCE):
        do = "use the net itself, and report this with the versions in config.json"
        raise RunError("an export that differs", name, f"at most {TOLERANCE}", apart, do)
    tops = found.argmax(1), expected.argmax(1)
    right, before = (float((top == labels[:most]).mean()) for top in tops)
    least = before - max(DROP, 1 / len(labels))
    if int8 and right < least - 1e-9:
        do = "calibrate it with more clips, or use the float file"
        raise RunError("8 bits cost accuracy", name, f"{least:.4f} or more", f"{right:.4f}", do)
    size = len(data) if isinstance(data, bytes) else sum(map(len, data.values()))
    return {
        "file": name, "input": heard.name, "int8": int8, "bytes": size,
        "ms": round(_ms(model, heard.clips), 3), "difference": apart, "accuracy": right,
        "drop": before - right, "agreement": float((tops[0] == tops[1]).mean()),
    }  # fmt: skip


def _apart(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference; infinite where that cannot be said."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return math.inf
    return float(np.abs(found - expected).max())


def _ms(model: Model, clips: np.ndarray) -> float:
    """Of one clip, in time of this process alone: a busy machine tells the same."""
    spent = []
    for one in clips[:TIMED]:
        began = time.process_time()
        model(one[None])
        spent.append(time.process_time() - began)
    return 1000 * float(np.median(spent))
