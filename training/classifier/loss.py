"""What a classifier learns from: cross-entropy with labels, and with a teacher's answers.

Reads and writes nothing. Does: changes the examples of a step, asks the net, weighs labels against
the teacher.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from training.classes.loss import Labels, right
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
        self.profile, self.features = profile, features
        self.changes = changes(profile.augment, recipe["features"][features])
        self.labels = Labels(counts, profile.balance, profile.smoothing)

    def __call__(
        self, net: keras.Model, batch: Batch, seed: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        batch = self.labels.given(batch)
        targets = [name for name in ("label", "weight", TEACHER) if name in batch]
        batch = augment(batch, seed, self.changes, self.features, targets)
        logits = net(batch[self.features], training=True)
        loss = self.labels.entropy(batch["label"], logits)
        if TEACHER in batch:
            part = self.profile.distil
            theirs = tf.nn.softmax_cross_entropy_with_logits(batch[TEACHER], logits)
            loss = (1 - part) * loss + part * theirs
        return batch["weight"] * loss, {"accuracy": right(batch["label"], logits)}
