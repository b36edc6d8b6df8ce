"""The tagger's net: (batch, frames, mels) as stored in the shards -> logits of the tags.

Reads and writes nothing, and asks no network. Does: builds MusicNN (Pons and Serra 2019;
https://github.com/jordipons/musicnn) with fresh weights.

Timbral filters look at 0.11 s of four and seven tenths of the bands and keep the loudest place of
all; temporal ones look at 2.05, 1.02 and 0.51 s of one band and do the same. Three convolutions
follow, each added to the one before, all of it is pooled over time and goes through a hidden layer.

| name          | parameters | filters: timbral, temporal, inside, hidden layer |
| musicnn       | 0.79 M     | 204, 51, 64, 200: as published                   |
| musicnn-small | 0.10 M     | 32, 8, 32, 100                                   |

The published net normalises its input by batch; here the training data do, once: the gradient that
two numbers of the input's would ask for takes as long as all others together.
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from training.errors import Changed
from training.graph.blocks import DROPOUT_SEED, MOMENTUM, Tensor
from training.tagger.profiles import NETS

STEP = 0.016  # seconds, the published hop: lengths of filters are in steps of it
LOOK = 7  # steps: of the timbral filters and of the convolutions inside
TIMBRAL = (0.4, 0.7)  # of all bands
TEMPORAL = (128, 64, 32)  # steps
DROPOUT = 0.5


class Size(NamedTuple):
    """How many filters of each kind, and numbers of the hidden layer."""

    timbral: int
    temporal: int
    inside: int
    hidden: int


SIZES = {"musicnn": Size(204, 51, 64, 200), "musicnn-small": Size(32, 8, 32, 100)}


def make_net(
    name: str, shape: tuple[int, int], tags: int, mean: float, deviation: float, step: float
) -> keras.Model:
    """A net for ``shape`` = (frames, mels); ``mean`` and ``deviation`` of all values of the
    training data, ``step`` seconds from frame to frame. Its weights come from
    keras.utils.set_random_seed."""
    if name not in SIZES:
        raise Changed("unknown net", got=name, do=f"choose one of {', '.join(NETS)}")
    size = SIZES[name]

    def steps(count: int) -> int:
        return max(1, round(count * STEP / step))

    given = keras.Input(shape, name="features")
    spread = np.asarray(deviation or 1.0)
    x = layers.Normalization(
        axis=None, mean=np.asarray(mean), variance=spread**2, dtype="float32", name="normalised"
    )(given)
    image = layers.Reshape((*shape, 1), name="image")(x)
    wide = [int(part * shape[1]) for part in TIMBRAL]
    found = [_front(image, size.timbral, (steps(LOOK), w), f"timbral{w}") for w in wide]
    found += [_front(image, size.temporal, (steps(k), 1), f"temporal{k}") for k in TEMPORAL]
    x = layers.Concatenate(name="front")(found)
    x = _pooled(_inside(x, size.inside, steps(LOOK)))
    x = layers.BatchNormalization(momentum=MOMENTUM, synchronized=True, name="pooled_norm")(x)
    x = layers.Dropout(DROPOUT, seed=DROPOUT_SEED, name="pooled_dropout")(x)
    x = _dense(x, size.hidden)
    x = layers.Dropout(DROPOUT, seed=DROPOUT_SEED + 1, name="dropout")(x)
    logits = layers.Dense(tags, dtype="float32", name="logits")(x)
    return keras.Model(given, logits, name=name.replace("-", "_"))


def _front(image: Tensor, filters: int, look: tuple[int, int], name: str) -> Tensor:
    """(batch, frames, mels, 1) -> (batch, frames, filters): the strongest answer of all bands."""
    frames = image.shape[1]
    before = (look[0] - 1) // 2
    x = layers.ZeroPadding2D(((before, look[0] - 1 - before), (0, 0)), name=f"{name}_pad")(image)
    x = layers.Conv2D(
        filters, look, activation="relu", kernel_initializer="he_normal", name=name
    )(x)  # fmt: skip
    x = layers.BatchNormalization(momentum=MOMENTUM, synchronized=True, name=f"{name}_norm")(x)
    x = layers.MaxPooling2D((1, x.shape[2]), name=f"{name}_most")(x)
    return layers.Reshape((frames, filters), name=f"{name}_flat")(x)


def _inside(x: Tensor, filters: int, look: int) -> list[Tensor]:
    """All that is pooled: what came in, and three convolutions that add up."""
    found, last = [x], None
    for i in range(3):
        y = layers.Conv1D(
            filters, look, padding="same", activation="relu", kernel_initializer="he_normal",
            name=f"inside{i}",
        )(x if last is None else last)  # fmt: skip
        y = layers.BatchNormalization(momentum=MOMENTUM, synchronized=True, name=f"inside{i}_norm")(
            y
        )
        last = y if last is None else layers.Add(name=f"inside{i}_add")([y, last])
        found.append(last)
    return found


def _pooled(found: list[Tensor]) -> Tensor:
    """(batch, twice the channels): the largest of each channel over time, then the means."""
    x = layers.Concatenate(name="all")(found)
    most = layers.GlobalMaxPooling1D(name="most")(x)
    mean = layers.GlobalAveragePooling1D(name="mean")(x)
    return layers.Concatenate(name="pooled")([most, mean])


def _dense(x: Tensor, size: int) -> Tensor:
    x = layers.Dense(size, activation="relu", kernel_initializer="he_normal", name="hidden")(x)
    return layers.BatchNormalization(momentum=MOMENTUM, synchronized=True, name="hidden_norm")(x)
