"""The card of a tagger: true to what it is given, and its example is the exports' own.

Reads and writes nothing.
"""

import copy
import re
import subprocess
import sys
from typing import Any

import pytest

from tests import corpus
from tests.tagging import NAMES, large, told
from training.graph.usage import usage
from training.tagger.card import ABOUT, card
from training.tagger.profiles import NETS
from training.tagger.table import table

FACTS: dict[str, Any] = {
    "model": "tagger",
    "config": {
        "net": "musicnn", "batch": 32, "augment": {"mixup": 0.2}, "settings": {"epochs": 60},
        "recipe": "mine", "tags": list(NAMES), "start": None, "mean": 0.51, "deviation": 0.42,
        "heard": {"audio": {"rate": 16000}, "window": {"samples": 47872}},
    },
    "data": {"mine": "0123456789abcdef" * 4},
    "setup": {"threads": 2, "ranks": 1},
    "versions": {"keras": "3.15.0", "python": "3.11.7"},
}  # fmt: skip
ROW = {"input": "wave", "int8": False, "bytes": 3_212_000, "ms": 9.25, "difference": 2.4e-07,
       "score": 0.93, "drop": 0.0, "agreement": 1.0}  # fmt: skip
EXPORTS = {
    "names": list(NAMES), "measure": "ROC-AUC", "rate": 16000, "samples": 47872, "pad": "repeat",
    "exports": [
        {**ROW, "file": "model-audio.tflite"},
        {**ROW, "file": "model-audio-int8.tflite", "int8": True, "bytes": 904_000, "drop": 0.005},
    ],
}  # fmt: skip
COUNTS = {"mine": {"examples": {"train": 420, "valid": 60, "test": 120}}}


def section(text: str, name: str) -> str:
    return text.split(f"## {name}\n")[1].split("\n## ")[0]


def limits(one: Any) -> list[str]:
    return section(card(FACTS, {"mine": one}, "b7"), "Limits").strip().splitlines()


def test_every_net_is_known() -> None:
    assert set(ABOUT) == set(NETS)


def test_what_it_is_and_how_it_is_used() -> None:
    one = told(costs={"b7": {"parameters": 791_000.0, "ms": 17.42}})
    text = card(FACTS, {"mine": one}, "b7", EXPORTS)
    first = text.split("\n## ")[0]
    assert first.startswith("# Music tagger `b7`\n")
    assert "which of 4 tags a track has, and when: `musicnn`, MusicNN as it was published" in first
    assert "It hears 3.0 s at 16000 Hz at a time" in first
    assert "0.791 M parameters; a patch takes one core 17.4 ms." in first
    assert "Tags: drums, slow, always, never.\n" in first + "\n"
    assert "published ones" not in first
    use = section(text, "Use")
    assert "    make tag RUN=b7 IN=track.mp3" in use
    assert "| `model-audio.tflite` | wave | 3.21 | 9.2 | 2e-07 | none |" in use
    assert "| `model-audio-int8.tflite` | wave | 0.90 | 9.2 | 2e-07 | 0.5 points |" in use
    assert "ROC-AUC lost" in use
    assert f"```python\n{usage(EXPORTS).rstrip()}\n```" in use


def test_size_without_speed_is_a_sentence_too() -> None:
    one = told(costs={"b7": {"parameters": 791_000.0, "ms": None}})
    assert " 0.791 M parameters.\n" in card(FACTS, {"mine": one}, "b7")
    assert " M parameters" not in card(FACTS, {"mine": told()}, "b7")
    assert " M parameters" not in card(FACTS, {}, "b7")


def test_without_exports_it_says_how_to_get_them() -> None:
    use = section(card(FACTS, {}, "b7"), "Use")
    assert "`make export RUN=b7`" in use
    assert "python" not in use


def test_published_weights_are_told_with_their_authors_and_without_data() -> None:
    facts = copy.deepcopy(FACTS) | {"data": {}}
    facts["config"] |= {"published": "musicnn MTT_musicnn"}
    text = card(facts, {}, "MTT_musicnn")
    first = text.split("\n## ")[0]
    assert "the published ones of musicnn MTT_musicnn, by Jordi Pons" in first
    assert "ISC licence" in first
    assert section(text, "Data").strip() == "It was not trained here."
    assert "make tag RUN=MTT_musicnn" in section(text, "Use")


