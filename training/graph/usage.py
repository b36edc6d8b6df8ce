"""What a net's exports are called, and how one is used: for those who only print it.

Reads and writes nothing: it is given what ``exports.json`` tells and returns text.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SAVED, LITE, INT8 = "saved_model", "model.tflite", "model-int8.tflite"
SAVED_AUDIO, LITE_AUDIO = "saved_model-audio", "model-audio.tflite"
INT8_AUDIO = "model-audio-int8.tflite"
FILES = (SAVED, LITE, INT8, SAVED_AUDIO, LITE_AUDIO, INT8_AUDIO)
TOLD = "exports.json"
HEADS = ("file", "takes", "MB", "ms a clip, one core", "largest difference")

USE = """\
import json

import numpy as np
import soundfile

try:  # pip install ai-edge-litert: the interpreter alone
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    import tensorflow

    Interpreter = tensorflow.lite.Interpreter

with open("exports.json") as file:
    names = json.load(file)["names"]
wave, rate = soundfile.read("sound.wav", dtype="float32", always_2d=True)
assert rate == {rate}, "resample it first"
wave = wave.mean(1)[:{samples}]  # the first {seconds:.1f} s
wave = {fill}  # a shorter one is {how}
model = Interpreter("{file}", num_threads=1).get_signature_runner()
(probabilities,) = model(wave=wave[None])["probabilities"]
for k in probabilities.argsort()[:-4:-1]:
    print(f"{{probabilities[k]:.3f}}", names[k])
"""
FILL = {  # as the recipe fills a window that ends early
    "repeat": ("np.resize(wave, {samples})", "repeated"),
    "zero": ("np.pad(wave, (0, {samples} - len(wave)))", "followed by silence"),
}


def usage(told: Mapping[str, Any], file: str = INT8_AUDIO) -> str:
    """Python that says what sound.wav is, with a TensorFlow Lite `file` that takes sound."""
    samples, rate = told["samples"], told["rate"]
    fill, how = FILL[told["pad"]]
    fill, seconds = fill.format(samples=samples), samples / rate
    return USE.format(rate=rate, samples=samples, seconds=seconds, fill=fill, how=how, file=file)


def cells(told: Mapping[str, Any]) -> list[list[str]]:
    """A table of the exports, its heads first. Differences are of probabilities."""
    rows = [[*HEADS, f"{told['measure']} lost"]]
    for row in told["exports"]:
        size, name = f"{row['bytes'] / 1e6:.2f}", f"`{row['file']}`"
        lost = f"{100 * row['drop']:.1f} points" if row["int8"] else "none"
        told_ms, apart = f"{row['ms']:.1f}", f"{row['difference']:.1g}"
        rows.append([name, row["input"], size, told_ms, apart, lost])
    return rows


def lines(folder: Path, told: Mapping[str, Any]) -> list[str]:
    """The exports in a run's folder, a line each."""
    found = []
    for one in told["exports"]:
        change = f"{one['difference']:.1g} from the net"
        if one["int8"]:
            change = f"{100 * one['drop']:.1f} points of {told['measure']} lost"
        found.append(
            f"{folder / one['file']}: {one['bytes'] / 1e6:.2f} MB, {one['input']} in, loaded "
            f"again: {change}, {one['ms']:.1f} ms of one core for a clip"
        )
    return found
