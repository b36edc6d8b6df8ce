"""The card of a classifier: true to what it is given, and its example is the exports' own."""

import copy
from typing import Any

from tests import carded
from tests.classified import ANSWERS, NAMES, large, told
from training.classes.table import table
from training.classifier.card import ABOUT, card
from training.classifier.profiles import BACKBONES

FACTS = carded.facts("classifier", {
    "backbone": "mn", "batch": 32, "augment": {"mixup": 0.3}, "settings": {"epochs": 40},
    "recipe": "mine", "classes": list(NAMES), "fold": None, "teachers": [],
    "mean": [-40.0] * 128, "deviation": [10.0] * 128,
    "heard": carded.heard(22050, 66048),
})  # fmt: skip
EXPORTS = carded.exports(NAMES, "accuracy", 22050, 66048, (3_912_000, 1_204_000), ms=4.25)


def test_every_net_is_known() -> None:
    assert set(ABOUT) == set(BACKBONES)


def limits(one: Any) -> str:
    return carded.section(card(FACTS, {"mine": one}, "b7"), "Limits")


def test_what_it_is_and_how_it_is_used() -> None:
    one = told(costs={"b7": {"parameters": 982_000.0, "ms": 7.42}})
    text = card(FACTS, {"mine": one}, "b7", EXPORTS)
    first = carded.opening(text)
    assert first.startswith("# Noise classifier `b7`\n")
    assert "which of 3 kinds of sound a recording is: `mn`, a net of inverted residuals" in first
    assert "3.0 s at 22050 Hz at a time" in first
    assert "0.982 M parameters; a clip takes one core 7.4 ms." in first
    assert "Classes: alarm, rain, wind.\n" in first + "\n"
    carded.assert_usage_told(
        text, "make classify RUN=b7 IN=sound.wav", EXPORTS, ("3.91 | 4.2", "1.20 | 4.2")
    )


def test_without_exports_it_says_how_to_get_them() -> None:
    carded.assert_export_is_asked_for(card(FACTS, {}, "b7"))
    plain = {**EXPORTS, "exports": [{**EXPORTS["exports"][0], "file": "model.tflite"}]}
    assert "python" not in carded.section(card(FACTS, {}, "b7", plain), "Use")


def test_data_and_configuration() -> None:
    text = card(FACTS, {"mine": told()}, "b7", counts=carded.COUNTS)
    data = carded.section(text, "Data")
    assert "| `mine` | `0123456789abcdef` | 420 | 60 | 120 | 12 clips, 6 groups |" in data
    assert "nothing of the same source" not in data
    assert "nor anything of the same source" in data
    assert "fold" not in data
    assert carded.listed(text) == [
        "- `backbone`: mn", "- `batch`: 32", "- `augment.mixup`: 0.3", "- `settings.epochs`: 40",
        "- `recipe`: mine", "- `fold`: off", "- `teachers`: none",
    ]  # fmt: skip
    fold = copy.deepcopy(FACTS)
    fold["config"]["fold"] = [2, 5]
    assert "This is fold 2 of 5" in carded.section(card(fold, {}, "b7"), "Data")


def test_measurements_are_the_table_itself() -> None:
    carded.assert_measured(card, FACTS, told(), table)


def test_limits_name_what_it_is_bad_at() -> None:
    text = limits(told())
    assert "always names one of its 3 classes" in text
    assert "What lies above 11025 Hz is not heard." in text
    assert "mine: the weakest classes, by F1: rain (57 %), wind (67 %), alarm (100 %).\n" in text
    assert "below an F1 of" not in text
    assert "mine: mistaken most often: rain for wind (2 of 4).\n" in text
    assert "mine: measured on 6 groups only" in text
    assert "mine: 3 of 3 classes have fewer than 30 test clips" in text
    weak = limits(told({"b7": ANSWERS["majority"], "SVM": ANSWERS["SVM"]}))
    assert "mine: 2 of 3 classes are below an F1 of 50 %." in weak
    assert "not measured, having no test clips: never." in limits(told(names=[*NAMES, "never"]))


def test_limits_tell_of_probabilities_that_are_off() -> None:
    """Right 75 times of 100."""
    surer = limits(told(sure=0.95))
    assert "its probabilities are 20 points off on average: it is surer than it is right." in surer
    shy = limits(told(sure=0.6))
    assert "15 points off on average: it is right more often than it is sure." in shy
    assert "points off" not in limits(told(sure=0.76))


def test_limits_tell_of_whom_it_is_not_ahead() -> None:
    one = told({"b7": ANSWERS["SVM"], "SVM": ANSWERS["b7"], "majority": [0] * 12})
    one["ahead"]["majority"]["macro_f1"]["low"] = 0.001
    (line,) = [line for line in limits(one).splitlines() if "not ahead for certain" in line]
    assert line == "- mine: not ahead for certain, by macro-F1, of: SVM (-15.2 points)."
    assert "not ahead for certain" not in limits(large(4))
    one = told(groups=1)  # no interval at all
    assert "SVM" in next(line for line in limits(one).splitlines() if "not ahead" in line)


def test_a_mistake_is_told_where_it_is_no_accident() -> None:
    one = large(4)
    counts = [[40, 3, 0, 0], [0, 40, 5, 0], [2, 0, 9, 0], [0, 1, 0, 0]]
    one["systems"]["b7"]["confusion"] = counts
    (line,) = [line for line in limits(one).splitlines() if "mistaken" in line]
    names = one["classes"]
    assert line == (
        f"- mine: mistaken most often: {names[1]} for {names[2]} (5 of 45), "
        f"{names[2]} for {names[0]} (2 of 11)."
    )


def test_it_is_written_where_there_is_no_tensorflow() -> None:
    carded.assert_read_without_tensorflow(
        "training.classifier.card", "training.classes.plots", "training.history"
    )


def test_versions_and_day() -> None:
    carded.assert_versions_and_day(card, FACTS)


def test_one_recording_that_is_most_of_the_test_is_told() -> None:
    one = told()
    assert "of one recording" not in limits({**one, "largest": 6})
    assert "of one recording" not in limits(one)  # of an older evaluation, which does not tell
    said = "- mine: 7 of the 12 test clips are of one recording: its numbers say how it does on"
    assert said in limits({**one, "largest": 7})
