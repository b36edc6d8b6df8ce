"""How good a classifier is on the examples that its run is judged by.

Reads: shards, through training/graph/answers.py. Writes nothing. Does: loss, accuracy and macro-F1.
"""

from collections.abc import Sequence

import keras
import numpy as np

from training.classes.scores import LEAST, measured
from training.data.index import Index
from training.graph.answers import Asked, Question, softmax


class Validation:
    """How a net does on the examples that a run is judged by."""

    def __init__(
        self,
        index: Index,
        part: np.ndarray,
        fields: Sequence[str],
        labels: np.ndarray,
        question: Question | None = None,
    ) -> None:
        """`part` marks the positions, `labels` are theirs; `question` gives logits."""
        self.ask, self.labels = Asked(index, part, fields, question), labels

    def __call__(self, net: keras.Model) -> dict[str, float]:
        held = softmax(self.ask(net))
        own = held[np.arange(len(held)), self.labels].clip(LEAST)
        return {"loss": float(-np.log(own).mean()), **measured(self.labels, held)}
