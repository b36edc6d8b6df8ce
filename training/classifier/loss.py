"""What a classifier learns from: cross-entropy with labels, and with a teacher's answers.

Reads and writes nothing. Does: changes the examples of a step, asks the net, weighs classes and
teacher.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.classifier.profiles import Profile
from training.classifier.teacher import TEACHER
from training.engine.keras_learner import Batch
from training.graph.augment import augment, changes


class Objective:
    """The loss of a step: cross-entropy with the labels, and with the teacher's answers."""

    def __init__(
        self, profile: Profile, features: str, recipe: Mapping[str, Any], counts: Sequence[int]
    ) -> None:
        """`counts` of the training examples of each class."""
        self.profile, self.features, self.count = profile, features, len(counts)
        self.changes = changes(profile.augment, recipe["features"][features])
        weights = np.maximum(counts, 1.0) ** -profile.balance  # a class may have no examples
        average = np.average(weights, weights=counts)
        self.weights = (weights / average).astype(np.float32)  # 1 on average

    def __call__(
        self, net: keras.Model, batch: Batch, seed: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        batch = dict(batch)
        batch["weight"] = tf.gather(self.weights, batch["label"])
        batch["label"] = tf.one_hot(batch["label"], self.count)
        targets = [name for name in ("label", "weight", TEACHER) if name in batch]
        batch = augment(batch, seed, self.changes, self.features, targets)
        logits = net(batch[self.features], training=True)
        spread = self.profile.smoothing
        wanted = (1 - spread) * batch["label"] + spread / self.count
        loss = tf.nn.softmax_cross_entropy_with_logits(wanted, logits)
        if TEACHER in batch:
            part = self.profile.distil
            theirs = tf.nn.softmax_cross_entropy_with_logits(batch[TEACHER], logits)
            loss = (1 - part) * loss + part * theirs
        right = tf.equal(tf.argmax(logits, -1), tf.argmax(batch["label"], -1))
        return batch["weight"] * loss, {"accuracy": tf.cast(right, tf.float32)}
