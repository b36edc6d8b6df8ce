"""What the profiles of all models share: found by name, changed as asked, kept and taken back.

Reads and writes nothing.
"""

import dataclasses
import json
import re
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from training import durable
from training.engine.budget import Budget
from training.engine.settings import Settings
from training.errors import Changed
from training.facts import called, differences
from training.profiles import SEEDS, asked, back, kept, named


@dataclass(frozen=True)
class Profile:
    """Of a model that there is not."""

    width: int
    shift: tuple[float, ...]
    augment: dict[str, Any] | None
    settings: Settings


SETTINGS = Settings(epochs=7, rate=0.25, schedule="cosine", budget=60.0, seed=9, ema=0.5)
PLAIN = Profile(3, (1.0, 2.5), {"gain": 6.0, "pair": [20.0, 50.0]}, SETTINGS)


# ------------------------------------------------------------------ named


def test_a_profile_by_its_name_is_that_very_one() -> None:
    profiles = {"demo": PLAIN, "best": replace(PLAIN, width=8)}
    assert named(profiles, "best") is profiles["best"]
    assert named(profiles, "demo") is PLAIN


@pytest.mark.parametrize("name", ["", "Best", "bes", "best ", "demo or best"])
def test_another_name_is_told_the_known_ones(name: str) -> None:
    with pytest.raises(Changed) as said:
        named({"demo": PLAIN, "best": PLAIN}, name)
    told = f"PROFILE: no such profile; expected demo or best{f'; got {name}' if name else ''}"
    assert str(said.value) == told
    assert said.value.exit_code == 2


# ------------------------------------------------------------------ asked


def changed(old: Settings, new: Settings) -> dict[str, Any]:
    """The fields that differ, and what they are now."""
    names = [field.name for field in dataclasses.fields(Settings)]
    return {n: getattr(new, n) for n in names if getattr(old, n) != getattr(new, n)}


@pytest.mark.parametrize(
    ("given", "differs"),
    [
        ({"seed": 9}, {}),
        ({}, {"seed": 0}),  # a run that nobody gives a seed has 0, whatever the profile
        ({"seed": 9, "epochs": 3}, {"epochs": 3}),
        ({"seed": 9, "epochs": 0, "budget": ""}, {}),
        ({"seed": 9, "budget": "1h30m"}, {"budget": 5400.0}),
        ({"seed": 9, "budget": "0"}, {"budget": 0.0}),  # without one, though the profile has
        ({"seed": 9, "budget": "2h", "runs": 20}, {"budget": 7200.0, "shared": 20}),
        ({"seed": 9, "runs": 4}, {"shared": 4}),  # of the profile's own
        ({"seed": SEEDS - 1, "epochs": 1, "budget": "2d"},
         {"seed": 4294967295, "epochs": 1, "budget": 172800.0}),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_asked_changes_that_alone(given: dict[str, Any], differs: dict[str, Any]) -> None:
    before = dataclasses.asdict(SETTINGS)
    assert changed(SETTINGS, asked(SETTINGS, **given)) == differs
    assert dataclasses.asdict(SETTINGS) == before


@pytest.mark.parametrize("seed", [-1, 2**32, 10**30])
def test_seeds_that_keras_does_not_take(seed: int) -> None:
    keras = pytest.importorskip("keras")
    with pytest.raises(Changed, match=f"SEED: out of range; expected 0 to 4294967295; got {seed}"):
        asked(SETTINGS, seed=seed)
    with pytest.raises(Exception, match="[Ss]eed"):
        keras.utils.set_random_seed(seed)
    keras.utils.set_random_seed(SEEDS - 1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"budget": "soon"}, "BUDGET: no time; expected such as 8h, 90m or 1h30m; got soon"),
        ({"budget": "-1h"}, "BUDGET: no time"),
        ({"epochs": -2}, "epochs: out of range; got -2"),
    ],
)
def test_what_cannot_be_meant_is_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(Changed, match=re.escape(said)) as error:
        asked(SETTINGS, **given)
    assert error.value.exit_code == 2


# ------------------------------------------------------------------ kept, and back


def test_a_kept_profile_holds_every_number_by_its_name() -> None:
    found = kept(PLAIN)
    assert list(found) == ["width", "shift", "augment", "settings"]
    assert found["augment"] == {"gain": 6.0, "pair": [20.0, 50.0]}
    settings = {field.name: getattr(SETTINGS, field.name) for field in dataclasses.fields(Settings)}
    assert found["settings"] == settings
    assert len(settings) > 15


def test_what_is_done_with_a_kept_profile_leaves_the_profile_alone() -> None:
    found = kept(PLAIN)
    found["augment"]["gain"] = 99.0
    found["augment"]["pair"].append(1.0)
    found["settings"]["epochs"] = 99
    assert PLAIN.augment == {"gain": 6.0, "pair": [20.0, 50.0]}
    assert PLAIN.settings.epochs == 7


@pytest.mark.parametrize("augment", [None, {}, {"gain": 6.0, "pair": [20.0, 50.0]}])
def test_back_from_a_run_s_file_whatever_stands_beside_it(augment: dict[str, Any] | None) -> None:
    profile = replace(PLAIN, augment=augment, shift=())
    more = {"recipe": "x", "classes": ["a"], "fold": None, "width_of": 1}
    config = json.loads(durable.dump_json({**more, **kept(profile)}))
    found = back(Profile, config)
    assert type(found) is Profile
    assert type(found.settings) is Settings
    assert (found.width, found.augment, found.settings) == (3, augment, SETTINGS)
    assert durable.dump_json(kept(found)) == durable.dump_json(kept(profile))


def test_a_file_without_one_of_its_numbers_is_no_profile() -> None:
    config = kept(PLAIN)
    del config["width"]
    with pytest.raises(KeyError, match="width"):
        back(Profile, config)
    with pytest.raises(TypeError, match="epoch_s"):
        back(Profile, {**kept(PLAIN), "settings": {"epoch_s": 3}})
    with pytest.raises(Changed, match="rate: out of range"):
        back(Profile, {**kept(PLAIN), "settings": {**kept(PLAIN)["settings"], "rate": -1.0}})


def test_a_run_gets_its_share_of_a_budget() -> None:
    keeper: Any = SimpleNamespace(learner=SimpleNamespace(settings=asked(SETTINGS, runs=4)))
    assert Budget(keeper).limit == 15


def test_how_many_share_a_budget_makes_no_other_run() -> None:
    """Variants may join a run that began without them."""
    one, four = ({"config": {"settings": vars(asked(SETTINGS, runs=n))}} for n in (1, 4))
    assert differences(one, four) == []
    assert called(one) == called(four)
