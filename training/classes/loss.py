"""What every classifier learns from: cross-entropy with labels, its classes weighed.

Reads and writes nothing. Does: gives each example of a batch its weight, spreads labels, says how
far logits are from them.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from training.engine.keras_learner import Batch


class Labels:
    """Labels of a step's examples."""

    def __init__(self, counts: Sequence[int], balance: float, smoothing: float) -> None:
        """`counts` of the training examples of each class; see a profile for the rest."""
        self.count, self.smoothing = len(counts), smoothing
        weights = np.maximum(counts, 1.0) ** -balance  # a class may have no examples
        average = np.average(weights, weights=counts)
        self.weights = (weights / average).astype(np.float32)  # 1 on average

    def given(self, batch: Batch) -> dict[str, tf.Tensor]:
        """The batch with a `label` (examples, classes) that can be mixed, and its `weight`."""
        label = batch["label"]
        weight = tf.gather(self.weights, label)
        return {**batch, "weight": weight, "label": tf.one_hot(label, self.count)}

    def entropy(self, label: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        wanted = (1 - self.smoothing) * label + self.smoothing / self.count
        return tf.nn.softmax_cross_entropy_with_logits(wanted, logits)


def right(label: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """1 for each example whose likeliest class is the answer."""
    return tf.cast(tf.equal(tf.argmax(logits, -1), tf.argmax(label, -1)), tf.float32)
