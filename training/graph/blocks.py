"""Layers in the shapes that nets are built of, as functions of tensors that Keras records.

Reads and writes nothing. Does: normalises features, convolves with batch normalisation, squeezes
and excites, pools, and ends in logits.

Every layer with weights has a name from its place, so that a net's variables are called the same
in every process. Batch statistics are taken over all replicas, so that N replicas of a part of the
batch learn what one learns from all of it.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import keras
import numpy as np
from keras import layers

FLOOR = 0.05  # least deviation of a band, as a part of the largest one's
MOMENTUM = 0.9  # of the batch statistics' average: settled after 50 steps, for runs are short
DROPOUT_SEED = 0  # the state that moves on from it is one of the net's variables

Tensor: TypeAlias = keras.KerasTensor


def normalised(x: Tensor, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """Every band to mean 0 and deviation 1. A band that the training data left all but constant
    is not blown up when other data move it."""
    spread = np.asarray(deviation, np.float64)
    least = FLOOR * spread.max() or 1.0
    variance = np.maximum(spread, least) ** 2
    return layers.Normalization(
        axis=-1, mean=np.asarray(mean), variance=variance, dtype="float32", name="normalised"
    )(x)


def convolved(
    x: Tensor, filters: int, size: int, strides: int = 1, act: str | None = None, *, name: str
) -> Tensor:
    """Convolution, batch normalisation, activation. ``filters`` 0: each channel by itself."""
    common = {"strides": strides, "padding": "same", "use_bias": False, "name": name}
    if filters:
        x = layers.Conv2D(filters, size, kernel_initializer="he_normal", **common)(x)
    else:  # He's rule counts the inputs of one output: Keras would count all channels' here
        start = keras.initializers.TruncatedNormal(stddev=math.sqrt(2) / size)
        x = layers.DepthwiseConv2D(size, depthwise_initializer=start, **common)(x)
    x = layers.BatchNormalization(momentum=MOMENTUM, synchronized=True, name=f"{name}_norm")(x)
    return layers.Activation(act, name=f"{name}_act")(x) if act else x


def squeezed(x: Tensor, ratio: int = 4, *, name: str) -> Tensor:
    """Channels weighed by what the whole example holds (Hu et al. 2018)."""
    channels = x.shape[-1]
    one = {"kernel_size": 1, "kernel_initializer": "he_normal"}
    y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    y = layers.Conv2D(max(8, channels // ratio), activation="relu", name=f"{name}_in", **one)(y)
    y = layers.Conv2D(channels, activation="hard_sigmoid", name=f"{name}_out", **one)(y)
    return layers.Multiply(name=f"{name}_weigh")([x, y])


def inverted(
    x: Tensor, kernel: int, wide: int, out: int, strides: int, act: str, squeeze: bool, *, name: str
) -> Tensor:
    """Widen, look around, squeeze, narrow (Sandler et al. 2018; Howard et al. 2019)."""
    y = convolved(x, wide, 1, act=act, name=f"{name}_widen") if wide != x.shape[-1] else x
    y = convolved(y, 0, kernel, strides, act, name=f"{name}_look")
    y = squeezed(y, name=f"{name}_squeeze") if squeeze else y
    y = convolved(y, out, 1, name=f"{name}_narrow")
    return layers.Add(name=f"{name}_add")([x, y]) if y.shape == x.shape else y


def logits(x: Tensor, classes: int, dropout: float) -> Tensor:
    """(batch, numbers) -> (batch, classes), float32 whatever the rest is computed in."""
    x = layers.Dropout(dropout, seed=DROPOUT_SEED, name="dropout")(x)
    return layers.Dense(classes, dtype="float32", name="logits")(x)
