"""What a tagger learns from: how far each tag's probability is from whether it is given.

Reads and writes nothing. Does: changes the patches of a step, asks the net.
"""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from training.engine.keras_learner import Batch
from training.graph.augment import augment, changes
from training.tagger.profiles import Profile


class Objective:
    """The loss of a step: the mean over tags of the cross-entropy of each."""

    def __init__(self, profile: Profile, features: str, recipe: Mapping[str, Any]) -> None:
        self.features = features
        self.changes = changes(profile.augment, recipe["features"][features])

    def __call__(
        self, net: keras.Model, batch: Batch, seed: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        batch = {**batch, "tags": tf.cast(batch["tags"], tf.float32)}
        batch = augment(batch, seed, self.changes, self.features, ("tags",))
        logits = net(batch[self.features], training=True)
        each = tf.nn.sigmoid_cross_entropy_with_logits(batch["tags"], logits)
        return tf.reduce_mean(each, -1), {}
