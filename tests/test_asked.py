"""What a person typed: times, sizes, steps, lists of names, recipes by name or by file.

Writes .toml files into pytest's folders, and reads them.
"""

import os
from pathlib import Path

import pytest

from training.asked import checkpoint_step, recipes, seconds, size, words
from training.engine.checkpoint import step_of
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
     "8hx", "nan", "inf", "8h\n", "1..5h", "120\n", "0s", "0h0m"],
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


# ------------------------------------------------------------------ sizes and steps


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("15GB", 15 * 2**30), ("15gb", 15 * 2**30), ("15 GB", 15 * 2**30), ("15G", 15 * 2**30),
        ("15GiB", 15 * 2**30), ("1.5 GiB", 3 * 2**29), ("500 MB", 500 * 2**20), ("0.5k", 512),
        ("2TB", 2**41), ("4096", 4096), ("4096B", 4096), ("  1kb\n", 1024), ("1", 1),
        ("0.001GB", 1073741), ("007MB", 7 * 2**20),
    ],
)  # fmt: skip
def test_sizes(text: str, found: int) -> None:
    """Of 1024, however they are written."""
    assert size(text) == found


@pytest.mark.parametrize(
    "text",
    ["", " ", "0", "0GB", "0.0 MB", "0.4", "-1GB", "+1GB", "GB", "lots", "1.5.5GB", ".5GB", "5.GB",
     "1,5GB", "1e9", "15GBs", "15 G B", "15i", "15ib", "15PB", "GB15", "15GB 15GB", "nan", "inf",
     "0x10", "9" * 400, "9" * 306 + "TB"],
)  # fmt: skip
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(Changed, match="MAX_RAM: no size; expected such as 15GB or 800MB") as said:
        size(text)
    assert said.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "step"),
    [("1200", 1200), ("step-1200", 1200), ("step-000001200.ckpt", 1200), ("0", 0), ("", -1),
     ("step-000000042-best.ckpt", 42), ("1200-best", 1200), ("1200.ckpt", 1200),
     ("artifacts/runs/tagger/a-step-7/checkpoints/step-000000099.ckpt", 99)],
)  # fmt: skip
def test_the_step_of_a_checkpoint(text: str, step: int) -> None:
    assert checkpoint_step(text) == step


@pytest.mark.parametrize("step", [0, 1, 123456789])
@pytest.mark.parametrize("end", ["", "-best"])
def test_the_files_of_checkpoints_are_known_by_their_names(step: int, end: str) -> None:
    path = Path("runs/a/checkpoints") / f"step-{step:09d}{end}.ckpt"
    assert checkpoint_step(str(path)) == checkpoint_step(path.name) == step_of(path) == step


@pytest.mark.parametrize(
    "text",
    ["best", "step-", "last", "-1", "1.5", "1 200", "1200.ckpt.aside", "step-1200.h5", "12OO",
     "1200-bestest", "step-a1", "checkpoints/1200", " ", "1200\n"],
)  # fmt: skip
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(Changed, match="CHECKPOINT: not a checkpoint; expected a step, such as"):
        checkpoint_step(text)
