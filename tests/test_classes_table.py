"""Tables of a classifier: every number where it belongs, a dash where there is none."""

import json

import pytest

from tests.classified import ANSWERS, NAMES, large, told
from training.classes.table import table


def cells(text: str, first: str) -> list[str]:
    """The words of the only line that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(first)]
    return line.removeprefix(first).split()


def test_systems_ours_first_then_by_macro_f1() -> None:
    one = told({"b7": ANSWERS["b7"], "majority": ANSWERS["majority"], "SVM": ANSWERS["SVM"]},
               costs={"b7": {"parameters": 912_345.0, "ms": 7.44}})  # fmt: skip
    text = table(one)
    lines = text.splitlines()
    assert lines[0] == "mine, test: 12 clips of 3 classes in 6 groups; %"
    head, *rows = lines[2:6]
    assert head.split() == [
        "accuracy", "95", "%", "macro-F1", "95", "%", "mAP", "ECE", "params", "ms"
    ]  # fmt: skip
    assert [row.split()[0] for row in rows] == ["b7", "SVM", "majority"]
    ours = rows[0].split()
    low, high = one["systems"]["b7"]["accuracy"]["low"], one["systems"]["b7"]["accuracy"]["high"]
    assert ours[1:4] == ["75.0", f"[{100 * low:.1f},", f"{100 * high:.1f}]"]
    f1 = one["systems"]["b7"]["macro_f1"]["mean"]
    assert ours[4] == f"{100 * f1:.1f}"
    assert ours[-4:] == [
        f"{100 * one['systems']['b7']['mean_average_precision']:.1f}", "5.0", "912k", "7.4"
    ]  # fmt: skip
    assert rows[1].split()[-2:] == ["-", "-"]
    assert "few, so it is rough" in text
    assert "ms: of one core, for a clip" in text
    shuffled = json.loads(json.dumps(one, sort_keys=True))  # as it comes out of a file
    assert table(shuffled) == text


def test_what_was_not_measured_has_no_column() -> None:
    text = table(told())
    for word in ("params", "ms", "by file", "±", "MACs"):
        assert word not in text.split("How far")[0]


def test_recordings_and_folds() -> None:
    one = told(clips=2, folds=3)
    text = table(one)
    assert text.startswith("mine, 3 folds: 12 clips")
    held = one["systems"]["b7"]
    deviation = 100 * held["folds"]["accuracy"]["deviation"]
    assert f"b7         75.0 ±{deviation:.1f}" in text
    assert "by file: accuracy and macro-F1 of 6 files" in text
    files = held["recordings"]
    assert cells(text, "b7")[-2:] == [
        f"{100 * files['accuracy']['mean']:.1f}", f"{100 * files['macro_f1']['mean']:.1f}"
    ]  # fmt: skip
    assert "standard deviation over the 3 folds" in text


def test_how_far_ours_is_ahead() -> None:
    one = told()
    text = table(one).split("How far b7 lies above each")[1]
    gap = one["ahead"]["SVM"]["accuracy"]
    found = cells(text.split("Classes of")[0], "SVM")
    assert found[0] == "+16.7"
    assert found[1:3] == [f"[{100 * gap['low']:.1f},", f"{100 * gap['high']:.1f}]"]
    assert cells(text.split("Classes of")[0], "majority")[0] == "+41.7"
    assert "How far" not in table(told({"b7": ANSWERS["b7"]}))


def test_classes_beside_the_best_baseline() -> None:
    text = table(told()).split("Classes of b7, %")[1].split("What b7")[0]
    assert text.split("\n")[2].split() == ["clips", "precision", "recall", "F1", "AP", "SVM", "F1"]
    assert cells(text, "alarm")[:4] == ["4", "100.0", "100.0", "100.0"]
    assert cells(text, "alarm")[-1] == "66.7"
    assert cells(text, "rain")[:4] == ["4", "66.7", "50.0", "57.1"]
    rows = [line.split()[0] for line in text.splitlines()[3:] if line]
    assert rows == ["alarm", "rain", "wind"]
    alone = table(told({"b7": ANSWERS["b7"]})).split("Classes of b7, %")[1]
    assert alone.split("\n")[2].split() == ["clips", "precision", "recall", "F1", "AP"]


def test_other_runs_are_no_baseline() -> None:
    """A student is beside its teacher, and beside the baseline class by class."""
    text = table(told({"student": ANSWERS["SVM"], "teacher": ANSWERS["b7"],
                       "majority": ANSWERS["majority"]}))  # fmt: skip
    assert "majority F1" in text
    assert "teacher F1" not in text
    assert "teacher F1" in table(told({"student": ANSWERS["SVM"], "teacher": ANSWERS["b7"]}))


def test_a_class_without_clips_has_dashes() -> None:
    text = table(told(names=[*NAMES, "never"])).split("Classes of b7, %")[1]
    assert cells(text.split("What b7")[0], "never") == ["0", "-", "-", "-", "-", "-"]


def test_the_confusion_of_few_classes_is_shown_whole() -> None:
    text = table(told()).split("clips\n\n")[-1]
    assert text.splitlines()[0].split() == ["1", "2", "3"]
    assert cells(text, " 1 alarm") == ["4", ".", "."]
    assert cells(text, " 2 rain") == [".", "2", "2"]
    assert cells(text, " 3 wind") == [".", "1", "3"]
    never = table(told({"b7": [1] * 12})).split("clips\n\n")[-1]
    assert cells(never, " 1 alarm") == ["0", "4", "."]


def test_of_many_classes_the_most_frequent_mistakes() -> None:
    one = large(13)
    one["systems"]["b7"]["confusion"][3][7] = 5
    text = table(one).split("What b7 mistakes most often\n\n")[1]
    truth, answer = one["classes"][3], one["classes"][7]
    of = sum(one["systems"]["b7"]["confusion"][3])
    assert text.splitlines()[0] == f"5 of {of} {truth} for {answer}"
    assert len(text.splitlines()) <= 10
    assert "mistakes most often" not in table(large(12))


@pytest.mark.parametrize("groups", [1, 2])
def test_one_group_has_no_interval(groups: int) -> None:
    found = cells(table(told({"b7": ANSWERS["b7"]}, groups=groups)).split("Classes")[0], "b7")
    assert (found[1] == "-") is (groups == 1)
