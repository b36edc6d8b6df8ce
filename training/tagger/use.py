"""What a trained tagger is used for: hearing tracks, being learnt from, exports.

Reads: a run's weights and configuration; for exports the examples of its recipe. Writes: the
exports into the run's folder.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.data.index import DataError, load_index
from training.engine.keras_train import of_its_shards
from training.graph.answers import taken
from training.graph.compared import Served
from training.graph.export import CALIBRATED, COMPARED, Clips, export, some
from training.graph.frontend import LogMel
from training.graph.sounded import sounded
from training.tagger.scores import measured
from training.tagger.tag import Cut, Heard
from training.tagger.train import Part, best

POOLED = "pooled"  # the layer of what a net knows of a patch before it has words for it


def hearing(folder: Path) -> tuple[Heard, Cut, list[str]]:
    """A run as a function of (n, samples around a patch) to probabilities (n, tags), how tracks are
    cut for it, and its tags."""
    one = best(folder)
    config = one.config
    front = LogMel(config["heard"], config["features"], around=True)
    cut = Cut.of(config["heard"], config["features"])

    @tf.function(input_signature=[tf.TensorSpec((None, cut.around), tf.float32)])
    def answer(patches: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(one.net(front(patches), training=False))

    return lambda patches: answer(patches).numpy(), cut, config["tags"]


def one_thread_each(jobs: int) -> None:
    """So many threads compute, each on a track of its own: quicker than all of them on one."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(jobs)


def looked(net: keras.Model) -> keras.Model:
    """The net up to what it knows of a patch."""
    return keras.Model(net.input, net.get_layer(POOLED).output)


def exported(folder: Path, artifacts: Path) -> dict[str, Any]:
    """All exports of the run's net, compared."""
    one = best(folder)
    config, field = one.config, one.config["features"]
    index = load_index(artifacts / config["recipe"])
    of_its_shards(one.facts, index)
    front = LogMel(config["heard"], field)
    test, train = (Part(index, split, field) for split in ("test", "train"))
    if not test.mask.any():
        raise DataError("nothing to compare exports on", index.folder, "a test example", 0)
    held = some(test.mask, COMPARED)
    (features,) = taken(index, held, [field])
    known = config["tags"] == list(index.tags)  # published weights have words of their own
    truth = test.tags[held[test.mask]] if known else np.zeros((len(features), len(config["tags"])))
    clips = Clips((features,), truth, sounded(features, front))
    served = Served(one.net, config["tags"], tf.sigmoid, "ROC-AUC", _roc_auc, front)
    calibration = taken(index, some(train.mask, CALIBRATED), [field])
    return export(served, calibration, clips, folder)


def _roc_auc(truth: np.ndarray, probabilities: np.ndarray) -> float:
    return measured(truth > 0, probabilities)["roc_auc"]
