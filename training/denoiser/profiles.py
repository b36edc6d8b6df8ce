"""How a denoiser is trained: four profiles, and what a person changes in one.

Reads and writes nothing. Does: turns a profile, and what was asked beside it, into a configuration
that a run keeps, and back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from training import profiles
from training.data.mixing import Online
from training.denoiser.loss import LOSSES
from training.denoiser.net import ARCHS
from training.engine.settings import Settings
from training.errors import Changed
from training.profiles import back, kept

OPTIMIZERS = ("adam", "adamw")


@dataclass(frozen=True)
class Profile:
    """Everything that decides a denoiser's weights, besides its data and where it starts from."""

    arch: str
    loss: str
    batch: int  # examples a step, on each process
    optimizer: str
    online: Online | None  # None: the stored mixtures, the same in every epoch
    settings: Settings

    def __post_init__(self) -> None:
        known = {"arch": ARCHS, "loss": LOSSES, "optimizer": OPTIMIZERS}
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise Changed("unknown value", name, " or ".join(values), getattr(self, name))
        if self.batch < 1:
            raise Changed("out of range", "batch", "1 or more", self.batch)

    def config(self) -> dict[str, Any]:
        """As a run keeps it."""
        return kept(self)


def profile_of(config: Mapping[str, Any]) -> Profile:
    """Back from what a run kept."""
    online = config["online"]
    if online is not None:
        pairs = {name: tuple(online[name]) for name in ("speed", "gain")}  # JSON has lists
        online = Online(**{**online, **pairs})
    return back(Profile, {**config, "online": online})


_LONG = Settings(
    rate=5e-4, schedule="cosine", warmup=500, least=0.002, stop=0, score="si_sdr_gain", clip=5.0,
    precision="auto", ema=0.999,
)  # fmt: skip

PROFILES = {
    # Two cores, the demo corpus, a few minutes: the whole path with a model that helps.
    "demo": Profile(
        "spec", "composite-sdr", 16, "adamw", Online(),
        replace(_LONG, epochs=30, rate=2e-3, warmup=50, ema=0.99, precision="float32"),
    ),
    # One machine without a GPU, some hours, real voices.
    "small": Profile(
        "spec-large", "composite-sdr", 16, "adamw", Online(speed=(0.8, 1.25)),
        replace(_LONG, epochs=40, rate=1e-3, warmup=200, ema=0.998, precision="float32"),
    ),
    # A GPU.
    "best": Profile("unet", "composite-sdr", 16, "adamw", Online(speed=(0.8, 1.25)), _LONG),
    # What such networks were trained with for years; its loss is also small for a net that does
    # nothing, so look at the gain.
    "classic": Profile("unet", "mse", 16, "adam", None, Settings(score="-loss")),
}  # fmt: skip


# A profile by its name, with what a person asked for beside it.
chosen = partial(profiles.chosen, PROFILES)
