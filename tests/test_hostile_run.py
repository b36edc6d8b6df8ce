"""The hostile folder through the whole pipeline, together with good files.

Reads and writes in pytest's folders. Does: runs the command in a process of its own, watches its
memory and what appears on disk, and compares the good files' outputs with a run without the bad.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from pipeline.errors import TooManyRejected
from tests import corpus, here, hostile
from tests.sweeps import note

MEMORY = 1200 << 20  # bytes of the whole process tree; 8 bombs of 16 GB each are among the files
GOOD = 12
UNSEEN = {"special/folder.wav", "names/...wav"}  # a folder is no file; hidden files are left alone


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mixed/ (good and hostile), good/ (the same without what must be rejected), recipes/."""
    root = tmp_path_factory.mktemp("hostile")
    expected = hostile.write_hostile(_folder(root / "mixed"))
    assert expected.keys() >= UNSEEN
    expected = {path: code for path, code in expected.items() if path not in UNSEEN}
    (root / "expected.json").write_text(json.dumps(expected))
    corpus.small_corpus(root / "mixed" / "fine")
    (root / "mixed" / "fine" / "melmill.csv").unlink()
    shutil.copytree(
        root / "mixed",
        root / "good",
        symlinks=True,
        ignore=lambda folder, names: _bad(root / "mixed", folder, names, expected),
    )
    corpus.recipes(root / "recipes")
    return root


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def _bad(root: Path, folder: str, names: list[str], expected: dict[str, str | None]) -> list[str]:
    place = Path(folder).relative_to(root)
    return [name for name in names if expected.get((place / name).as_posix())]


class Watched:
    """A finished run and the most memory its processes held together."""

    def __init__(self, args: list[object], outside: Path) -> None:
        before = _everything(outside)
        log = open(outside.parent / "log", "w+")  # noqa: SIM115
        run = subprocess.Popen(
            corpus.command(args), cwd=outside, env=corpus.environment(), stdout=log, stderr=log
        )
        parent, self.peak, end = psutil.Process(run.pid), 0, time.monotonic() + 240
        while run.poll() is None:
            self.peak = max(self.peak, _held(parent))
            assert time.monotonic() < end, "the run hangs"
            time.sleep(0.05)  # between two looks at memory
        log.seek(0)
        self.told, self.code = log.read(), run.returncode
        self.strays = _everything(outside) - before


def _held(parent: psutil.Process) -> int:
    total = 0
    try:
        for process in [parent, *parent.children(recursive=True)]:
            total += process.memory_info().rss
    except psutil.Error:
        return total
    return total


def _everything(folder: Path) -> set[str]:
    return {os.fspath(p) for p in folder.rglob("*")}


@pytest.fixture(scope="module")
def ran(world: Path) -> Watched:
    args = ["features", "--data", world / "mixed", "--artifacts", world / "artifacts"]
    args += ["--recipe", corpus.recipes(world / "recipes", NOISES), "--role", "noise"]
    _folder(world / "cwd")
    return Watched([*args, "--max-rejected", 100, "--jobs", 2], world / "cwd")


# Every folder is a class: bad, cut, names, odd, special, fine.
NOISES = corpus.CLASSES.replace("samples = 4096", "samples = 8000")


def test_the_parent_lives_and_memory_is_bounded(world: Path, ran: Watched) -> None:
    assert ran.code == 0, ran.told[-2000:]
    print(f"peak {ran.peak >> 20} MiB")
    assert ran.peak < MEMORY
    assert "Traceback" not in ran.told


