"""Profiles: kept and taken back whole, changed where a person asks and nowhere else.

Reads the Makefile. Writes nothing.
"""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch")

from tests import corpus  # noqa: E402
from training import durable  # noqa: E402
from training.data.mixing import Online  # noqa: E402
from training.denoiser.loss import LOSSES  # noqa: E402
from training.denoiser.net import ARCHS  # noqa: E402
from training.denoiser.profiles import (  # noqa: E402
    PROFILES,
    Profile,
    chosen,
    profile_of,
)
from training.errors import Changed  # noqa: E402
from training.profiles import INIT_SCALE


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_comes_back_from_what_a_run_keeps(name: str) -> None:
    profile = PROFILES[name]
    kept = json.loads(durable.dump_json({**profile.config(), "recipes": ["x"], "rate": 8000}))
    found = profile_of(kept)
    assert found == profile
    assert found.config() == profile.config()
    assert type(found.online) is type(profile.online)


def test_every_number_of_a_profile_comes_back() -> None:
    online = Online(1.0, 2.0, 0.1, 0.2, (0.7, 1.3), 0.3, (-3.0, 3.0), 5 << 20)
    settings = replace(PROFILES["best"].settings, budget=7.5, seed=3, warmup=9, patience=2)
    profile = Profile("unet-small", "mrstft", 5, "adam", online, settings)
    assert profile_of(json.loads(durable.dump_json(profile.config()))) == profile


def test_classic_is_what_such_networks_were_trained_with() -> None:
    one = PROFILES["classic"]
    assert (one.arch, one.loss, one.optimizer, one.batch) == ("unet", "mse", "adam", 16)
    assert one.online is None
    s = one.settings
    assert (s.rate, s.epochs, s.score) == (1e-4, 40, "-loss")
    assert (s.schedule, s.patience, s.stop) == ("plateau", 3, 6)
    assert (s.warmup, s.clip, s.ema, s.precision) == (0, 0.0, 0.0, "float32")


def test_only_classic_is_judged_by_its_loss() -> None:
    """A net that does nothing has a small loss too."""
    judged = {name: one.settings.score for name, one in PROFILES.items()}
    assert judged == dict.fromkeys(PROFILES, "si_sdr_gain") | {"classic": "-loss"}


def test_the_profiles_that_make_names_are_these() -> None:
    text = (corpus.REPO / "Makefile").read_text()
    of_all, of_denoisers = re.findall(r"of (?:training|denoisers):.* ?PROFILE=(\S+)", text)
    assert sorted([*of_all.split("|"), *of_denoisers.split("|")]) == sorted(PROFILES)


def flat(config: dict[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= (
            flat(value, f"{before}{key}.") if isinstance(value, dict) else {before + key: value}
        )
    return found


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize(
    ("asked", "changed"),
    [
        ({}, {}),
        ({"epochs": 3}, {"settings.epochs": 3}),
        ({"budget": "90m"}, {"settings.budget": 5400.0}),
        ({"seed": 5}, {"settings.seed": 5}),
        ({"arch": "unet-small"}, {"arch": "unet-small"}),
        ({"init": True}, {"settings.rate": "scaled"}),
        ({"epochs": 2, "seed": 1, "arch": "spec-large", "budget": "1h", "init": True},
         {"settings.epochs": 2, "settings.seed": 1, "arch": "spec-large",
          "settings.budget": 3600.0, "settings.rate": "scaled"}),
    ],
)  # fmt: skip
def test_what_is_asked_changes_that_and_nothing_else(
    name: str, asked: dict[str, Any], changed: dict[str, Any]
) -> None:
    plain, found = flat(PROFILES[name].config()), flat(chosen(name, **asked).config())
    scaled = {"settings.rate": PROFILES[name].settings.rate * INIT_SCALE}
    assert found == plain | changed | (scaled if "init" in asked else {})


def test_a_net_that_was_trained_before_learns_slower() -> None:
    assert 0 < INIT_SCALE < 1


def test_unknown_names_are_told_the_known_ones() -> None:
    with pytest.raises(Changed) as said:
        chosen("bset")
    assert all(name in str(said.value) for name in (*PROFILES, "PROFILE", "bset"))
    with pytest.raises(Changed) as said:
        chosen("best", arch="unett")
    assert all(name in str(said.value) for name in (*ARCHS, "arch", "unett"))
    with pytest.raises(Changed) as said:
        replace(PROFILES["best"], loss="mae")
    assert all(name in str(said.value) for name in (*LOSSES, "loss", "mae"))
    with pytest.raises(Changed, match="optimizer.*adam or adamw; got sgd"):
        replace(PROFILES["best"], optimizer="sgd")
    with pytest.raises(Changed, match="batch.*1 or more; got 0"):
        replace(PROFILES["best"], batch=0)
    with pytest.raises(Changed, match="epochs"):
        chosen("best", epochs=-1)
