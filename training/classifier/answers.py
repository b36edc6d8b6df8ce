"""A net's answers for examples of an index, and how good those are that a run is judged by.

Reads: TFRecord shards, through training/data/tf_data.py. Writes nothing. Does: asks in the index's
order, in memory that the answers alone grow with.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.classifier.scores import LEAST, measured
from training.data.index import SPLITS, Index
from training.data.tf_data import Examples

AT_ONCE = 128  # examples


class Asked:
    """Examples that nets are asked about: a part of an index, in its order."""

    def __init__(self, index: Index, part: np.ndarray, features: str) -> None:
        self.features = features
        self.examples = Examples(
            index, SPLITS, AT_ONCE, fields=(features,), chosen=part, shuffle=False
        )
        self.answer: Any = None
        self.net: keras.Model | None = None

    def __call__(self, net: keras.Model) -> np.ndarray:
        """(examples, classes) float32, logits."""
        if self.net is not net:  # traced once for each net
            self.net = net
            self.answer = tf.function(lambda x: net(x, training=False), reduce_retracing=True)
        return np.concatenate(
            [self.answer(batch[self.features]).numpy() for batch in self.examples.epoch(0)]
        )


class Validation:
    """How a net does on the examples that a run is judged by."""

    def __init__(self, index: Index, part: np.ndarray, features: str, labels: np.ndarray) -> None:
        """`part` marks the positions, `labels` are theirs."""
        self.ask, self.labels = Asked(index, part, features), labels

    def __call__(self, net: keras.Model) -> dict[str, float]:
        held = softmax(self.ask(net))
        own = held[np.arange(len(held)), self.labels].clip(LEAST)
        return {"loss": float(-np.log(own).mean()), **measured(self.labels, held)}


def softmax(logits: np.ndarray) -> np.ndarray:
    """(..., classes) float64 probabilities."""
    held = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return np.asarray(held / held.sum(-1, keepdims=True))
