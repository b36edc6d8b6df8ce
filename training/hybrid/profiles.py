"""How a hybrid is trained: three profiles, four variants, and what a person changes in one.

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

NETS = ("hybrid", "hybrid-small")
# What is added to a run's name -> which branches its net has, and whether examples are mixed. The
# one without an end is the model; the others show what each of its parts is worth.
VARIANTS = {
    "raw": (("wave",), False),
    "features": (("vector",), False),
    "unmixed": (("wave", "vector"), False),
    "": (("wave", "vector"), True),
}
# The numbers of training.graph.waves.Changes.
CHANGES = ("crop", "gain", "flip", "mask", "masks", "mask_width", "noise", "noise_snr", "mix")


@dataclass(frozen=True)
class Profile:
    """Everything that decides a hybrid's weights, besides its data."""

    net: str
    batch: int  # examples of a step, over all devices
    smoothing: float  # part of a label that is spread over all classes
    balance: float  # a class with a part p of the examples counts p ** -balance times as much
    decay: float  # AdamW's: what an L2 penalty of the weights is to plain gradient descent
    alone: float  # part of the loss that is each branch's own answer's
    augment: Mapping[str, Any] | None  # of training.graph.waves; None: examples as stored
    settings: Settings

    def __post_init__(self) -> None:
        if self.net not in NETS:
            raise Changed("unknown value", "NET", " or ".join(NETS), self.net)
        if self.batch < 1:
            raise Changed("out of range", "batch", "1 or more", self.batch)
        wrong = [n for n in ("smoothing", "alone") if not 0 <= getattr(self, n) < 1]
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


# Few are masked: a deviation over frames tells of a silence before all else, and no clip to be told
# has one (all of them masked, features alone lost 8 points).
_CHANGED = {
    "crop": 0.5, "gain": 6.0, "flip": 0.5, "mask": 0.2, "masks": 1, "mask_width": 0.2, "noise": 0.3,
    "noise_snr": (20.0, 50.0), "mix": 0.5,
}  # fmt: skip
_SETTINGS = Settings(
    rate=2e-3, schedule="cosine", warmup=30, least=0.01, stop=0, score="-loss", clip=5.0,
    precision="float32", ema=0.99,
)  # fmt: skip

PROFILES = {
    # Two cores, the demo corpus, a few minutes: 300 examples are not three batches of 128, and in
    # so few steps mixtures are not learnt (half of them mixed cost 11 points, a seventh 4).
    "demo": Profile(
        "hybrid-small", 32, 0.1, 0.5, 1e-3, 0.3, {**_CHANGED, "mix": 0.1},
        replace(_SETTINGS, epochs=52),
    ),
    # Real recordings.
    "best": Profile(
        "hybrid", 128, 0.1, 0.5, 1e-3, 0.3, _CHANGED,
        replace(_SETTINGS, epochs=100, precision="auto"),
    ),
    # What such nets were trained with for years: nothing changed, no average.
    "classic": Profile(
        "hybrid", 128, 0.0, 0.0, 1e-4, 0.0, None, Settings(epochs=50, rate=1e-3, stop=10)
    ),
}  # fmt: skip


# A profile by its name, with what a person asked for beside it.
chosen = partial(profiles.chosen, PROFILES)
