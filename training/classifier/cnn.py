"""A plain convolutional net for little data.

Reads and writes nothing. Does: convolves 3 x 3 and halves time and mel four times, then takes the
mean and the largest value of every channel.
"""

from keras import layers

from training.graph.blocks import Tensor, convolved

STAGES = ((16,), (32, 32), (64, 64), (128, 128))  # channels of each convolution, before a halving


def cnn(x: Tensor, part: int = 1) -> Tensor:
    """(batch, frames, mels, 1) -> (batch, numbers); `part` divides the channels."""
    for i, stage in enumerate(STAGES):
        for j, channels in enumerate(stage):
            x = convolved(x, channels // part, 3, act="relu", name=f"conv{i}{j}")
        x = layers.MaxPooling2D(2, padding="same", name=f"half{i}")(x)
    mean = layers.GlobalAveragePooling2D(name="mean")(x)
    most = layers.GlobalMaxPooling2D(name="most")(x)
    return layers.Concatenate(name="pooled")([mean, most])
