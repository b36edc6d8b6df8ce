"""A net of inverted residuals in the proportions of MobileNetV3-Large, for spectrograms.

Reads and writes nothing. Does: halves time and mel four times in all (five in the image net: a
spectrogram of three seconds has few frames to lose), pools, and ends in a hidden layer.

Schmid et al. (2023) found widths times 0.4 to keep nine tenths of the whole net's precision on
AudioSet at a fifth of its cost.
"""

from typing import NamedTuple

from keras import layers

from training.graph.blocks import Tensor, convolved, inverted


class Stage(NamedTuple):
    """Equal blocks, of which the first may halve time and mel."""

    kernel: int
    expand: int
    channels: int  # at width 1
    repeats: int
    strides: int
    squeeze: bool
    act: str


STAGES = (
    Stage(3, 1, 16, 1, 1, False, "relu"),
    Stage(3, 4, 24, 2, 2, False, "relu"),
    Stage(5, 3, 40, 3, 2, True, "relu"),
    Stage(3, 3, 80, 4, 2, False, "hard_silu"),
    Stage(3, 6, 112, 2, 1, True, "hard_silu"),
    Stage(5, 6, 160, 3, 1, True, "hard_silu"),
)
STEM, HIDDEN = 16, 1280  # at width 1


def scaled(channels: int, width: float) -> int:
    """A multiple of 8, which is what processors like, and never much below what was asked."""
    whole = max(8, round(channels * width / 8) * 8)
    return whole if whole >= 0.9 * channels * width else whole + 8


def mn(x: Tensor, width: float) -> Tensor:
    """(batch, frames, mels, 1) -> (batch, numbers)."""
    x = convolved(x, scaled(STEM, width), 3, 2, "hard_silu", name="stem")
    for i, stage in enumerate(STAGES):
        out = scaled(stage.channels, width)
        for j in range(stage.repeats):
            wide = stage.expand * x.shape[-1]
            strides = 1 if j else stage.strides
            x = inverted(
                x, stage.kernel, wide, out, strides, stage.act, stage.squeeze, name=f"b{i}{j}"
            )
    x = convolved(x, 6 * x.shape[-1], 1, act="hard_silu", name="last")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    hidden = scaled(HIDDEN, width)
    return layers.Dense(
        hidden, activation="hard_silu", kernel_initializer="he_normal", name="hidden"
    )(x)
