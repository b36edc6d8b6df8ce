"""How a classifier is trained: three profiles, and what a person changes in one.

Reads and writes nothing. Does: turns a profile, and what was asked beside it, into a configuration
that a run keeps, and back. Needs no TensorFlow.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from training import profiles
from training.engine.settings import Settings
from training.errors import Changed
from training.profiles import back, kept

BACKBONES = ("cnn", "cnn-small", "mn", "mn-small", "mobilenetv3", "efficientnetv2-b0")
# The numbers of training.graph.augment.Augment that do not follow from the recipe.
CHANGES = ("roll", "gain", "mixup", "time_masks", "time_width", "mel_masks", "mel_width")


@dataclass(frozen=True)
class Profile:
    """Everything that decides a classifier's weights, besides its data and its teachers."""

    backbone: str
    batch: int  # examples of a step, over all devices
    smoothing: float  # part of a label that is spread over all classes
    balance: float  # a class with a part p of the examples counts p ** -balance times as much
    decay: float  # AdamW's
    distil: float  # part of the loss that is the teacher's, where there is one
    augment: Mapping[str, float] | None  # of training.graph.augment; None: examples as stored
    settings: Settings

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            known = " or ".join(BACKBONES)
            raise Changed("unknown value", "BACKBONE", known, self.backbone)
        if self.batch < 1:
            raise Changed("out of range", "batch", "1 or more", self.batch)
        wrong = [n for n in ("smoothing", "distil") if not 0 <= getattr(self, n) <= 1]
        wrong += [n for n in ("balance", "decay") if not getattr(self, n) >= 0]
        wrong += [n for n in self.augment or {} if n not in CHANGES]
        if wrong:
            raise Changed("out of range", wrong[0], got=getattr(self, wrong[0], "unknown"))

    def config(self) -> dict[str, Any]:
        """As a run keeps it."""
        return kept(self)


def profile_of(config: Mapping[str, Any]) -> Profile:
    """Back from what a run kept."""
    return back(Profile, config)


_CHANGED = {"roll": 0.5, "gain": 6.0, "mixup": 0.3}
_SETTINGS = Settings(
    rate=2e-3, schedule="cosine", warmup=30, least=0.01, stop=0, score="-loss", clip=5.0,
    precision="float32", ema=0.99,
)  # fmt: skip

# A plain net of 0.3 M parameters learns more of some hundred recordings than one of 1 M in the
# manner of MobileNetV3 (README, Measured).
PROFILES = {
    # Two cores, the demo corpus, a few minutes.
    "demo": Profile(
        "cnn", 32, 0.1, 0.5, 1e-4, 0.9, _CHANGED, replace(_SETTINGS, epochs=60)
    ),
    # Real recordings.
    "best": Profile(
        "cnn", 32, 0.1, 0.5, 1e-4, 0.9, _CHANGED, replace(_SETTINGS, epochs=40, precision="auto")
    ),
    # What such classifiers were trained with for years: no changes but masks, no average.
    "classic": Profile(
        "cnn", 32, 0.0, 0.0, 0.0, 0.9,
        {"time_masks": 1, "time_width": 0.2, "mel_masks": 1, "mel_width": 0.2},
        Settings(epochs=50, rate=1e-3, stop=10),
    ),
}  # fmt: skip


# A profile by its name, with what a person asked for beside it.
chosen = partial(profiles.chosen, PROFILES)
