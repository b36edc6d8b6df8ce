"""Profiles of every model: kept and taken back whole, changed where a person asks and nowhere else.

Reads the Makefile. Writes nothing. Needs torch for two models' and TensorFlow for one
test: names stand in two places.
"""

import dataclasses
import importlib
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests import corpus
from training import durable
from training.data.mixing import Online
from training.errors import Changed
from training.profiles import INIT_SCALE

KERAS = ("hybrid", "tagger", "classifier")
OF_TORCH = ["denoiser", "diarizer"] if importlib.util.find_spec("torch") else []
HERE = [*KERAS, *OF_TORCH]
ROOMS = {model: importlib.import_module(f"training.{model}.profiles") for model in HERE}
EACH = [(model, name) for model in HERE for name in ROOMS[model].PROFILES]

# What stands beside a profile in a run's file.
BESIDE: dict[str, dict[str, Any]] = {
    "hybrid": {"recipe": "x", "variant": "raw"},
    "tagger": {"recipe": "x", "tags": ["a"]},
    "classifier": {"recipe": "x", "classes": ["a"]},
    "denoiser": {"recipes": ["x"], "rate": 8000},
    "diarizer": {"recipes": ["x"], "known": 5, "heard": {}},
}
# One that is trained for long, and whose numbers tests change.
LONG = dict.fromkeys(HERE, "best") | {"diarizer": "original"}
# Profiles with no number of a shipped one, but for their settings.
MASKED: tuple[dict[str, float] | None, ...] = ({"mixup": 0.2, "roll": 0.1}, {}, None)
NUMBERS: dict[str, list[tuple[Any, ...]]] = {
    "hybrid": [
        ("hybrid-small", 5, 0.2, 0.3, 0.4, 0.5, augment)
        for augment in ({"mix": 0.2, "noise_snr": [3.0, 4.0]}, {}, None)
    ],
    "tagger": [("musicnn-small", 5, 0.2, augment) for augment in MASKED],
    "classifier": [("cnn", 5, 0.2, 0.3, 0.4, 0.5, augment) for augment in MASKED],
    "denoiser": [
        ("unet-small", "mrstft", 5, "adam",
         Online(1.0, 2.0, 0.1, 0.2, (0.7, 1.3), 0.3, (-3.0, 3.0), 5 << 20)),
    ],
    "diarizer": [
        (32, 5, 25, 7, 9, "pit-bce", 3, 1, 0.3, 0.9, True, augment)
        for augment in ({"warp": 0.2, "bands": 3}, {}, None)
    ],
}  # fmt: skip
CHANGED = dict.fromkeys(HERE, "augment") | {"denoiser": "online"}
# What a net is called where a person asks for one, where one is told, and all nets.
NET = {"hybrid": ("net", "NET", "NETS"), "tagger": ("net", "NET", "NETS"),
       "classifier": ("backbone", "BACKBONE", "BACKBONES"),
       "denoiser": ("arch", "arch", "ARCHS"), "diarizer": ("head", "head", "HEADS")}  # fmt: skip
# Of which score the best epoch is, but for those that say so.
JUDGED = {
    # Accuracy of few examples has few values: its best epoch is the first of many equals.
    "hybrid": "-loss", "classifier": "-loss",
    "tagger": "pr_auc",
    "denoiser": "si_sdr_gain",  # a net that does nothing has a small loss too
    "diarizer": "-der",
}  # fmt: skip
# Nets that are asked for, the first of them alone and the last with all else.
ASKED = {"hybrid": ("hybrid", "hybrid-small"), "tagger": ("musicnn-small", "musicnn"),
         "classifier": ("efficientnetv2-b0", "mn-small"),
         "denoiser": ("unet-small", "spec-large"), "diarizer": ("pit-bce", "powerset")}  # fmt: skip
# And what each word changes, a net being the first or the second of these.
ASKS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"epochs": 3}, {"settings.epochs": 3}),
    ({"budget": "90m"}, {"settings.budget": 5400.0}),
    ({"seed": 5}, {"settings.seed": 5}),
    ({"net": 0}, {"net": 0}),
    ({"net": 1}, {"net": 1}),
    ({"augment": False}, {"augment": None}),
    ({"init": True}, {}),
    ({"init": True, "epochs": 9}, {"settings.epochs": 9}),
    ({"epochs": 2, "seed": 1, "net": 1, "budget": "1h"},
     {"settings.epochs": 2, "settings.seed": 1, "net": 1, "settings.budget": 3600.0}),
    ({"epochs": 2, "seed": 1, "net": 1, "budget": "1h", "init": True},
     {"settings.epochs": 2, "settings.seed": 1, "net": 1, "settings.budget": 3600.0}),
]  # fmt: skip
# Numbers that follow from the recipe.
FOLLOWS = {"hybrid": ("waves.Changes", set()), "tagger": ("augment.Augment", {"log", "constant"}),
           "classifier": ("augment.Augment", {"log", "constant"})}  # fmt: skip
