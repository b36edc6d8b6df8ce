"""Turns as RTTM: what is written is read again, what is no turn is refused by its line.

Reads and writes files in pytest's folders.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.diarizer.rttm import Turn, lines, read, write
from training.errors import Damaged

TIMES = st.integers(0, 10**7).map(lambda n: n / 1000)
NAMES = st.text("abcXYZ019_-.", min_size=1, max_size=8)


@given(turns=st.lists(st.tuples(TIMES, st.integers(1, 10**6), NAMES)))
def test_what_is_written_is_read_again(
    turns: list[tuple[float, int, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    told = sorted(Turn(start, round(start + ms / 1000, 3), name) for start, ms, name in turns)
    path = tmp_path_factory.mktemp("rttm") / "a.rttm"
    write(path, "a", reversed(told))
    found = read(path).get("a", [])
    assert [(round(a, 3), round(b, 3), who) for a, b, who in found] == sorted(told)


def test_a_line_as_the_plan_has_it() -> None:
    assert lines("ES2002a", [Turn(1.0, 2.5004, "MEE006")]) == (
        "SPEAKER ES2002a 1 1.000 1.500 <NA> <NA> MEE006 <NA> <NA>\n"
    )


def test_a_turn_of_a_millisecond_stays_and_a_shorter_one_goes() -> None:
    assert " 1.000 0.001 " in lines("a", [Turn(1.0, 1.001, "x")])
    assert lines("a", [Turn(1.0, 1.0004, "x")]) == ""


def test_names_with_spaces_are_one_word(tmp_path: Path) -> None:
    write(tmp_path / "a.rttm", "my tape\n2", [Turn(0, 1, "Ann  Lee"), Turn(1, 2, " ")])
    assert read(tmp_path / "a.rttm") == {
        "my_tape_2": [Turn(0, 1, "Ann_Lee"), Turn(1, 2, "speaker")]
    }


def test_recordings_apart_other_lines_passed_over_turns_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.rttm"
    path.write_text(
        "\ufeffSPKR-INFO b 1 <NA> <NA> <NA> unknown x <NA>\n;; a comment\n\n"
        "SPEAKER b 1 5 1 <NA> <NA> x <NA> <NA>\n"
        "SPEAKER a 1 0.5 0.25 <NA> <NA> y\n"
        "SPEAKER b 1 2 1 <NA> <NA> x <NA> <NA>\n",
        "utf-8",
    )
    assert read(path) == {
        "b": [Turn(2, 3, "x"), Turn(5, 6, "x")],
        "a": [Turn(0.5, 0.75, "y")],
    }


@pytest.mark.parametrize(
    "line",
    [
        "SPEAKER",
        "SPEAKER a 1 0 1 <NA> <NA>",
        "SPEAKER a 1 -1 1 <NA> <NA> x",
        "SPEAKER a 1 0 0 <NA> <NA> x",
        "SPEAKER a 1 nan 1 <NA> <NA> x",
        "SPEAKER a 1 0 inf <NA> <NA> x",
        "SPEAKER a 1 zero 1 <NA> <NA> x",
    ],
)
def test_what_is_no_turn_is_refused_by_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.rttm"
    path.write_text("SPEAKER a 1 0 1 <NA> <NA> x\n" + line + "\n")
    with pytest.raises(Damaged, match="line 2"):
        read(path)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.rttm"
    path.write_bytes(b"SPEAKER \xff\xfe")
    with pytest.raises(Damaged, match="no text"):
        read(path)
