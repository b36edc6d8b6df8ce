"""The card of a classifier: true to what it is given, and its example is the exports' own."""

import copy
import re
import subprocess
import sys
from typing import Any

from tests.classified import ANSWERS, NAMES, large, told
from training.classes.table import table
from training.classifier.card import ABOUT, card
from training.classifier.profiles import BACKBONES
from training.graph.usage import usage

FACTS: dict[str, Any] = {
    "model": "classifier",
    "config": {
        "backbone": "mn", "batch": 32, "augment": {"mixup": 0.3}, "settings": {"epochs": 40},
        "recipe": "mine", "classes": list(NAMES), "fold": None, "teachers": [],
        "mean": [-40.0] * 128, "deviation": [10.0] * 128,
        "heard": {"audio": {"rate": 22050}, "window": {"samples": 66048}},
    },
    "data": {"mine": "0123456789abcdef" * 4},
    "setup": {"threads": 2, "ranks": 1},
    "versions": {"keras": "3.15.0", "python": "3.11.7"},
}  # fmt: skip
ROW = {"input": "wave", "int8": False, "bytes": 3_912_000, "ms": 4.25, "difference": 2.4e-07,
       "score": 0.93, "drop": 0.0, "agreement": 1.0}  # fmt: skip
EXPORTS = {
    "names": list(NAMES), "measure": "accuracy", "rate": 22050, "samples": 66048, "pad": "repeat",
    "exports": [
        {**ROW, "file": "model-audio.tflite"},
        {**ROW, "file": "model-audio-int8.tflite", "int8": True, "bytes": 1_204_000, "drop": 0.005},
    ],
}  # fmt: skip
COUNTS = {"mine": {"examples": {"train": 420, "valid": 60, "test": 120}}}


def section(text: str, name: str) -> str:
    return text.split(f"## {name}\n")[1].split("\n## ")[0]


def test_every_net_is_known() -> None:
    assert set(ABOUT) == set(BACKBONES)


def limits(one: Any) -> str:
    return section(card(FACTS, {"mine": one}, "b7"), "Limits")


def test_what_it_is_and_how_it_is_used() -> None:
    one = told(costs={"b7": {"parameters": 982_000.0, "ms": 7.42}})
    text = card(FACTS, {"mine": one}, "b7", EXPORTS)
    first = text.split("\n## ")[0]
    assert first.startswith("# Noise classifier `b7`\n")
    assert "which of 3 kinds of sound a recording is: `mn`, a net of inverted residuals" in first
    assert "3.0 s at 22050 Hz at a time" in first
    assert "0.982 M parameters; a clip takes one core 7.4 ms." in first
    assert "Classes: alarm, rain, wind.\n" in first + "\n"
    use = section(text, "Use")
    assert "    make classify RUN=b7 IN=sound.wav" in use
    assert "| `model-audio.tflite` | wave | 3.91 | 4.2 | 2e-07 | none |" in use
    assert "| `model-audio-int8.tflite` | wave | 1.20 | 4.2 | 2e-07 | 0.5 points |" in use
    assert f"```python\n{usage(EXPORTS).rstrip()}\n```" in use


def test_without_exports_it_says_how_to_get_them() -> None:
    use = section(card(FACTS, {}, "b7"), "Use")
    assert "`make export RUN=b7`" in use
    assert "python" not in use
    plain = {**EXPORTS, "exports": [{**ROW, "file": "model.tflite"}]}
    assert "python" not in section(card(FACTS, {}, "b7", plain), "Use")


def test_data_and_configuration() -> None:
    text = card(FACTS, {"mine": told()}, "b7", counts=COUNTS)
    data = section(text, "Data")
    assert "| `mine` | `0123456789abcdef` | 420 | 60 | 120 | 12 clips, 6 groups |" in data
    assert "nothing of the same source" not in data
    assert "nor anything of the same source" in data
    assert "fold" not in data
    held = section(text, "Configuration")
    lines = [line for line in held.splitlines() if line]
    assert lines == [
        "- `backbone`: mn", "- `batch`: 32", "- `augment.mixup`: 0.3", "- `settings.epochs`: 40",
        "- `recipe`: mine", "- `fold`: off", "- `teachers`: none",
    ]  # fmt: skip
    fold = copy.deepcopy(FACTS)
    fold["config"]["fold"] = [2, 5]
    assert "This is fold 2 of 5" in section(card(fold, {}, "b7"), "Data")


def test_measurements_are_the_table_itself() -> None:
    one = told()
    text = section(card(FACTS, {"mine": one}, "b7"), "Measured")
    assert f"### mine\n\n```\n{table(one).rstrip()}\n```" in text
    assert "`make evaluate`" in section(card(FACTS, {}, "b7"), "Measured")


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
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('tensorflow', 'keras', 'matplotlib')))\n"
        "import training.classifier.card, training.classes.plots, training.history"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_versions_and_day() -> None:
    text = section(card(FACTS, {}, "b7", day="2001-02-03"), "Versions")
    assert "Run `b7`: processes 1, threads 2; keras 3.15.0, python 3.11.7. " in text
    assert text.endswith("Card of 2001-02-03.\n")
    assert re.search(r"Card of 20\d\d-\d\d-\d\d\.", card(FACTS, {}, "b7"))
