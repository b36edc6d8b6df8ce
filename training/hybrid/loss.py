"""What a hybrid learns from: cross-entropy with labels, of the whole net and of each branch.

Reads and writes nothing. Does: changes the sound of a step, takes its vector from what it has
become, asks the net, weighs classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from training.classes.loss import Labels, right
from training.engine.keras_learner import Batch
from training.graph.vector import Vector
from training.graph.waves import Changes, changed
from training.hybrid.profiles import Profile


class Objective:
    """The loss of a step. Where sound is changed, both branches hear the same changed sound."""

    def __init__(
        self, profile: Profile, recipe: Mapping[str, Any], counts: Sequence[int], mixed: bool
    ) -> None:
        """`counts` of the training examples of each class."""
        self.profile, self.rate = profile, recipe["audio"]["rate"]
        self.changes, self.front = None, None
        if profile.augment is not None:
            asked = dict(profile.augment) if mixed else {**profile.augment, "mix": 0.0}
            snr = asked.get("noise_snr")
            self.changes = Changes(**asked | ({"noise_snr": tuple(snr)} if snr else {}))
            self.front = Vector(recipe, "vector")
        self.labels = Labels(counts, profile.balance, profile.smoothing)

    def __call__(
        self, net: keras.Model, batch: Batch, seed: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        batch = self.labels.given(batch)
        names = [given.name for given in net.inputs]
        if self.changes is not None and self.front is not None:
            batch = changed(batch, seed, self.changes, self.rate, targets=("label", "weight"))
            if "vector" in names:
                batch["vector"] = tf.stop_gradient(self.front(batch["wave"]))
        found = net([batch[name] for name in names], training=True)
        logits, *own = found if isinstance(found, list) else [found]
        part = self.profile.alone if own else 0.0
        loss = (1 - part) * self.labels.entropy(batch["label"], logits)
        for each in own:
            loss += part / len(own) * self.labels.entropy(batch["label"], each)
        return batch["weight"] * loss, {"accuracy": right(batch["label"], logits)}