def test_data_and_configuration() -> None:
    text = card(FACTS, {"mine": told()}, "b7", counts=COUNTS)
    data = section(text, "Data")
    assert "| `mine` | `0123456789abcdef` | 420 | 60 | 120 | 12 tracks, 6 groups |" in data
    assert "nor anything of the same artist" in data
    lines = [line for line in section(text, "Configuration").splitlines() if line]
    assert lines == [
        "- `net`: musicnn", "- `batch`: 32", "- `augment.mixup`: 0.2", "- `settings.epochs`: 60",
        "- `recipe`: mine", "- `start`: off", "- `mean`: 0.51", "- `deviation`: 0.42",
    ]  # fmt: skip


def test_measurements_are_the_table_itself() -> None:
    one = told()
    text = section(card(FACTS, {"mine": one}, "b7"), "Measured")
    assert f"### mine\n\n```\n{table(one).rstrip()}\n```" in text
    assert "`make evaluate`" in section(card(FACTS, {}, "b7"), "Measured")


# ---- limits ------------------------------------------------------------------------------------


def test_limits_that_every_tagger_has() -> None:
    assert section(card(FACTS, {}, "b7"), "Limits").strip().splitlines() == [
        "- It knows its 4 tags and no others, and has an answer for each whatever it hears.",
        "- A tag that nobody gave to a track counts as wrong, though it may be true.",
        "- What lies above 8000 Hz is not heard.",
    ]


def test_limits_name_tags_that_are_told_by_chance() -> None:
    """An average precision within 0.1 of the share of tracks that have the tag, the worst first."""
    one = large(4)
    own = one["systems"]["b7"]["tags"]
    for name, above in zip(own, (0.3, 0.09, -0.2, 0.11), strict=True):
        own[name]["average_precision"] = own[name]["tracks"] / 60 + above
    (line,) = [line for line in limits(one) if "by chance" in line]
    assert line == (
        "- mine: 2 of 4 tags are hardly told better than by chance: a_kind_of_music_2, "
        "a_kind_of_music_1."
    )
    for held in own.values():
        held["average_precision"] = 1.0
    assert not [line for line in limits(one) if "by chance" in line]


def test_no_more_than_eight_tags_are_named() -> None:
    one = large(12)
    for name, held in one["systems"]["b7"]["tags"].items():
        held["average_precision"] = int(name.rpartition("_")[2]) / 1000
    (line,) = [line for line in limits(one) if "by chance" in line]
    assert line.startswith("- mine: 12 of 12 tags")
    assert line.count("a_kind") == 8


def test_limits_tell_what_was_not_measured_or_measured_on_little() -> None:
    found = limits(told())
    assert "- mine: not measured, as all test tracks have them or none: always, never." in found
    assert (
        "- mine: 2 of 2 tags have fewer than 20 test tracks: one track more or less moves their "
        "numbers by several points." in found
    )
    assert "- mine: measured on 6 groups only: its intervals are rough." in found
    one = large(2)  # of 60 tracks in 20 groups
    for held in one["systems"]["b7"]["tags"].values():
        held["tracks"] = 20
    assert not [line for line in limits(one) if "fewer than" in line or "groups only" in line]


def test_limits_tell_of_whom_it_is_not_ahead() -> None:
    one = told({"b7": "MFCC + LR", "twin": "b7", "often": "how often"})
    one["ahead"]["often"]["pr_auc"]["low"] = 0.001
    (line,) = [line for line in limits(one) if "not ahead" in line]
    mean = one["ahead"]["twin"]["pr_auc"]["mean"]
    assert line == f"- mine: not ahead for certain, by PR-AUC, of: twin ({mean:+.3f})."
    one["ahead"]["twin"]["pr_auc"]["low"] = 0.002
    assert not [line for line in limits(one) if "not ahead" in line]
    alone = limits(told(groups=1))  # no interval at all
    assert "MFCC + LR" in next(line for line in alone if "not ahead" in line)


@pytest.mark.parametrize("module", ["card", "table", "plots", "summary", "tag", "baselines"])
def test_it_is_written_where_there_is_no_tensorflow(module: str) -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('tensorflow', 'keras', 'matplotlib')))\n"
        f"import training.tagger.{module}, training.history"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=corpus.REPO)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_versions_and_day() -> None:
    text = section(card(FACTS, {}, "b7", day="2001-02-03"), "Versions")
    assert "Run `b7`: processes 1, threads 2; keras 3.15.0, python 3.11.7. " in text
    assert text.endswith("Card of 2001-02-03.\n")
    assert re.search(r"Card of 20\d\d-\d\d-\d\d\.", card(FACTS, {}, "b7"))