def test_found_is_used_and_rejected(world: Path, ran: Watched) -> None:
    found = re.search(r"found (\d+) files = used (\d+) \(.*?\) \+ rejected (\d+)", ran.told)
    assert found, ran.told[-2000:]
    total, used, rejected = map(int, found.groups())
    expected = json.loads((world / "expected.json").read_text())
    assert total == used + rejected == len(expected) + GOOD
    with open(world / "artifacts" / "rejected.csv", encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == rejected


def test_each_bad_file_under_its_code(world: Path, ran: Watched) -> None:
    expected = json.loads((world / "expected.json").read_text())
    with open(world / "artifacts" / "rejected.csv", encoding="utf-8", newline="") as file:
        told = {row["path"]: row for row in csv.DictReader(file)}
    wrong = {}
    for path, code in expected.items():
        name = path.encode("utf-8", "backslashreplace").decode()
        got = told.pop(name)["reason"] if name in told else None
        if got != code and got not in ("duplicate", "duplicate_audio"):
            wrong[path] = (code, got)
    assert wrong == {}
    assert {row["reason"] for row in told.values()} <= {"duplicate", "duplicate_audio"}
    kinds = Counter(code for code in expected.values() if code)
    assert len(kinds) >= 12, kinds
    note(
        "hostile files: each rejected under its code, the run goes on",
        bad := sum(kinds.values()),
        bad,
    )


def test_good_outputs_are_unchanged(world: Path, ran: Watched) -> None:
    """Byte for byte the tree of a run without the bad files, what names them aside."""
    args = ["features", "--data", world / "good", "--artifacts", world / "clean"]
    args += ["--recipe", corpus.recipes(world / "recipes", NOISES), "--role", "noise"]
    done = corpus.run([*args, "--max-rejected", 100, "--jobs", 2])
    assert done.returncode == 0, done.stderr
    names = [p.relative_to(world / "clean") for p in sorted((world / "clean").rglob("*.*"))
             if p.suffix in (".h5", ".tfrecord")]  # fmt: skip
    assert len(names) > 8
    for name in names:
        assert (world / "clean" / name).read_bytes() == (world / "artifacts" / name).read_bytes()
    theirs = {p.name for p in (world / "artifacts").glob("tiny-classes/*.h5")}
    assert theirs == {name.name for name in names if name.suffix == ".h5"}
    splits = [(world / place / "splits.csv").read_bytes() for place in ("artifacts", "clean")]
    assert splits[0] == splits[1]


def test_nothing_else_was_written(world: Path, ran: Watched) -> None:
    assert ran.strays == set()
    assert not list(world.rglob("pwn"))
    assert corpus.leftovers(world / "artifacts") == []
    made = {p.name for p in (world / "artifacts").iterdir()}
    wanted = {".cache", ".lock", "manifest.jsonl", "rejected.csv", "splits.csv", "pcm"}
    assert made == wanted | {"tiny-classes"}
    assert not (list((world / "artifacts" / ".cache" / "inside").glob("*")))


def test_the_second_run_has_nothing_to_do(world: Path, ran: Watched) -> None:
    before = corpus.tree_hash(world / "artifacts")
    assert "nothing to do: all" in _again(world, "--max-rejected", 100)
    assert corpus.tree_hash(world / "artifacts") == before
    assert here.verify(world / "artifacts")[0] == 0


def _again(world: Path, *args: object) -> str:
    recipe = corpus.recipes(world / "recipes", NOISES)
    return here.features(world / "mixed", world / "artifacts", recipe, "--role", "noise", *args)


def test_too_many_rejected_is_an_error(world: Path, ran: Watched) -> None:
    with pytest.raises(TooManyRejected, match=r"files rejected \(.*MAX_REJECTED=100") as error:
        _again(world)
    assert error.value.exit_code == 3


def test_its_exit_code(tmp_path: Path) -> None:
    data = corpus.small_corpus(tmp_path / "data")
    (data / "melmill.csv").unlink()
    (data / "empty.wav").touch()
    args = ["features", "--data", data, "--artifacts", tmp_path / "a", "--role", "noise"]
    done = corpus.run([*args, "--recipe", corpus.recipes(tmp_path, corpus.CLASSES)])
    assert done.returncode == 3, done.stderr
    assert "1 of 13 files rejected (1 empty; the first is empty.wav" in done.stderr
    assert "Traceback" not in done.stderr
