"""Tables of a tagger: every number where it belongs, a dash where there is none.

Reads and writes nothing.
"""

import json

import pytest

from tests.tagging import NAMES, large, told
from training.tagger.table import table


def cells(text: str, first: str) -> list[str]:
    """The words of the only line that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(first + " ")]
    return line.removeprefix(first).split()


def shown(value: float) -> str:
    return f"{value:.3f}"


def test_systems_ours_first_then_by_average_precision() -> None:
    one = told({"b7": "b7", "how often": "how often", "MFCC + LR": "MFCC + LR"},
               costs={"b7": {"parameters": 791_234.0, "ms": 7.44}})  # fmt: skip
    text = table(one)
    lines = text.splitlines()
    assert lines[0] == (
        "mine, test: 12 tracks (24 patches) of 6 groups, 4 tags; a track is the mean of its patches"
    )
    head, *rows = lines[2:6]
    assert head.split() == ["PR-AUC", "95", "%", "ROC-AUC", "95", "%", "params", "ms"]
    assert [row.split("  ")[0] for row in rows] == ["b7", "MFCC + LR", "how often"]
    expected = []
    for measure in ("pr_auc", "roc_auc"):
        held = one["systems"]["b7"][measure]
        expected += [shown(held["mean"]), f"[{shown(held['low'])},", f"{shown(held['high'])}]"]
    assert cells("\n".join(rows), "b7") == [*expected, "791k", "7.4"]
    assert rows[1].split()[-2:] == ["-", "-"]
    assert "PR-AUC: average precision; both are means over the tags that some tracks have" in text
    assert "over groups (artists), not over tracks; few, so it is rough" in text
    assert "ms: of one core, for a patch" in text
    shuffled = json.loads(json.dumps(one, sort_keys=True))
    shuffled["systems"]["b7"]["tags"] = one["systems"]["b7"]["tags"]
    assert table(shuffled) == text


def test_what_was_not_measured_has_no_column() -> None:
    text = table(told()).split("How far")[0]
    for word in ("params", "ms"):
        assert word not in text.split()
    assert "ms:" not in text


def test_of_ten_groups_an_interval_is_not_called_rough() -> None:
    assert "rough" not in table(large(4))


def test_how_far_ours_is_ahead() -> None:
    one = told()
    text = table(one).split("How far b7 lies above each, on the same tracks [95 %]")[1]
    text = text.split("Tags of")[0]
    for name in ("MFCC + LR", "how often"):
        expected = []
        for measure in ("pr_auc", "roc_auc"):
            gap = one["ahead"][name][measure]
            expected += [f"{gap['mean']:+.3f}", f"[{shown(gap['low'])},", f"{shown(gap['high'])}]"]
        assert cells(text, name) == expected
    assert text.index("MFCC + LR") < text.index("how often")
    alone = table(told({"b7": "b7"}))
    assert "How far" not in alone
    assert "Tags of b7" in alone


def test_tags_beside_chance_and_what_the_baseline_makes_of_them() -> None:
    one = told()
    title, _, *lines = table(one).split("Tags of b7; ")[1].splitlines()
    assert title == "chance is the share of tracks that have the tag"
    text = "\n".join(lines)
    assert lines[0].split() == ["tracks", "chance", "AP", "ROC-AUC", "AP,", "MFCC", "+", "LR"]
    for name, tracks, chance in (("drums", "6", "0.500"), ("slow", "4", "0.333")):
        ours, other = (one["systems"][system]["tags"][name] for system in ("b7", "MFCC + LR"))
        assert cells(text, name) == [
            tracks, chance, shown(ours["average_precision"]), shown(ours["roc_auc"]),
            shown(other["average_precision"]),
        ]  # fmt: skip
    assert cells(text, "always") == ["12", "1.000", "-", "-", "-"]
    assert cells(text, "never") == ["0", "0.000", "-", "-", "-"]
    assert [line.split()[0] for line in lines[1:]] == list(NAMES)


@pytest.mark.parametrize("systems", [{"b7": "b7"}, {"MFCC + LR": "MFCC + LR", "b7": "b7"}])
def test_other_runs_are_no_baseline(systems: dict[str, str]) -> None:
    text = table(told(systems | {"twin": "b7"})).split("Tags of")[1]
    assert text.splitlines()[2].split() == ["tracks", "chance", "AP", "ROC-AUC"]


@pytest.mark.parametrize("groups", [1, 2])
def test_one_group_has_no_interval(groups: int) -> None:
    text = table(told(groups=groups))
    found = cells(text.split("How far")[0], "b7")
    assert ("-" in found) is (groups == 1)
    assert f"of {groups} groups" in text
