"""How a tagger is trained: three profiles, and what a person changes in one.

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

NETS = ("musicnn", "musicnn-small")
# The numbers of training.graph.augment.Augment that do not follow from the recipe.
CHANGES = ("roll", "gain", "mixup", "time_masks", "time_width", "mel_masks", "mel_width")


@dataclass(frozen=True)
class Profile:
    """Everything that decides a tagger's weights, besides its data and where it starts from."""

    net: str
    batch: int  # patches of a step, over all devices
    decay: float  # AdamW's
    augment: Mapping[str, float] | None  # of training.graph.augment; None: patches as stored
    settings: Settings

    def __post_init__(self) -> None:
        if self.net not in NETS:
            raise Changed("unknown value", "NET", " or ".join(NETS), self.net)
        if self.batch < 1:
            raise Changed("out of range", "batch", "1 or more", self.batch)
        wrong = [] if self.decay >= 0 else ["decay"]
        wrong += [name for name in self.augment or {} if name not in CHANGES]
        if wrong:
            raise Changed("out of range", wrong[0], got=getattr(self, wrong[0], "unknown"))

    def config(self) -> dict[str, Any]:
        """As a run keeps it."""
        return kept(self)


def profile_of(config: Mapping[str, Any]) -> Profile:
    """Back from what a run kept."""
    return back(Profile, config)


# Masks of 20 of 187 frames and 8 of 96 bands at most.
_CHANGED = {
    "roll": 0.5, "gain": 6.0, "mixup": 0.2,
    "time_masks": 1, "time_width": 0.11, "mel_masks": 1, "mel_width": 0.083,
}  # fmt: skip
_SETTINGS = Settings(
    rate=2e-3, schedule="cosine", warmup=30, least=0.01, stop=0, score="pr_auc", clip=5.0,
    precision="float32", ema=0.99,
)  # fmt: skip

PROFILES = {
    # Two cores, the demo corpus, a few minutes.
    "demo": Profile("musicnn-small", 16, 1e-4, _CHANGED, replace(_SETTINGS, epochs=28)),
    # Real recordings.
    "best": Profile(
        "musicnn", 32, 1e-4, _CHANGED,
        replace(_SETTINGS, epochs=60, rate=1e-3, ema=0.999, precision="auto"),
    ),
    # As the published weights were trained: Adam 1e-3, halved when nothing improves for long.
    "classic": Profile(
        "musicnn", 32, 1e-5, None,
        Settings(epochs=600, rate=1e-3, patience=75, stop=150, score="-loss"),
    ),
}  # fmt: skip


# A profile by its name, with what a person asked for beside it.
chosen = partial(profiles.chosen, PROFILES)
