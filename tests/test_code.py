"""The version of the code: moved by what a module does or reaches, by nothing else.

Reads the pipeline's sources. Writes modules into pytest's own folder.
"""

import importlib.metadata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline import code

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module of a made-up pipeline; versions are asked afresh after it."""
    monkeypatch.setattr(code, "HERE", tmp_path)

    def put(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        code.version.cache_clear()
        code._parsed.cache_clear()

    yield put
    code.version.cache_clear()
    code._parsed.cache_clear()


LEAF = 'X = 1\n\n\ndef f() -> int:\n    """Says one."""\n    return 1\n'


@pytest.fixture
def leaf(write: Write) -> str:
    write("leaf", LEAF)
    write("middle", "from pipeline.leaf import f\n")
    write("top", "def g():\n    from pipeline import middle\n    return middle.f()\n")
    write("aside", "Y = 1\n")
    return code.version("top")


@pytest.mark.parametrize(
    "same",
    [LEAF.replace("Says one.", "Says 1."), "# why\n" + LEAF, LEAF.replace("\n\n\n", "\n\n\n\n"),
     LEAF.replace("return 1", "return (1)  # one")],
)  # fmt: skip
def test_comments_docstrings_and_layout_do_not_count(write: Write, leaf: str, same: str) -> None:
    write("leaf", same)
    assert code.version("top") == leaf


@pytest.mark.parametrize("other", [LEAF.replace("return 1", "return 2"), LEAF + "Z = 'text'\n"])
def test_a_change_two_imports_away_counts(write: Write, leaf: str, other: str) -> None:
    write("leaf", other)
    assert code.version("top") != leaf


def test_a_module_that_is_not_reached_does_not_count(write: Write, leaf: str) -> None:
    write("aside", "Y = 2\n")
    assert code.version("top") == leaf


def test_modules_that_import_each_other_have_a_version(write: Write) -> None:
    write("one", "from pipeline import two\n")
    write("two", "from pipeline.one import x\n")
    assert code.version("one") == code.version("two")


def test_what_makes_a_number_is_reached() -> None:
    """A mel band's value hangs on mel.py: the version of examples must hang on it too."""
    found, waiting = {"examples"}, ["examples"]
    while waiting:
        for name in code._parsed(waiting.pop())[1] - found:
            found.add(name)
            waiting.append(name)
    arrays = {f"dsp.{name}" for name in ("mel", "features", "mix", "levels", "noise")}
    assert {*arrays, "audio.pcm", "rng", "tracks"} <= found
    assert not {"scan", "decode", "cli", "build", "jobs"} & found


def test_library_versions_are_those_installed() -> None:
    assert code.libraries("soxr", "numpy") == {
        "numpy": importlib.metadata.version("numpy"), "soxr": importlib.metadata.version("soxr"),
    }  # fmt: skip
