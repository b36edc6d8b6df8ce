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
from training.hybrid.profiles import (
    CHANGES,
    NETS,
    PROFILES,
    VARIANTS,
    Profile,
    chosen,
    profile_of,
)


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_comes_back_from_what_a_run_keeps(name: str) -> None:
    profile = PROFILES[name]
    kept = json.loads(durable.dump_json({**profile.config(), "recipe": "x", "variant": "raw"}))
    found = profile_of(kept)
    assert durable.dump_json(found.config()) == durable.dump_json(profile.config())
    assert (found.net, found.batch, found.settings) == (
        profile.net,
        profile.batch,
        profile.settings,
    )


@pytest.mark.parametrize("augment", [None, {}, {"mix": 0.2, "noise_snr": [3.0, 4.0]}])
def test_every_number_of_a_profile_comes_back(augment: dict[str, Any] | None) -> None:
    settings = replace(PROFILES["best"].settings, budget=7.5, seed=3, warmup=9, patience=2)
    profile = Profile("hybrid-small", 5, 0.2, 0.3, 0.4, 0.5, augment, settings)
    found = profile_of(json.loads(durable.dump_json(profile.config())))
    assert found == profile
    assert found.augment == augment  # None is as stored


def test_a_run_s_profile_is_not_the_profile_itself() -> None:
    before = durable.dump_json(PROFILES["demo"].config())
    held = PROFILES["demo"].config()
    held["augment"]["mix"] = 9.0
    held["settings"]["epochs"] = 9
    assert durable.dump_json(PROFILES["demo"].config()) == before


def test_the_last_variant_is_the_model_and_the_others_lack_one_thing_each() -> None:
    """The one that fused nets are compared with last is the same net on examples as they are."""
    names = list(VARIANTS)
    assert names == ["raw", "features", "unmixed", ""]
    both, mixed = VARIANTS[""]
    assert (set(both), mixed) == ({"wave", "vector"}, True)
    assert VARIANTS["unmixed"] == (both, False)
    alone = [VARIANTS[name] for name in ("raw", "features")]
    assert alone == [((branch,), False) for branch in both]


def test_classic_is_what_such_nets_were_trained_with() -> None:
    one = PROFILES["classic"]
    assert (one.smoothing, one.balance, one.alone, one.augment) == (0, 0, 0, None)
    s = one.settings
    assert (s.schedule, s.warmup, s.clip, s.ema, s.rate) == ("plateau", 0, 0.0, 0.0, 1e-3)
    assert s.stop > s.patience > 0


def test_all_profiles_are_judged_by_their_loss() -> None:
    """Accuracy of few examples has few values: its best epoch is the first of many equals."""
    assert {one.settings.score for one in PROFILES.values()} == {"-loss"}


def test_the_demo_is_for_two_cores() -> None:
    one = PROFILES["demo"]
    assert one.settings.precision == "float32"  # as every machine computes
    assert one.net == "hybrid-small"
    assert one.batch * 2 <= 180  # examples of the demo corpus to learn from


def test_what_makes_names_are_these() -> None:
    text = (corpus.REPO / "Makefile").read_text()
    (named,) = re.findall(r"of training:.* PROFILE=(\S+)", text)
    assert sorted(named.split("|")) == sorted(PROFILES)
    (told,) = re.findall(r"of hybrids: (.*?)   of", text)
    variables = {word.split("=")[0] for word in told.split()}
    assert variables == {"NET", "FOLDS", "AUGMENT", "ABLATION", "MAX_RAM"}
    exported = " ".join(re.findall(r"^ASKED \+?:?= (.*)$", text, re.M)).split()
    assert variables <= set(exported)


def test_names_are_those_of_the_nets_and_of_the_changes() -> None:
    pytest.importorskip("tensorflow")
    from training.graph.waves import Changes
    from training.hybrid.net import SIZES

    assert set(SIZES) == set(NETS)
    assert set(CHANGES) == {field.name for field in dataclasses.fields(Changes)}
    for one in PROFILES.values():
        Changes(**(one.augment or {}))


def test_profiles_need_no_tensorflow() -> None:
    code = "import sys, training.hybrid.profiles; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=corpus.REPO)  # fmt: skip
    loaded = done.stdout.split()
    assert "training.hybrid.profiles" in loaded, done.stderr
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
        ({"net": "hybrid"}, {"net": "hybrid"}),
        ({"augment": False}, {"augment": None}),
        ({"epochs": 2, "seed": 1, "net": "hybrid-small", "budget": "1h"},
         {"settings.epochs": 2, "settings.seed": 1, "net": "hybrid-small",
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
        chosen("best", net="resnet")
    assert all(name in str(said.value) for name in (*NETS, "NET", "resnet"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"batch": 0}, "batch: out of range; expected 1 or more; got 0"),
        ({"smoothing": 1.0}, "smoothing: out of range; got 1.0"),
        ({"smoothing": -0.1}, "smoothing"),
        ({"alone": 1.0}, "alone: out of range"),
        ({"alone": -0.1}, "alone"),
        ({"balance": -1.0}, "balance"),
        ({"decay": float("nan")}, "decay"),
        ({"augment": {"mixup": 0.3}}, "mixup"),
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
    with pytest.raises(Changed, match="SEED: out of range"):
        chosen("best", seed=2**32)
    assert chosen("best", seed=2**32 - 1).settings.seed == 2**32 - 1
