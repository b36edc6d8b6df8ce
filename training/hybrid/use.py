"""What a trained hybrid is used for: hearing recordings, exports.

Reads: a run's weights and configuration; for exports the examples of its recipe. Writes: the
exports into the run's folder.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.classes.kind import Heard
from training.classes.parts import parts
from training.classes.scores import accuracy
from training.data.index import load_index
from training.engine.keras_train import Config, Trained, of_its_shards
from training.graph.answers import taken
from training.graph.compared import Served
from training.graph.export import CALIBRATED, COMPARED, Clips, export, some
from training.graph.vector import Vector
from training.hybrid import views
from training.hybrid.net import answering
from training.hybrid.train import FIELDS, best, net_of


def hearing(folder: Path) -> tuple[Heard, Mapping[str, Any], list[str]]:
    """A run as a function of windows (n, samples) to probabilities (n, classes), with the recipe
    that says how to cut them, and its classes."""
    one = best(folder)
    recipe, classes = one.config["heard"], one.config["classes"]
    front = Vector(recipe, "vector")

    @tf.function(input_signature=[tf.TensorSpec((None, one.config["samples"]), tf.float32)])
    def answer(windows: tf.Tensor) -> tf.Tensor:
        return views.plain(one.net, {"wave": windows, "vector": front(windows)})

    return lambda windows: answer(windows).numpy(), recipe, classes


def whole(one: Trained) -> keras.Model:
    """The net for whole windows alone: files have inputs of fixed lengths."""
    net = answering(net_of(one.config, one.config["samples"]))
    net.set_weights(one.net.get_weights())
    return net


class _Window(keras.layers.Layer):
    """A window as it is, where a net takes nothing but sound."""

    def __init__(self, config: Config) -> None:
        super().__init__(name="window", trainable=False, dtype="float32")
        self.samples, self.rate = config["samples"], config["heard"]["audio"]["rate"]
        self.pad = config["heard"]["window"]["pad"]

    def call(self, wave: tf.Tensor) -> tf.Tensor:
        return tf.identity(wave)


def exported(folder: Path, artifacts: Path) -> dict[str, Any]:
    """All exports of the run's net, compared."""
    one = best(folder)
    config = one.config
    index = load_index(artifacts / config["recipe"])
    of_its_shards(one.facts, index)
    held = parts(index, one.fold)
    test, calibration = some(held.test, COMPARED), some(held.train, CALIBRATED)
    net = whole(one)
    names = [given.name for given in net.inputs]
    stored = dict(zip(FIELDS, taken(index, test, FIELDS), strict=True))
    front, lite = (Vector(config["heard"], "vector", exact) for exact in (True, False))
    served = Served(
        net, config["classes"], tf.nn.softmax, "accuracy", accuracy,
        *((_Window(config), None) if names == ["wave"] else (front, lite)),
    )  # fmt: skip
    fields = tuple(stored[name] for name in names)
    clips = Clips(fields, held.told["label"][test], stored["wave"])
    return export(served, taken(index, calibration, names), clips, folder)


def vectors(config: Config, index: Any, part: np.ndarray) -> np.ndarray:
    """(examples, numbers): what baselines learn from, the very numbers that the net is given."""
    (found,) = taken(index, part, ["vector"])
    return found
