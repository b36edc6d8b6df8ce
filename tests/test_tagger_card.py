"""The card of a tagger: true to what it is given, and its example is the exports' own.

Reads and writes nothing.
"""

import copy
from typing import Any

import pytest

from tests import carded
from tests.tagging import NAMES, large, told
from training.tagger.card import ABOUT, card
from training.tagger.profiles import NETS
from training.tagger.table import table

FACTS = carded.facts("tagger", {
    "net": "musicnn", "batch": 32, "augment": {"mixup": 0.2}, "settings": {"epochs": 60},
    "recipe": "mine", "tags": list(NAMES), "start": None, "mean": 0.51, "deviation": 0.42,
    "heard": carded.heard(16000, 47872),
})  # fmt: skip
EXPORTS = carded.exports(NAMES, "ROC-AUC", 16000, 47872, (3_212_000, 904_000), ms=9.25)


def limits(one: Any) -> list[str]:
    return carded.section(card(FACTS, {"mine": one}, "b7"), "Limits").strip().splitlines()


def test_every_net_is_known() -> None:
    assert set(ABOUT) == set(NETS)


def test_what_it_is_and_how_it_is_used() -> None:
    one = told(costs={"b7": {"parameters": 791_000.0, "ms": 17.42}})
    text = card(FACTS, {"mine": one}, "b7", EXPORTS)
    first = carded.opening(text)
    assert first.startswith("# Music tagger `b7`\n")
    assert "which of 4 tags a track has, and when: `musicnn`, MusicNN as it was published" in first
    assert "It hears 3.0 s at 16000 Hz at a time" in first
    assert "0.791 M parameters; a patch takes one core 17.4 ms." in first
    assert "Tags: drums, slow, always, never.\n" in first + "\n"
    assert "published ones" not in first
    carded.assert_usage_told(
        text, "make tag RUN=b7 IN=track.mp3", EXPORTS, ("3.21 | 9.2", "0.90 | 9.2")
    )


def test_size_without_speed_is_a_sentence_too() -> None:
    one = told(costs={"b7": {"parameters": 791_000.0, "ms": None}})
    assert " 0.791 M parameters.\n" in card(FACTS, {"mine": one}, "b7")
    assert " M parameters" not in card(FACTS, {"mine": told()}, "b7")
    assert " M parameters" not in card(FACTS, {}, "b7")


def test_without_exports_it_says_how_to_get_them() -> None:
    carded.assert_export_is_asked_for(card(FACTS, {}, "b7"))


def test_published_weights_are_told_with_their_authors_and_without_data() -> None:
    facts = copy.deepcopy(FACTS) | {"data": {}}
    facts["config"] |= {"published": "musicnn MTT_musicnn"}
    text = card(facts, {}, "MTT_musicnn")
    first = carded.opening(text)
    assert "the published ones of musicnn MTT_musicnn, by Jordi Pons" in first
    assert "ISC licence" in first
    assert carded.section(text, "Data").strip() == "It was not trained here."
    assert "make tag RUN=MTT_musicnn" in carded.section(text, "Use")


def test_data_and_configuration() -> None:
    text = card(FACTS, {"mine": told()}, "b7", counts=carded.COUNTS)
    data = carded.section(text, "Data")
    assert "| `mine` | `0123456789abcdef` | 420 | 60 | 120 | 12 tracks, 6 groups |" in data
    assert "nor anything of the same artist" in data
    assert carded.listed(text) == [
        "- `net`: musicnn", "- `batch`: 32", "- `augment.mixup`: 0.2", "- `settings.epochs`: 60",
        "- `recipe`: mine", "- `start`: off", "- `mean`: 0.51", "- `deviation`: 0.42",
    ]  # fmt: skip


def test_measurements_are_the_table_itself() -> None:
    carded.assert_measured(card, FACTS, told(), table)


# ---- limits ------------------------------------------------------------------------------------


def test_limits_that_every_tagger_has() -> None:
    assert carded.section(card(FACTS, {}, "b7"), "Limits").strip().splitlines() == [
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
    carded.assert_read_without_tensorflow(f"training.tagger.{module}", "training.history")


def test_versions_and_day() -> None:
    carded.assert_versions_and_day(card, FACTS)
