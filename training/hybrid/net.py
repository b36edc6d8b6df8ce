"""The hybrid's net: raw sound (batch, samples) and its vector (batch, numbers) -> logits.

Reads and writes nothing, and asks no network. Does: builds two branches and what joins them, with
fresh weights.

The raw branch is a strided bank of filters, then four stages of dilated separable convolutions,
each added to what came in, that see more and more of the sound at less and less detail; it takes
sound of any length. The other one knows the handcrafted vector, in deviations from the training
data's mean. For each example a gate says how far each of them is to be believed. While it learns,
each branch has an answer of its own too, so that neither leaves the work to the other.

| name         | parameters | filters, their step, channels of the stages |
| hybrid       | 0.55 M     | 32, 4 samples, 32 to 256                    |
| hybrid-small | 0.19 M     | 16, 8 samples, 16 to 128                    |
"""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import layers, ops

from training.errors import Changed
from training.graph.blocks import DROPOUT_SEED, MOMENTUM, Tensor
from training.hybrid.profiles import NETS

FILTER = 64  # samples of the first filters: 2.9 ms at 22.05 kHz
DILATIONS = (1, 2, 4, 8)
DOWN = 4  # each stage has a part of the steps of the one before
KNOWN = 128  # numbers that each branch says an example is
FAR = 8.0  # deviations that no number of a vector lies further away
DROPOUT = 0.3


class Size(NamedTuple):
    filters: int
    step: int  # samples
    channels: tuple[int, ...]


SIZES = {
    "hybrid": Size(32, 4, (32, 64, 128, 256)),
    "hybrid-small": Size(16, 8, (16, 32, 64, 128)),
}


def make_net(
    name: str,
    branches: Sequence[str],
    classes: int,
    mean: Sequence[float],
    deviation: Sequence[float],
    samples: int | None = None,
) -> keras.Model:
    """A net of the branches "wave" and "vector", or one of them: its outputs are its logits and,
    where there are both, each branch's own. ``mean`` and ``deviation`` of each number of the vector
    over the training data. Its weights come from keras.utils.set_random_seed."""
    if name not in SIZES:
        raise Changed("unknown net", got=name, do=f"choose one of {', '.join(NETS)}")
    given, known, own = [], [], []
    if "wave" in branches:
        given.append(keras.Input((samples,), name="wave"))
        known.append(_raw(given[-1], SIZES[name]))
    if "vector" in branches:
        given.append(keras.Input((len(mean),), name="vector"))
        known.append(_handcrafted(given[-1], mean, deviation))
    for k, x in zip(branches, known, strict=True):
        x = layers.Dropout(DROPOUT, seed=DROPOUT_SEED + 1, name=f"{k}_dropout")(x)
        own.append(layers.Dense(classes, dtype="float32", name=f"{k}_logits")(x))
    outputs = own if len(own) == 1 else [_joined(known, own), *own]
    return keras.Model(given, outputs, name=name.replace("-", "_"))


def answering(net: keras.Model) -> keras.Model:
    """The same net without the branches' own answers."""
    return keras.Model(net.inputs, net.outputs[0], name=net.name)


def _normed(x: Tensor, name: str, act: str | None = "relu") -> Tensor:
    x = layers.BatchNormalization(momentum=MOMENTUM, synchronized=True, name=f"{name}_norm")(x)
    return layers.Activation(act, name=f"{name}_act")(x) if act else x


def _raw(wave: Tensor, size: Size) -> Tensor:
    """(batch, samples) -> (batch, KNOWN)"""
    common = {"use_bias": False, "kernel_initializer": "he_normal"}
    x = layers.Reshape((-1, 1), name="samples")(wave)
    x = layers.Conv1D(
        size.filters, FILTER, strides=size.step, padding="same", name="filters", **common
    )(x)
    x = _normed(x, "filters")
    for i, channels in enumerate(size.channels):
        x = layers.MaxPooling1D(DOWN, padding="same", name=f"stage{i}_down")(x)
        if x.shape[-1] != channels:
            x = _normed(layers.Conv1D(channels, 1, name=f"stage{i}", **common)(x), f"stage{i}")
        for d in DILATIONS:
            x = _looked(x, channels, d, f"stage{i}_{d}")
        x = _weighed(x, f"stage{i}")
    mean = layers.GlobalAveragePooling1D(name="mean")(x)
    most = layers.GlobalMaxPooling1D(name="most")(x)
    return _known(layers.Concatenate(name="pooled")([mean, most]), "wave")


def _looked(x: Tensor, channels: int, dilation: int, name: str) -> Tensor:
    """Around each step, as far as the dilation says."""
    y = layers.SeparableConv1D(
        channels, 3, padding="same", dilation_rate=dilation, use_bias=False,
        depthwise_initializer="he_normal", pointwise_initializer="he_normal", name=name,
    )(x)  # fmt: skip
    return layers.Add(name=f"{name}_add")([x, _normed(y, name)])


def _weighed(x: Tensor, name: str) -> Tensor:
    """Channels weighed by what the whole example holds (Hu et al. 2018)."""
    channels = x.shape[-1]
    y = layers.GlobalAveragePooling1D(keepdims=True, name=f"{name}_squeeze")(x)
    y = layers.Dense(max(8, channels // 4), activation="relu", name=f"{name}_in")(y)
    y = layers.Dense(channels, activation="hard_sigmoid", name=f"{name}_out")(y)
    return layers.Multiply(name=f"{name}_weigh")([x, y])


def _handcrafted(vector: Tensor, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """(batch, numbers) -> (batch, KNOWN)"""
    spread = np.asarray(deviation, np.float64)
    spread = np.where(spread > 1e-6 * np.abs(mean), spread, np.maximum(np.abs(mean), 1e-9))
    x = layers.Normalization(
        mean=np.asarray(mean), variance=spread**2, dtype="float32", name="standardised"
    )(vector)
    x = ops.clip(x, -FAR, FAR)
    x = layers.Dense(KNOWN, use_bias=False, kernel_initializer="he_normal", name="vector_in")(x)
    x = layers.Dropout(DROPOUT, seed=DROPOUT_SEED, name="vector_in_dropout")(
        _normed(x, "vector_in")
    )
    return _known(x, "vector")


def _known(x: Tensor, name: str) -> Tensor:
    x = layers.Dense(KNOWN, use_bias=False, kernel_initializer="he_normal", name=f"{name}_known")(x)
    return _normed(x, f"{name}_known")


def _joined(known: Sequence[Tensor], own: Sequence[Tensor]) -> Tensor:
    """Both branches' logits, each as far as the gate believes it, and what they say together."""
    both = layers.Concatenate(name="both")(known)
    both = layers.Dropout(DROPOUT, seed=DROPOUT_SEED + 2, name="both_dropout")(both)
    gate = layers.Dense(len(own), activation="sigmoid", dtype="float32", name="gate")(both)
    more = layers.Dense(own[0].shape[-1], dtype="float32", name="logits")(both)
    parts = [gate[:, i : i + 1] * x for i, x in enumerate(own)]
    return layers.Add(dtype="float32", name="fused")([*parts, more])
