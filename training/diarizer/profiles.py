"""How a diarizer is trained: three sizes and the demo, and what a person changes in one.

Reads and writes nothing. Does: turns a profile, and what was asked beside it, into a configuration
that a run keeps, and back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

from training import profiles
from training.diarizer.augment import Augment
from training.diarizer.loss import FRAME, HEADS
from training.diarizer.net import HEADS as ATTENTION
from training.diarizer.net import STEP
from training.diarizer.powerset import Powerset
from training.engine.settings import Settings
from training.errors import Changed
from training.profiles import back, kept


@dataclass(frozen=True)
class Profile:
    """Everything that decides a diarizer's weights, besides its data and where it starts from."""

    width: int
    blocks: int
    shorter: int  # stored frames (10 ms) in a frame of the model
    longest: int  # frames of the model in a sequence, at most
    batch: int  # sequences a step, on each process
    settings: Settings
    head: str = "powerset"
    speakers: int = 4  # in one sequence, at most
    overlap: int = 2  # at once, at most
    voice: float = 1.0  # weight of telling voices apart, beside who speaks when
    taught: float = 0.5  # share of the loss that a teacher has
    once: bool = False  # only the beginning of each recording
    augment: dict[str, Any] | None = field(default_factory=dict)  # what differs from Augment

    def __post_init__(self) -> None:
        unknown = set(self.augment or {}) - {f.name for f in fields(Augment)}
        if unknown:
            raise Changed("unknown value", "augment", ", ".join(vars(Augment())), sorted(unknown))
        rules = {
            "head": (self.head in HEADS, " or ".join(HEADS)),
            "width": (self.width > 0 and self.width % ATTENTION == 0, f"a multiple of {ATTENTION}"),
            "blocks": (self.blocks >= 1, "1 or more"),
            "shorter": (
                self.shorter > 0 and self.shorter % max(STEP, FRAME) == 0, f"a multiple of {STEP}",
            ),
            "longest": (self.longest >= 1, "1 or more"),
            "batch": (self.batch >= 1, "1 or more"),
            "speakers": (2 <= self.speakers <= 5, "2 to 5"),  # 120 orders are compared
            "overlap": (1 <= self.overlap <= self.speakers, "1 to speakers"),
            "voice": (0 <= self.voice < float("inf"), "0 or more"),
            "taught": (0 <= self.taught <= 1, "0 to 1"),
        }  # fmt: skip
        for name, (good, wanted) in rules.items():
            if not good:
                raise Changed("out of range", name, wanted, getattr(self, name))

    @property
    def sets(self) -> Powerset:
        return Powerset(self.speakers, self.overlap)

    @property
    def answers(self) -> int:
        """Numbers that the net gives a frame."""
        return self.speakers if self.head == "pit-bce" else len(self.sets)

    def config(self) -> dict[str, Any]:
        """As a run keeps it."""
        return kept(self)


def profile_of(config: Mapping[str, Any]) -> Profile:
    """Back from what a run kept."""
    return back(Profile, config)


_LONG = Settings(
    rate=1e-3, schedule="cosine", warmup=100, least=0.01, stop=0, score="-der", clip=5.0,
    precision="auto", ema=0.998,
)  # fmt: skip

PROFILES = {
    # Two cores, the demo corpus, a few minutes.
    "demo": Profile(
        64, 2, 10, 1000, 8,
        replace(_LONG, epochs=100, warmup=50, rate=2e-3, ema=0.99, precision="float32"),
    ),
    "original": Profile(256, 4, 10, 1000, 2, replace(_LONG, epochs=30)),
    "optimized": Profile(128, 3, 15, 500, 4, replace(_LONG, epochs=15, rate=1.5e-3)),
    "ultra-fast": Profile(64, 2, 20, 300, 8, replace(_LONG, epochs=10, rate=2e-3), once=True),
}  # fmt: skip


# A profile by its name, with what a person asked for beside it.
chosen = partial(profiles.chosen, PROFILES)
