"""A net's answers for examples of an index.

Reads: TFRecord shards, through training/data/tf_data.py. Writes nothing. Does: asks in the index's
order, in memory that the answers alone grow with.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.data.index import SPLITS, Index
from training.data.tf_data import Examples

AT_ONCE = 128  # examples
TIMED = 20

# What a net is asked about one batch, by field: (batch, answers).
Question = Callable[[keras.Model, dict[str, Any]], Any]


class Asked:
    """Examples that nets are asked about: a part of an index, in its order."""

    def __init__(
        self,
        index: Index,
        part: np.ndarray,
        fields: Sequence[str],
        question: Question | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        """Without a `question` a net is given the fields themselves."""
        self.fields, self.question = tuple(fields), question or self._plain
        self.examples = Examples(
            index, SPLITS, at_once, fields=self.fields, chosen=part, shuffle=False
        )
        self.answer: Any = None
        self.net: keras.Model | None = None

    def __call__(self, net: keras.Model) -> np.ndarray:
        """(examples, answers) float32, in the order of their positions."""
        if self.net is not net:  # traced once for each net
            self.net = net
            self.answer = tf.function(
                lambda batch: self.question(net, batch), reduce_retracing=True
            )
        return np.concatenate(
            [
                self.answer({name: batch[name] for name in self.fields}).numpy()
                for batch in self.examples.epoch(0)
            ]
        )

    def _plain(self, net: keras.Model, batch: dict[str, Any]) -> Any:
        given = [batch[name] for name in self.fields]
        return net(given if len(given) > 1 else given[0], training=False)


def taken(index: Index, part: np.ndarray, fields: Sequence[str]) -> tuple[np.ndarray, ...]:
    """Some fields of the positions in a mask, as arrays: for few examples."""
    examples = Examples(index, SPLITS, 64, fields=fields, chosen=part, shuffle=False)
    found = [[batch[name].numpy() for name in fields] for batch in examples.epoch(0)]
    return tuple(np.concatenate(arrays) for arrays in zip(*found, strict=True))


def milliseconds(net: keras.Model) -> float:
    """Of this process' cores together, for one example at a time."""
    given = [tf.zeros((1, *each.shape[1:])) for each in net.inputs]
    answer = tf.function(lambda x: net(x if len(x) > 1 else x[0], training=False))
    answer(given)
    began = time.process_time()
    for _ in range(TIMED):
        answer(given).numpy()
    return (time.process_time() - began) * 1000 / TIMED


def softmax(logits: np.ndarray) -> np.ndarray:
    """(..., classes) float64 probabilities."""
    held = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return np.asarray(held / held.sum(-1, keepdims=True))
