"""The classifier's nets by name: (batch, frames, mels) as stored in the shards -> logits.

Reads and writes nothing, and asks no network. Does: builds a net with fresh weights.

| name              | parameters | what it is                                                      |
| cnn               | 0.29 M     | plain 3 x 3 convolutions                                        |
| cnn-small         | 0.07 M     | the same with half the channels: a student of a quarter of that |
| mn                | 0.98 M     | inverted residuals in MobileNetV3's proportions, widths x 0.47  |
| mn-small          | 0.29 M     | the same, widths x 0.23: a student of less than a third of that |
| mobilenetv3       | 3.0 M      | Keras' MobileNetV3-Large                                        |
| efficientnetv2-b0 | 5.9 M      | Keras' EfficientNetV2-B0                                        |
"""

from collections.abc import Sequence

import keras
from keras import layers

from training.classifier.cnn import cnn
from training.classifier.mn import mn
from training.classifier.profiles import BACKBONES
from training.errors import Changed
from training.graph.blocks import MOMENTUM, Tensor, logits, normalised

PARTS = {"cnn": 1, "cnn-small": 2}
WIDTHS = {"mn": 0.47, "mn-small": 0.23}
LEAST = 32  # frames and mels: Keras' nets halve both five times
DROPOUT = 0.2

_KERAS = {
    "mobilenetv3": keras.applications.MobileNetV3Large,
    "efficientnetv2-b0": keras.applications.EfficientNetV2B0,
}


def _of_keras(name: str, x: Tensor) -> Tensor:
    """The body of a net for images, its batch statistics taken as ours are."""
    body = _KERAS[name](
        input_tensor=x, weights=None, include_top=False, include_preprocessing=False
    )
    for layer in body.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.synchronized, layer.momentum = True, MOMENTUM
    return layers.GlobalAveragePooling2D(name="mean")(body.output)


def _body(name: str, x: Tensor) -> Tensor:
    """(batch, frames, mels, 1) -> (batch, numbers)."""
    if name in PARTS:
        return cnn(x, PARTS[name])
    return mn(x, WIDTHS[name]) if name in WIDTHS else _of_keras(name, x)


def make_net(
    name: str,
    shape: tuple[int, int],
    classes: int,
    mean: Sequence[float],
    deviation: Sequence[float],
) -> keras.Model:
    """A net for ``shape`` = (frames, mels); ``mean`` and ``deviation`` of each mel band over the
    training data. Its weights come from keras.utils.set_random_seed."""
    if name not in BACKBONES:
        raise Changed("unknown backbone", got=name, do=f"choose one of {', '.join(BACKBONES)}")
    if name in _KERAS and min(shape) < LEAST:
        least = f"at least {LEAST} frames and mels"
        raise Changed("too small for this backbone", name, least, shape, "choose cnn or mn")
    given = keras.Input(shape, name="features")
    x = normalised(given, mean, deviation)
    x = layers.Reshape((*shape, 1), name="image")(x)
    x = _body(name, x)
    return keras.Model(given, logits(x, classes, DROPOUT), name=name.replace("-", "_"))