WRONG: dict[str, list[tuple[dict[str, Any], str]]] = {
    "hybrid": [
        ({"smoothing": 1.0}, "smoothing: out of range; got 1.0"),
        ({"smoothing": -0.1}, "smoothing"),
        ({"alone": 1.0}, "alone: out of range"),
        ({"alone": -0.1}, "alone"),
        ({"balance": -1.0}, "balance"),
        ({"decay": float("nan")}, "decay"),
        ({"augment": {"mixup": 0.3}}, "mixup"),
    ],
    "tagger": [
        ({"decay": -0.1}, "decay: out of range; got -0.1"),
        ({"decay": float("nan")}, "decay"),
        ({"augment": {"mixpu": 0.3}}, "mixpu"),
        ({"augment": {"mixup": 0.3, "log": "db"}}, "log: out of range; got unknown"),
        ({"net": "vgg"}, "NET: unknown value; expected musicnn or musicnn-small; got vgg"),
    ],
    "classifier": [
        ({"smoothing": 1.1}, "smoothing: out of range; got 1.1"),
        ({"smoothing": -0.1}, "smoothing"),
        ({"distil": 2.0}, "distil"),
        ({"balance": -1.0}, "balance"),
        ({"decay": float("nan")}, "decay"),
        ({"augment": {"mixpu": 0.3}}, "mixpu"),
    ],
    "denoiser": [({"optimizer": "sgd"}, "optimizer.*adam or adamw; got sgd")],
    "diarizer": [
        ({"head": "sum"}, "head: out of range; expected powerset or pit-bce; got sum"),
        ({"width": 18}, "width: out of range; expected a multiple of 4; got 18"),
        ({"width": 0}, "width"),
        ({"blocks": 0}, "blocks"),
        ({"longest": 0}, "longest"),
        ({"shorter": 12}, "shorter: out of range; expected a multiple of 5; got 12"),
        ({"shorter": 0}, "shorter"),
        ({"speakers": 1}, "speakers"),
        ({"speakers": 6}, "speakers"),
        ({"overlap": 0}, "overlap"),
        ({"overlap": 5}, "overlap: out of range; expected 1 to speak"),
        ({"voice": -0.1}, "voice"),
        ({"voice": float("nan")}, "voice"),
        ({"voice": float("inf")}, "voice"),
        ({"taught": 1.1}, "taught"),
        ({"augment": {"mixup": 0.3}}, "augment: unknown value; expected warp, .*got .*mixup"),
    ],
}


def of_each(rows: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(model, row) for model in HERE for row in rows[model]]


