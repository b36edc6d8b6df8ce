"""A classifier's net as small as a net can be, in the place of those that are shipped.

Reads and writes nothing. Needs TensorFlow.
"""

from collections.abc import Sequence

import keras
from keras import layers

from training.graph import blocks


def tiny(
    name: str,
    shape: tuple[int, int],
    classes: int,
    mean: Sequence[float],
    deviation: Sequence[float],
) -> keras.Model:
    """Knows the colour of a sound."""
    given = keras.Input(shape, name="features")
    x = blocks.normalised(given, mean, deviation)
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    return keras.Model(given, blocks.logits(x, classes, 0.1), name=name.replace("-", "_"))
