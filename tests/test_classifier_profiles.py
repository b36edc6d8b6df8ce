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
from training.classifier.profiles import (
    BACKBONES,
    CHANGES,
    PROFILES,
    Profile,
    chosen,
    profile_of,
)
from training.errors import Changed


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_comes_back_from_what_a_run_keeps(name: str) -> None:
    profile = PROFILES[name]
    kept = json.loads(durable.dump_json({**profile.config(), "recipe": "x", "classes": ["a"]}))
    found = profile_of(kept)
    assert found == profile
    assert found.config() == profile.config()


@pytest.mark.parametrize("augment", [None, {}, {"mixup": 0.2, "roll": 0.1}])
def test_every_number_of_a_profile_comes_back(augment: dict[str, float] | None) -> None:
    settings = replace(PROFILES["best"].settings, budget=7.5, seed=3, warmup=9, patience=2)
    profile = Profile("cnn", 5, 0.2, 0.3, 0.4, 0.5, augment, settings)
    found = profile_of(json.loads(durable.dump_json(profile.config())))
    assert found == profile
    assert found.augment == augment  # None is as stored


def test_a_run_s_profile_is_not_the_profile_itself() -> None:
    before = durable.dump_json(PROFILES["demo"].config())
    held = PROFILES["demo"].config()
    held["augment"]["mixup"] = 9.0
    held["settings"]["epochs"] = 9
    assert durable.dump_json(PROFILES["demo"].config()) == before


def test_classic_is_what_such_classifiers_were_trained_with() -> None:
    one = PROFILES["classic"]
    assert (one.backbone, one.smoothing, one.balance, one.decay) == ("cnn", 0, 0, 0)
    assert set(one.augment or {}) == {"time_masks", "time_width", "mel_masks", "mel_width"}
    s = one.settings
    assert (s.schedule, s.warmup, s.clip, s.ema, s.rate) == ("plateau", 0, 0.0, 0.0, 1e-3)
    assert s.stop > s.patience > 0


def test_all_profiles_are_judged_by_their_loss() -> None:
    """Accuracy of few examples has few values: its best epoch is the first of many equals."""
    assert {one.settings.score for one in PROFILES.values()} == {"-loss"}


def test_the_demo_computes_as_every_machine_does() -> None:
    assert PROFILES["demo"].settings.precision == "float32"


def test_the_profiles_that_make_names_are_these() -> None:
    text = (corpus.REPO / "Makefile").read_text()
    (named,) = re.findall(r"of training:.* PROFILE=(\S+)", text)
    assert sorted(named.split("|")) == sorted(PROFILES)


def test_names_are_those_of_the_nets_and_of_the_changes() -> None:
    pytest.importorskip("tensorflow")
    from training.classifier import backbones
    from training.graph.augment import Augment

    assert backbones.BACKBONES == BACKBONES
    known = {field.name for field in dataclasses.fields(Augment)}
    assert set(CHANGES) == known - {"log", "constant"}  # which follow from the recipe
    for one in PROFILES.values():
        Augment(**(one.augment or {}))  # type: ignore[arg-type]


def test_profiles_need_no_tensorflow() -> None:
    code = "import sys, training.classifier.profiles; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=corpus.REPO)  # fmt: skip
    loaded = done.stdout.split()
    assert "training.classifier.profiles" in loaded, done.stderr
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
        ({"backbone": "efficientnetv2-b0"}, {"backbone": "efficientnetv2-b0"}),
        ({"augment": False}, {"augment": None}),
        ({"epochs": 2, "seed": 1, "backbone": "mn-small", "budget": "1h"},
         {"settings.epochs": 2, "settings.seed": 1, "backbone": "mn-small",
          "settings.budget": 3600.0}),
    ],
)  # fmt: skip
def test_what_is_asked_changes_that_and_nothing_else(
    name: str, asked: dict[str, Any], changed: dict[str, Any]
) -> None:
    plain, found = flat(PROFILES[name].config()), flat(chosen(name, **asked).config())
    inside = tuple(f"{key}." for key in changed)
    assert found == {k: v for k, v in plain.items() if not k.startswith(inside)} | changed


def test_unknown_names_are_told_the_known_ones() -> None:
    with pytest.raises(Changed) as said:
        chosen("bset")
    assert all(name in str(said.value) for name in (*PROFILES, "PROFILE", "bset"))
    with pytest.raises(Changed) as said:
        chosen("best", backbone="resnet")
    assert all(name in str(said.value) for name in (*BACKBONES, "BACKBONE", "resnet"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"batch": 0}, "batch: out of range; expected 1 or more; got 0"),
        ({"smoothing": 1.1}, "smoothing: out of range; got 1.1"),
        ({"smoothing": -0.1}, "smoothing"),
        ({"distil": 2.0}, "distil"),
        ({"balance": -1.0}, "balance"),
        ({"decay": float("nan")}, "decay"),
        ({"augment": {"mixpu": 0.3}}, "mixpu"),
    ],
)
def test_numbers_that_cannot_be_meant(values: dict[str, Any], said: str) -> None:
    with pytest.raises(Changed, match=said) as error:
        replace(PROFILES["best"], **values)
    assert error.value.exit_code == 2


def test_times_and_epochs_that_cannot_be_meant() -> None:
    with pytest.raises(Changed, match="BUDGET: no time"):
        chosen("best", budget="soon")
    with pytest.raises(Changed, match="epochs"):
        chosen("best", epochs=-1)


@pytest.mark.parametrize("seed", [2**32, 10**23])
def test_seeds_that_no_generator_takes(seed: int) -> None:
    with pytest.raises(Changed, match="SEED: out of range"):
        chosen("best", seed=seed)
    assert chosen("best", seed=2**32 - 1).settings.seed == 2**32 - 1
