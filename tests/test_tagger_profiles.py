"""Profiles: kept and taken back whole, changed where a person asks and nowhere else.

Reads the Makefile. Writes nothing. Needs TensorFlow for one test: names stand in two places.
"""

import dataclasses
import json
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from tests import corpus
from training import durable
from training.errors import Changed
from training.profiles import INIT_SCALE
from training.tagger.profiles import (
    CHANGES,
    NETS,
    PROFILES,
    Profile,
    chosen,
    profile_of,
)


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_comes_back_from_what_a_run_keeps(name: str) -> None:
    profile = PROFILES[name]
    kept = json.loads(durable.dump_json({**profile.config(), "recipe": "x", "tags": ["a"]}))
    found = profile_of(kept)
    assert found == profile
    assert found.config() == profile.config()


@pytest.mark.parametrize("augment", [None, {}, {"mixup": 0.2, "roll": 0.1}])
def test_every_number_of_a_profile_comes_back(augment: dict[str, float] | None) -> None:
    settings = replace(PROFILES["best"].settings, budget=7.5, seed=3, warmup=9, patience=2)
    profile = Profile("musicnn-small", 5, 0.2, augment, settings)
    found = profile_of(json.loads(durable.dump_json(profile.config())))
    assert found == profile
    assert found.augment == augment  # None is as stored


def test_a_run_s_profile_is_not_the_profile_itself() -> None:
    before = durable.dump_json(PROFILES["demo"].config())
    held = PROFILES["demo"].config()
    held["augment"]["mixup"] = 9.0
    held["settings"]["epochs"] = 9
    assert durable.dump_json(PROFILES["demo"].config()) == before


def test_classic_is_how_the_published_weights_were_trained() -> None:
    """Of 600 epochs at most, the rate halved after 75 that are no better, and no changes."""
    one, s = PROFILES["classic"], PROFILES["classic"].settings
    assert (one.net, one.augment) == ("musicnn", None)
    assert (s.epochs, s.schedule, s.patience, s.factor, s.stop) == (600, "plateau", 75, 0.5, 150)
    assert (s.rate, s.warmup, s.clip, s.ema, s.score) == (1e-3, 0, 0.0, 0.0, "-loss")


def test_the_others_are_judged_by_average_precision() -> None:
    assert {name: one.settings.score for name, one in PROFILES.items()} == {
        "demo": "pr_auc", "best": "pr_auc", "classic": "-loss",
    }  # fmt: skip


def test_the_demo_computes_as_every_machine_does() -> None:
    assert PROFILES["demo"].settings.precision == "float32"


def test_the_profiles_that_make_names_are_these() -> None:
    text = (corpus.REPO / "Makefile").read_text()
    (named,) = re.findall(r"of training:.* PROFILE=(\S+)", text)
    assert sorted(named.split("|")) == sorted(PROFILES)


def test_masks_are_of_so_many_frames_and_bands_at_most() -> None:
    """20 of 187 and 8 of 96."""
    held = PROFILES["best"].augment
    assert held is not None
    assert int(held["time_width"] * 187) == 20
    assert round(held["mel_width"] * 96) == 8


def test_names_are_those_of_the_nets_and_of_the_changes() -> None:
    pytest.importorskip("tensorflow")
    from training.graph.augment import Augment
    from training.tagger.net import SIZES

    assert tuple(SIZES) == NETS
    known = {field.name for field in dataclasses.fields(Augment)}
    assert set(CHANGES) == known - {"log", "constant"}  # which follow from the recipe
    for one in PROFILES.values():
        Augment(**(one.augment or {}))  # type: ignore[arg-type]


def test_profiles_need_no_tensorflow() -> None:
    code = "import sys, training.tagger.profiles; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=corpus.REPO)  # fmt: skip
    loaded = done.stdout.split()
    assert "training.tagger.profiles" in loaded, done.stderr
    assert not {"tensorflow", "keras", "torch"} & set(loaded)


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
        ({"net": "musicnn-small"}, {"net": "musicnn-small"}),
        ({"net": "musicnn"}, {"net": "musicnn"}),
        ({"augment": False}, {"augment": None}),
        ({"epochs": 2, "seed": 1, "net": "musicnn", "budget": "1h"},
         {"settings.epochs": 2, "settings.seed": 1, "net": "musicnn", "settings.budget": 3600.0}),
    ],
)  # fmt: skip
def test_what_is_asked_changes_that_and_nothing_else(
    name: str, asked: dict[str, Any], changed: dict[str, Any]
) -> None:
    plain, found = flat(PROFILES[name].config()), flat(chosen(name, **asked).config())
    inside = tuple(f"{key}." for key in changed)
    assert found == {k: v for k, v in plain.items() if not k.startswith(inside)} | changed


@pytest.mark.parametrize("name", PROFILES)
def test_a_net_that_was_trained_before_learns_with_a_fifth_of_the_rate(name: str) -> None:
    plain, found = flat(PROFILES[name].config()), flat(chosen(name, init=True, epochs=9).config())
    rate = plain["settings.rate"] * INIT_SCALE
    assert found == plain | {"settings.rate": rate, "settings.epochs": 9}
    assert INIT_SCALE == 0.2


def test_unknown_names_are_told_the_known_ones() -> None:
    with pytest.raises(Changed) as said:
        chosen("bset")
    assert all(name in str(said.value) for name in (*PROFILES, "PROFILE", "bset"))
    with pytest.raises(Changed) as said:
        chosen("best", net="vgg")
    assert all(name in str(said.value) for name in (*NETS, "NET", "vgg"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"batch": 0}, "batch: out of range; expected 1 or more; got 0"),
        ({"decay": -0.1}, "decay: out of range; got -0.1"),
        ({"decay": float("nan")}, "decay"),
        ({"augment": {"mixpu": 0.3}}, "mixpu"),
        ({"augment": {"mixup": 0.3, "log": "db"}}, "log: out of range; got unknown"),
        ({"net": "vgg"}, "NET: unknown value; expected musicnn or musicnn-small; got vgg"),
    ],
)
def test_numbers_that_cannot_be_meant(values: dict[str, Any], said: str) -> None:
    with pytest.raises(Changed, match=said) as error:
        replace(PROFILES["best"], **values)
    assert error.value.exit_code == 2


def test_times_epochs_and_seeds_that_cannot_be_meant() -> None:
    with pytest.raises(Changed, match="BUDGET: no time"):
        chosen("best", budget="soon")
    with pytest.raises(Changed, match="epochs"):
        chosen("best", epochs=-1)
    for seed in (2**32, 10**23, -1):
        with pytest.raises(Changed, match="SEED: out of range"):
            chosen("best", seed=seed)
    assert chosen("best", seed=2**32 - 1).settings.seed == 2**32 - 1
