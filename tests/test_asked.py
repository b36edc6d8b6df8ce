"""What a person typed: times, lists of names, recipes by name or by file.

Writes .toml files into pytest's folders, and reads them.
"""

import os
from pathlib import Path

import pytest

from training.asked import recipes, seconds, words
from training.errors import Changed


@pytest.mark.parametrize(
    ("text", "length"),
    [("8h", 28800), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("2d", 172800), ("120", 120),
     ("1.5h", 5400), ("0.5", 0.5), ("1H30M", 5400), ("1d1h1m1s", 90061)],
)  # fmt: skip
def test_times(text: str, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize(
    "text",
    ["", "h", "8 h", "8hours", "-1h", "1h-30m", "1:30", "1e3", "1,5h", ".5h", "5.h", "h8", "8h30",
     "8hx", "nan", "inf", "8h\n", "1..5h", "120\n"],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(Changed, match="BUDGET: no time; expected such as 8h, 90m or 1h30m") as said:
        seconds(text)
    assert said.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [("", []), (" , ", []), ("a", ["a"]), ("a,b", ["a", "b"]), (" a  b,\n,c\t", ["a", "b", "c"]),
     ("a,a", ["a", "a"]), ("grüße b.c", ["grüße", "b.c"])],
)  # fmt: skip
def test_names_between_commas_and_spaces(text: str, found: list[str]) -> None:
    assert words(text) == found


def toml(path: Path, name: str) -> Path:
    path.write_text(f'name = "{name}"\n')
    return path


def test_recipes_by_name_and_by_file_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml(tmp_path / "my.toml", "high")
    monkeypatch.chdir(tmp_path)
    assert recipes("low") == ["low"]
    assert recipes("low,high low") == ["low", "high"]
    assert recipes("my.toml, low, my.toml") == ["high", "low"]
    assert recipes("high my.toml") == ["high"]
    assert recipes("") == []


def test_the_name_of_one_file_may_hold_anything(tmp_path: Path) -> None:
    folder = tmp_path / "own recipes"
    folder.mkdir()
    assert recipes(str(toml(folder / "my, own.toml", "high"))) == ["high"]


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "No such file"), (b"name = ", "Invalid value"), (b"about = 'x'", "'name'"),
     (b"\xff", "utf-8")],
)  # fmt: skip
def test_a_file_that_is_no_recipe(tmp_path: Path, text: bytes | None, said: str) -> None:
    path = tmp_path / "my.toml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(Changed, match=said) as error:
        recipes(os.fspath(path))
    assert f"{path}: not a recipe with a name" in str(error.value)
    assert error.value.exit_code == 2