def flat(config: dict[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= (
            flat(value, f"{before}{key}.") if isinstance(value, dict) else {before + key: value}
        )
    return found


def listed(profile: Any) -> Any:
    """Pairs are lists in a run's file, and of what is changed in sounds they stay lists."""
    if not getattr(profile, "augment", None):
        return profile
    held = {k: list(v) if isinstance(v, tuple) else v for k, v in profile.augment.items()}
    return replace(profile, augment=held)


# ---- kept, and back ----------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "name"), EACH)
def test_a_profile_comes_back_from_what_a_run_keeps(model: str, name: str) -> None:
    profile = ROOMS[model].PROFILES[name]
    kept = json.loads(durable.dump_json({**profile.config(), **BESIDE[model]}))
    found = ROOMS[model].profile_of(kept)
    wanted = listed(profile) if model == "hybrid" else profile
    assert found == wanted
    assert found.config() == wanted.config()
    assert durable.dump_json(found.config()) == durable.dump_json(profile.config())
    for field in dataclasses.fields(profile):
        assert type(getattr(found, field.name)) is type(getattr(profile, field.name)), field.name


@pytest.mark.parametrize(("model", "values"), of_each(NUMBERS))
def test_every_number_of_a_profile_comes_back(model: str, values: Sequence[Any]) -> None:
    room = ROOMS[model]
    settings = replace(room.PROFILES["demo"].settings, budget=7.5, seed=3, warmup=9, patience=2)
    names = [f.name for f in dataclasses.fields(room.Profile) if f.name != "settings"]
    profile = room.Profile(**dict(zip(names, values, strict=True)), settings=settings)
    found = room.profile_of(json.loads(durable.dump_json(profile.config())))
    assert found == profile
    assert getattr(found, CHANGED[model]) == values[-1]  # None is as stored


@pytest.mark.parametrize(
    ("model", "key"),
    [("hybrid", "mix"), ("tagger", "mixup"), ("classifier", "mixup"), ("denoiser", "above")],
)
def test_a_run_s_profile_is_not_the_profile_itself(model: str, key: str) -> None:
    if model not in ROOMS:
        pytest.skip("no torch")
    demo = ROOMS[model].PROFILES["demo"]
    before = durable.dump_json(demo.config())
    held = demo.config()
    assert held[CHANGED[model]][key] != 9.0
    held[CHANGED[model]][key] = 9.0
    held["settings"]["epochs"] = 9
    assert durable.dump_json(demo.config()) == before


# ---- the shipped ones --------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "name"), EACH)
def test_epochs_are_judged_by_what_tells_them_apart(model: str, name: str) -> None:
    wanted = "-loss" if name == "classic" else JUDGED[model]
    assert ROOMS[model].PROFILES[name].settings.score == wanted


@pytest.mark.parametrize("model", HERE)
def test_the_demo_computes_as_every_machine_does(model: str) -> None:
    assert ROOMS[model].PROFILES["demo"].settings.precision == "float32"


@pytest.mark.parametrize("model", HERE)
def test_the_profiles_that_make_names_are_these(model: str) -> None:
    text = (corpus.REPO / "Makefile").read_text()
    (named,) = re.findall(r"of training:.* PROFILE=(\S+)", text)
    more = re.findall(rf"of {model}s:.* ?PROFILE=(\S+)", text)
    assert len(more) == (model in OF_TORCH)
    if LONG[model] != "best":  # its own are all that it has besides the demo
        named = "demo"
    assert sorted("|".join([named, *more]).split("|")) == sorted(ROOMS[model].PROFILES)


@pytest.mark.parametrize("model", KERAS)
def test_names_of_changes_are_those_of_what_changes(model: str) -> None:
    pytest.importorskip("tensorflow")
    place, follows = FOLLOWS[model]
    module, name = place.split(".")
    changes = getattr(importlib.import_module(f"training.graph.{module}"), name)
    assert set(ROOMS[model].CHANGES) == {x.name for x in dataclasses.fields(changes)} - follows
    for one in ROOMS[model].PROFILES.values():
        changes(**(one.augment or {}))


@pytest.mark.parametrize("model", KERAS)
def test_profiles_need_no_tensorflow(model: str) -> None:
    code = f"import sys, training.{model}.profiles; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=corpus.REPO)  # fmt: skip
    loaded = done.stdout.split()
    assert f"training.{model}.profiles" in loaded, done.stderr
    assert not {"tensorflow", "keras", "torch"} & set(loaded)


# ---- what is asked -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "name", "asked", "changed"),
    [
        (*one, *row)
        for one in EACH
        for row in ASKS
        if one[0] != "denoiser" or "augment" not in row[0]  # it has no such word
    ],
    ids=str,
)
def test_what_is_asked_changes_that_and_nothing_else(
    model: str, name: str, asked: dict[str, Any], changed: dict[str, Any]
) -> None:
    """A net that was trained before learns with a fifth of the rate."""
    asked, changed = (
        {NET[model][0] if k == "net" else k: ASKED[model][v] if k == "net" else v
         for k, v in one.items()}
        for one in (asked, changed)
    )  # fmt: skip
    room = ROOMS[model]
    plain, found = flat(room.PROFILES[name].config()), flat(room.chosen(name, **asked).config())
    if "init" in asked:
        changed["settings.rate"] = plain["settings.rate"] * INIT_SCALE
    inside = tuple(f"{key}." for key in changed)
    assert found == {k: v for k, v in plain.items() if not k.startswith(inside)} | changed


def test_a_net_that_was_trained_before_learns_slower() -> None:
    assert INIT_SCALE == 0.2


@pytest.mark.parametrize("model", HERE)
def test_unknown_names_are_told_the_known_ones(model: str) -> None:
    room, (word, told, known) = ROOMS[model], NET[model]
    with pytest.raises(Changed) as said:
        room.chosen("bset")
    assert all(name in str(said.value) for name in (*room.PROFILES, "PROFILE", "bset"))
    with pytest.raises(Changed) as said:
        room.chosen(LONG[model], **{word: "resnet"})
    assert all(name in str(said.value) for name in (*getattr(room, known), told, "resnet"))


@pytest.mark.parametrize("model", HERE)
def test_no_step_is_of_no_example(model: str) -> None:
    with pytest.raises(Changed, match="batch: out of range; expected 1 or more; got 0") as error:
        replace(ROOMS[model].PROFILES[LONG[model]], batch=0)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(("model", "row"), of_each(WRONG))
def test_numbers_that_cannot_be_meant(model: str, row: tuple[dict[str, Any], str]) -> None:
    values, said = row
    with pytest.raises(Changed, match=said) as error:
        replace(ROOMS[model].PROFILES[LONG[model]], **values)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("model", HERE)
def test_times_epochs_and_seeds_that_cannot_be_meant(model: str) -> None:
    chosen = ROOMS[model].chosen
    with pytest.raises(Changed, match="BUDGET: no time"):
        chosen(LONG[model], budget="soon")
    with pytest.raises(Changed, match="epochs"):
        chosen(LONG[model], epochs=-1)
    for seed in (2**32, 10**23, -1):
        with pytest.raises(Changed, match="SEED: out of range"):
            chosen(LONG[model], seed=seed)
    assert chosen(LONG[model], seed=2**32 - 1).settings.seed == 2**32 - 1
