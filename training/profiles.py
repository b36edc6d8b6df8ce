"""What the profiles of all models have in common: a name, numbers, and what a person changes.

Reads and writes nothing. Does: finds a profile by its name, puts in what was asked beside it, turns
it into what a run keeps, and back.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar

from training.asked import seconds
from training.engine.settings import Settings
from training.errors import Changed

INIT_SCALE = 0.2  # of the rate, for a net that was trained before
SEEDS = 1 << 32  # what NumPy's older generator, which Keras seeds, has

P = TypeVar("P")


def named(profiles: Mapping[str, P], name: str) -> P:
    if name not in profiles:
        raise Changed("no such profile", "PROFILE", " or ".join(profiles), name)
    return profiles[name]


def asked(
    settings: Settings, epochs: int | None = None, budget: str = "", seed: int = 0, runs: int = 1
) -> Settings:
    """A profile's settings with what a person asked for, for each of the runs that it is for: a
    budget is of all of them."""
    if not 0 <= seed < SEEDS:
        raise Changed("out of range", "SEED", f"0 to {SEEDS - 1}", seed)
    more: dict[str, Any] = {"epochs": epochs} if epochs else {}
    limit = seconds(budget) if budget else settings.budget
    return replace(settings, seed=seed, budget=limit, shared=runs, **more)


def chosen(
    profiles: Mapping[str, P],
    name: str,
    *,
    augment: bool = True,
    epochs: int | None = None,
    budget: str = "",
    seed: int = 0,
    init: bool = False,
    runs: int = 1,
    **more: str,
) -> P:
    """A profile with what a person asked for beside it; what is empty in `more` stays. `init`: it
    starts from another run's weights; `runs` are trained with it, which share the budget."""
    profile: Any = named(profiles, name)
    settings = asked(profile.settings, epochs, budget, seed, runs)
    if init:
        settings = replace(settings, rate=settings.rate * INIT_SCALE)
    changed: dict[str, Any] = {field: value for field, value in more.items() if value}
    if not augment:
        changed["augment"] = None
    found: P = replace(profile, settings=settings, **changed)
    return found


def kept(profile: Any) -> dict[str, Any]:
    """A profile as a run keeps it."""
    return asdict(profile)


def back(kind: type[P], config: Mapping[str, Any]) -> P:
    """A profile of a kind from what a run kept."""
    held = {f.name: config[f.name] for f in fields(kind)}  # type: ignore[arg-type]
    return kind(**held | {"settings": Settings(**held["settings"])})
