"""The card of a hybrid: true to what it is given, and its example is the exports' own.

Reads and writes nothing.
"""

import copy
import re
from typing import Any

import pytest

pytest.importorskip("tensorflow")  # which views are made with

from tests import carded  # noqa: E402
from tests.classified import ANSWERS, NAMES, told  # noqa: E402
from training.classes.table import table  # noqa: E402
from training.hybrid.ablation import ablation  # noqa: E402
from training.hybrid.card import card  # noqa: E402

FACTS = carded.facts("hybrid", {
    "net": "hybrid-small", "batch": 32, "alone": 0.3, "augment": {"crop": 0.5, "mix": 0.5},
    "settings": {"epochs": 60}, "recipe": "mine", "classes": list(NAMES), "fold": None,
    "variant": "", "ablation": True, "parts": 2, "samples": 66048,
    "mean": [0.5] * 92, "deviation": [0.25] * 92,
    "heard": carded.heard(22050, 66048),
})  # fmt: skip
EXPORTS = carded.exports(NAMES, "accuracy", 22050, 66048, (912_000, 304_000), ms=14.25)
PARTS = ("b7", "b7, 2 views", "b7, 10 views", "b7-raw", "b7-features", "b7-unmixed")


def whole(**more: Any) -> Any:
    """Measured with all variants and views; the raw one is as good as the majority."""
    found = {name: ANSWERS["b7"] for name in PARTS}
    return told(found | {"b7-raw": ANSWERS["majority"], "SVM": ANSWERS["SVM"]}, **more)


def of(**changes: Any) -> dict[str, Any]:
    facts = copy.deepcopy(FACTS)
    facts["config"] |= changes
    return facts


def test_what_it_is_and_how_it_is_used() -> None:
    one = whole(costs={"b7": {"parameters": 191_000.0, "ms": 7.42}})
    text = card(FACTS, {"mine": one}, "b7", EXPORTS)
    first = carded.opening(text)
    assert first.startswith("# Hybrid classifier `b7`\n")
    assert "which of 3 kinds of sound a recording is: `hybrid-small`, fused, mixed." in first
    assert "It hears 3.0 s at 22050 Hz at a time, as samples and as a vector of 92" in first
    assert "handcrafted numbers. 0.191 M parameters; a clip takes one core 7.4 ms.\n" in first
    assert "Classes: alarm, rain, wind.\n" in first
    carded.assert_usage_told(
        text, "make classify RUN=b7 IN=sound.wav", EXPORTS, ("0.91 | 14.2", "0.30 | 14.2")
    )


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ("raw", "raw only. It hears 3.0 s at 22050 Hz at a time, as samples."),
        ("features", "features only. It hears 3.0 s at 22050 Hz at a time, as a vector of 92 "
                     "handcrafted numbers."),
        ("unmixed", "fused. It hears 3.0 s at 22050 Hz at a time, as samples and as a vector of "
                    "92 handcrafted numbers."),
    ],
)  # fmt: skip
def test_a_variant_s_card_tells_what_that_one_hears(variant: str, words: str) -> None:
    """It was measured by itself: nothing stands beside it that it could be worth more than."""
    one = told({"b7": ANSWERS["b7"], "SVM": ANSWERS["SVM"]})
    text = card(of(variant=variant), {"mine": one}, "b7")
    assert f"`hybrid-small`, {words}" in text
    assert "What each part is worth" not in text
    assert f"```\n{table(one).rstrip()}\n```" in text


def test_what_each_part_is_worth_stands_first_for_each_recipe() -> None:
    one, other = whole(), whole(sure=0.6)
    first = carded.opening(card(FACTS, {"mine": one, "theirs": other}, "b7"))
    for name, each in (("mine", one), ("theirs", other)):
        assert f"\nOn {name}:\n\n```\n{ablation(each)}\n```" in first
    assert first.index("On mine") < first.index("On theirs")


def test_not_measured_yet() -> None:
    text = card(FACTS, {}, "b7")
    assert "`make evaluate`" in carded.section(text, "Measured")
    carded.assert_export_is_asked_for(text)
    assert "What each part is worth" not in text
    assert " M parameters" not in text


def test_data_and_configuration() -> None:
    text = card(FACTS, {"mine": whole()}, "b7", counts=carded.COUNTS)
    data = carded.section(text, "Data")
    assert "| `mine` | `0123456789abcdef` | 420 | 60 | 120 | 12 clips, 6 groups |" in data
    assert "fold" not in data
    assert carded.listed(text) == [
        "- `net`: hybrid-small", "- `batch`: 32", "- `alone`: 0.3", "- `augment.crop`: 0.5",
        "- `augment.mix`: 0.5", "- `settings.epochs`: 60", "- `recipe`: mine", "- `fold`: off",
        "- `variant`: off", "- `ablation`: True", "- `parts`: 2", "- `samples`: 66048",
    ]  # fmt: skip
    assert "This is fold 2 of 5" in carded.section(card(of(fold=[2, 5]), {}, "b7"), "Data")


def test_measurements_are_the_table_itself() -> None:
    carded.assert_measured(card, FACTS, whole(), table)


def test_limits_are_those_of_any_classifier() -> None:
    text = carded.section(card(FACTS, {"mine": whole()}, "b7"), "Limits")
    assert "always names one of its 3 classes" in text
    assert "What lies above 11025 Hz is not heard." in text
    assert "mine: mistaken most often: rain for wind (2 of 4).\n" in text


@pytest.mark.parametrize("groups", [1, 6])
def test_nothing_in_it_is_no_number(groups: int) -> None:
    """Where there are no intervals, or nothing is right, too."""
    wrong = told({name: [1] * 4 + [2] * 4 + [0] * 4 for name in PARTS}, groups=groups)
    for one in (whole(groups=groups), wrong, whole(folds=2, groups=6)):
        text = card(FACTS, {"mine": one}, "b7", counts=carded.COUNTS)
        assert not re.search(r"\b(nan|NaN|inf|None)\b", text)


def test_versions_and_day() -> None:
    carded.assert_versions_and_day(card, FACTS)
