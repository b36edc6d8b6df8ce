"""A run with nothing to do looks at names and stamps alone; any change makes it look at the rest.

Reads and writes in pytest's folders. Does: runs `features` twice; a scan in the second run is an
error of the test's own.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import code, scan, unchanged
from pipeline.disk import stamps
from tests import corpus, here


class Scanned(Exception):
    """The run did not see that nothing had changed."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("unchanged")
    corpus.small_corpus(root / "data")
    (root / "given.csv").write_text("group,split\nvoice0,test\n")
    corpus.recipes(root / "recipes")
    return root


@pytest.fixture
def done(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that has ended; from now on a scan raises."""
    root = tmp_path / "root"
    shutil.copytree(base, root)
    again(root)

    def refuse(*_: object) -> None:
        raise Scanned

    monkeypatch.setattr(scan, "scan", refuse)
    return root


def again(root: Path, *args: object) -> str:
    recipe = corpus.recipes(root / "recipes")
    given = ("--splits", root / "given.csv", *args)
    return here.features(root / "data", root / "artifacts", recipe, *given)


def test_nothing_changed_and_no_file_is_read(done: Path) -> None:
    before = here.stamps(done / "artifacts")
    text = again(done, "--jobs", 3)
    assert text.startswith(f"scan: 12 audio files in {done}/data (layout csv), 12 usable (23.0 s)")
    assert "nothing to do: all of it" in text
    moved = here.written(before, here.stamps(done / "artifacts"))
    assert moved <= {".cache/last.json"}  # another number of jobs, for resume


def first(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[0]


def rewritten(path: Path) -> None:
    """Other bytes of the same length under the same mtime."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a recording": lambda root: rewritten(first(root, "data/*.wav")),
    "one more": lambda root: shutil.copy(first(root, "data/*.wav"), root / "data" / "more.wav"),
    "one less": lambda root: first(root, "data/*.wav").unlink(),
    "the list": lambda root: rewritten(root / "data" / "melmill.csv"),
    "another list": lambda root: (root / "data" / "a.rttm").write_text(""),
    "a pack": lambda root: rewritten(first(root, "artifacts/pcm/*.pcm")),
    "the packs' index": lambda root: (root / "artifacts/pcm/index.json").unlink(),
    "a shard": lambda root: rewritten(first(root, "artifacts/tiny-mix/train-*.h5")),
    "a receipt": lambda root: first(root, "artifacts/tiny-mix/train-*.json").unlink(),
    "an index": lambda root: rewritten(root / "artifacts/tiny-classes/index.json"),
    "a stray file": lambda root: (root / "artifacts/tiny-mix/stray.h5").write_text(""),
    "the splits": lambda root: rewritten(root / "artifacts/splits.csv"),
    "the manifest": lambda root: (root / "artifacts/manifest.jsonl").unlink(),
    "given splits": lambda root: (root / "given.csv").write_text("group,split\nvoice1,test\n"),
    "a recipe": lambda root: edited(root / "recipes" / "tiny-mix.toml", "10.0]", "11.0]"),
    "its own note": lambda root: rewritten(root / "artifacts/.cache/done.json"),
}


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_changes_is_seen(done: Path, what: str) -> None:
    recipe = corpus.recipes(done / "recipes")
    CHANGES[what](done)
    with pytest.raises(Scanned):
        here.features(done / "data", done / "artifacts", recipe, "--splits", done / "given.csv")


@pytest.mark.parametrize("said", [("--layout", "rttm"), ("--max-rejected", 9), ("--role", "clean")])
def test_another_wish_is_seen(done: Path, said: tuple[object, ...]) -> None:
    with pytest.raises(Scanned):
        again(done, *said)


def test_other_code_and_libraries_are_seen(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(code, "libraries", lambda *names: dict.fromkeys(names, "9.9"))
        with pytest.raises(Scanned):
            again(done)
    monkeypatch.setattr(code, "version", lambda *_: "another")
    with pytest.raises(Scanned):
        again(done)


def test_a_change_while_the_run_works_is_not_taken_for_its_state(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was looked at before the run is what counts, though outputs are looked at after it."""
    root = tmp_path / "root"
    shutil.copytree(base, root)
    real, voice = scan.scan, first(root, "data/*.wav")

    def late(*given: object) -> scan.Manifest:
        found = real(*given)  # type: ignore[arg-type]
        time.sleep(0.03)  # over a tick of the file system's clock
        rewritten(voice)
        return found

    monkeypatch.setattr(scan, "scan", late)
    again(root, "--max-rejected", 100)
    asked: list[object] = []
    monkeypatch.setattr(scan, "scan", lambda *given: asked.append(1) or real(*given))  # type: ignore[func-returns-value,arg-type]
    again(root, "--max-rejected", 100)
    assert asked


def test_what_may_pass_is_tried_again(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that could not be read may be readable now: nothing is noted."""
    root = tmp_path / "root"
    shutil.copytree(base, root)
    monkeypatch.setattr(unchanged.Look, "note", lambda *_: pytest.fail("noted"))
    real = stamps.sha256_file

    def unreadable(path: Path) -> str:
        if path.name == "voice0-0.wav":
            raise OSError(5, "Input/output error")
        return real(path)

    monkeypatch.setattr(stamps, "sha256_file", unreadable)
    assert "rejected 1 (1 unreadable)" in again(root, "--max-rejected", 100)
