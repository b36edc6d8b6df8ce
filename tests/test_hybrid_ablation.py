"""What each part of a hybrid is worth, as a table: against counts made by hand.

Reads and writes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import sklearn.metrics

pytest.importorskip("tensorflow")  # which views are made with

from tests.classified import NAMES, TRUTH, told  # noqa: E402
from training.classes.summary import summary  # noqa: E402
from training.hybrid.ablation import ablation  # noqa: E402
from training.hybrid.kind import told as printed  # noqa: E402

ROWS = ["raw only", "features only", "fused", "fused, mixed", "fused, mixed, 2 views",
        "fused, mixed, 10 views"]  # fmt: skip
SYSTEMS = ["b7-raw", "b7-features", "b7-unmixed", "b7", "b7, 2 views", "b7, 10 views"]
RIGHT = dict(zip(SYSTEMS, (6, 7, 8, 9, 10, 11), strict=True))  # of twelve


def answers(right: int) -> list[int]:
    """The first ones right, all others wrong."""
    return [label if i < right else (label + 1) % 3 for i, label in enumerate(TRUTH)]


def measured(*names: str, folds: int = 0) -> Any:
    """Ours first, as a summary has it, with a baseline."""
    order = sorted(names, key=lambda name: name != "b7")
    return told({name: answers(RIGHT[name]) for name in order} | {"SVM": [0] * 12}, folds=folds)


def rows(one: Any) -> dict[str, list[str]]:
    """The table by its first column, its head as `""`."""
    lines = ablation(one).split("\n\n")[1].splitlines()
    wide = max(map(len, ROWS))
    return {line[:wide].strip(): _cells(line[wide:]) for line in lines}


def _cells(text: str) -> list[str]:
    """Split where two spaces are: an interval and "fold 1" are one cell."""
    return [cell.strip() for cell in text.split("  ") if cell.strip()]


def claims(one: Any) -> list[str]:
    return ablation(one).split("\n\n")[2:]


# ---- rows --------------------------------------------------------------------------------------


def test_a_row_for_each_part_in_the_order_in_which_they_are_added() -> None:
    found = rows(measured(*SYSTEMS))
    assert list(found) == ["", *ROWS]
    assert found[""] == ["accuracy", "95 %", "macro-F1", "95 %"]
    for name, row in zip(SYSTEMS, ROWS, strict=True):
        right = answers(RIGHT[name])
        macro = sklearn.metrics.f1_score(TRUTH, right, average="macro")
        assert float(found[row][0]) == pytest.approx(100 * RIGHT[name] / 12, abs=0.05)
        assert float(found[row][2]) == pytest.approx(100 * macro, abs=0.05)


def test_an_interval_holds_what_it_is_of() -> None:
    for cells in list(rows(measured(*SYSTEMS)).values())[1:]:
        for value, text in (cells[0:2], cells[2:4]):
            low, high = (float(part) for part in text.strip("[]").split(","))
            assert 0 <= low <= float(value) <= high <= 100


def test_baselines_and_other_runs_have_no_row() -> None:
    assert "SVM" not in ablation(measured(*SYSTEMS))


def test_what_was_not_trained_is_a_dash_and_says_why() -> None:
    """With ABLATION=no there is the model alone, and its views."""
    one = measured("b7", "b7, 2 views", "b7, 10 views")
    found = rows(one)
    assert list(found) == ["", *ROWS]
    assert all(found[row] == ["-"] * 4 for row in ROWS[:3])
    assert found["fused, mixed"][0] == "75.0"
    assert claims(one) == ["-: not trained (ABLATION=no)"]


def test_one_group_has_no_interval() -> None:
    one = told({name: answers(RIGHT[name]) for name in ("b7", *SYSTEMS[:3])}, groups=1)
    assert rows(one)["fused, mixed"][1::2] == ["-", "-"]


def test_without_folds_nothing_is_said_of_folds() -> None:
    one = measured(*SYSTEMS)
    assert claims(one) == []
    assert "fold" not in ablation(one)


def test_nothing_right_is_0_and_no_dash() -> None:
    one = told({"b7": answers(0), **{f"b7-{v}": answers(3) for v in ("raw", "features")}})
    assert rows(one)["fused, mixed"][:2] == ["0.0", "[0.0, 0.0]"]


# ---- folds -------------------------------------------------------------------------------------


def folded(right: Mapping[str, Sequence[int]]) -> Any:
    """Of folds of twelve examples each; how many of each fold a system has right. Three groups a
    fold."""
    count = len(next(iter(right.values())))
    systems = {}
    for name, each in right.items():
        said = np.concatenate([answers(k) for k in each])
        systems[name] = np.eye(3)[said] * 0.8 + 0.1
    data = {"labels": np.tile(TRUTH, count), "groups": np.arange(12 * count) // 4,
            "fold": np.repeat(np.arange(count), 12)}  # fmt: skip
    return summary(data, systems, NAMES, recipe="mine", ours="b7", split="all folds")


EACH = {
    "b7": (9, 7, 8, 12),
    "b7-raw": (8, 8, 8, 3),
    "b7-features": (9, 6, 7, 12),
    "b7-unmixed": (7, 9, 8, 11),
    "b7, 2 views": (9, 9, 9, 9),
}


def test_folds_are_columns() -> None:
    found = rows(folded(EACH))
    assert found[""] == [
        "accuracy",
        "95 %",
        "macro-F1",
        "95 %",
        *(f"fold {k}" for k in (1, 2, 3, 4)),
    ]
    for name, row in zip(SYSTEMS[:5], ROWS, strict=False):
        cells = [float(cell) for cell in found[row][4:]]
        assert cells == pytest.approx([100 * k / 12 for k in EACH[name]], abs=0.05)
        assert float(found[row][0]) == pytest.approx(100 * sum(EACH[name]) / 48, abs=0.05)
    assert found[ROWS[5]] == ["-"] * 8
    assert "; accuracy of each fold" in ablation(folded(EACH)).splitlines()[0]


def test_folds_are_counted_in_which_both_branches_do_what_either_does() -> None:
    """A draw with the better one counts: ours is 9 to 9, 7 to 8, 8 to 8 and 12 to 12; without
    mixing 7 to 9, 9 to 8, 8 to 8 and 11 to 12."""
    assert claims(folded(EACH)) == [
        "fused is at least as good as each branch alone in 2 of 4 folds",
        "fused, mixed is at least as good as each branch alone in 3 of 4 folds",
    ]


@pytest.mark.parametrize(("ours", "count"), [((12, 12), 2), ((0, 0), 0), ((8, 0), 1), ((0, 8), 1)])
def test_it_must_be_as_good_as_the_better_one(ours: tuple[int, int], count: int) -> None:
    each = {"b7": ours, "b7-raw": (8, 3), "b7-features": (3, 8), "b7-unmixed": (5, 5)}
    assert claims(folded(each)) == [
        "fused is at least as good as each branch alone in 0 of 2 folds",
        f"fused, mixed is at least as good as each branch alone in {count} of 2 folds",
    ]


def test_folds_without_variants_claim_nothing() -> None:
    one = folded({"b7": (9, 7), "b7, 2 views": (9, 9), "SVM": (3, 3)})
    assert claims(one) == ["-: not trained (ABLATION=no)"]
    assert rows(one)["raw only"] == ["-"] * 6


# ---- where it stands ---------------------------------------------------------------------------


def test_it_is_printed_behind_the_table_of_all_systems() -> None:
    one = measured(*SYSTEMS)
    text = printed(one)
    assert text.endswith(f"{ablation(one)}\n")
    before = text.removesuffix(f"{ablation(one)}\n")
    assert "mine, test: 12 clips of 3 classes" in before
    assert all(name in before for name in [*SYSTEMS, "SVM"])


def test_a_variant_by_itself_is_not_called_the_whole() -> None:
    """`evaluate RUN=b7-raw` measures that one, which answers for no views."""
    one = told({"b7-raw": answers(6), "SVM": [0] * 12})
    assert "fused" not in printed(one)
    assert "b7-raw" in printed(one)
