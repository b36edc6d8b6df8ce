"""Numbers and columns as text."""

import pytest

from training.tables import bounds, columns, difference, number, scaled


def test_numbers_have_no_negative_zero_and_a_dash_for_none() -> None:
    assert [number(value, 1) for value in (1.25, -0.04, None, 3)] == ["1.2", "0.0", "-", "3.0"]


def test_an_interval_and_a_difference() -> None:
    known = {"mean": 1.26, "low": -0.51, "high": 3.0}
    assert bounds(known, 1) == "[-0.5, 3.0]"
    assert difference(known, 1) == "+1.3 [-0.5, 3.0]"
    assert difference({**known, "mean": -0.01}, 1) == "+0.0 [-0.5, 3.0]"
    alone = {"mean": -2.0, "low": None, "high": None}
    assert bounds(alone, 1) == "-"
    assert difference(alone, 1) == "-2.0 -"
    assert difference({"mean": None, "low": None, "high": None}, 1) == "-"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0"), (999, "999"), (1000, "1k"), (1_234_567, "1.23M"), (2.5e9, "2.5G")],
)
def test_large_numbers_have_letters(value: float | None, text: str) -> None:
    assert scaled(value) == text


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [["", "x", "long"], ["name", "10", None], ["a", "1", "2"]]
    assert columns(rows) == "       x  long\nname  10  None\na      1     2"
