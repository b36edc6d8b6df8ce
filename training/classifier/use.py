"""What a trained classifier is used for: hearing recordings, teaching students, exports.

Reads: a run's weights and configuration; for answers and exports the examples of its recipe.
Writes: ``teacher.logits`` and the exports into the run's folder.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from training.classes.kind import Heard
from training.classes.parts import Parts, parts
from training.classes.scores import accuracy
from training.classifier.teacher import FILE, write
from training.classifier.train import best
from training.data.index import Index, load_index
from training.engine.keras_train import Trained, of_its_shards
from training.graph.answers import Asked, softmax, taken
from training.graph.compared import Served
from training.graph.export import CALIBRATED, COMPARED, Clips, export, some
from training.graph.frontend import LogMel
from training.graph.sounded import sounded


def hearing(folder: Path) -> tuple[Heard, Mapping[str, Any], list[str]]:
    """A run as a function of windows (n, samples) to probabilities (n, classes), with the recipe
    that says how to cut them, and its classes."""
    one = best(folder)
    recipe, classes = one.config["heard"], one.config["classes"]
    front = LogMel(recipe, one.config["features"])

    @tf.function(input_signature=[tf.TensorSpec((None, front.samples), tf.float32)])
    def answer(windows: tf.Tensor) -> tf.Tensor:
        return one.net(front(windows), training=False)

    return lambda windows: softmax(answer(windows).numpy()), recipe, classes


def taught(folder: Path, artifacts: Path) -> str:
    """The run's answers for what it learnt from, in its folder; returns what to print."""
    one, index, held = _examples(folder, artifacts)
    logits = Asked(index, held.train, [one.config["features"]])(one.net)
    write(folder / FILE, index, folder.name, held.train, logits)
    return f"{folder / FILE}: answers for {len(logits)} examples"


def exported(folder: Path, artifacts: Path) -> dict[str, Any]:
    """All exports of the run's net, compared."""
    one, index, held = _examples(folder, artifacts)
    field = one.config["features"]
    front = LogMel(one.config["heard"], field)
    test, calibration = some(held.test, COMPARED), some(held.train, CALIBRATED)
    (features,) = taken(index, test, [field])
    clips = Clips((features,), held.told["label"][test], sounded(features, front))
    served = Served(one.net, one.config["classes"], tf.nn.softmax, "accuracy", accuracy, front)
    return export(served, taken(index, calibration, [field]), clips, folder)


def _examples(folder: Path, artifacts: Path) -> tuple[Trained, Index, Parts]:
    """A run with the examples it was made of; refused when they are others by now."""
    one = best(folder)
    index = load_index(artifacts / one.config["recipe"])
    of_its_shards(one.facts, index)
    return one, index, parts(index, one.fold)
