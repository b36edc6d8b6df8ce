"""One tree of bytes, whatever the number of workers, the order of files, the place, the locale.

Reads and writes in pytest's folders. Does: runs the command in changed surroundings and compares
hashes of whole trees. The sweep in real processes is `slow`; a sample of it is not.
"""

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import corpus, here

SEED = 20250


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/, recipes/ and reference/, made in this process with one task after another."""
    root = tmp_path_factory.mktemp("same")
    corpus.small_corpus(root / "data")
    corpus.recipes(root / "recipes")
    here.features(root / "data", root / "reference", recipe(root))
    return root


def recipe(root: Path) -> str:
    return corpus.recipes(root / "recipes")


@pytest.fixture(scope="module")
def reference(root: Path) -> str:
    return corpus.tree_hash(root / "reference")


def outside(
    root: Path, artifacts: Path, *args: object, data: Path | None = None, **env: str
) -> str:
    """The hash of a run in a process of its own."""
    known = ["--data", data or root / "data", "--artifacts", artifacts, "--recipe", recipe(root)]
    done = corpus.run(["features", *known, *args], env)
    assert done.returncode == 0, done.stderr
    assert corpus.leftovers(artifacts) == []
    return corpus.tree_hash(artifacts)


@pytest.mark.parametrize("jobs", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_workers(root: Path, reference: str, tmp_path: Path, jobs: int) -> None:
    assert outside(root, tmp_path / "a", "--jobs", jobs) == reference


SURROUNDINGS = {
    "locale": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "PYTHONUTF8": "0"},
    "c": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "zone": {"TZ": "Pacific/Apia"},
    "hash-seed": {"PYTHONHASHSEED": "12345"},
    "core": {"OPENBLAS_CORETYPE": "Haswell"},
    "older-core": {"OPENBLAS_CORETYPE": "Nehalem"},
    "threads": dict.fromkeys(corpus.ONE_THREAD, "4"),
    "optimised": {"PYTHONOPTIMIZE": "1"},
}
ALL = {name: value for around in SURROUNDINGS.values() for name, value in around.items()}


@pytest.mark.slow
@pytest.mark.parametrize("around", SURROUNDINGS)
def test_each_surrounding(root: Path, reference: str, tmp_path: Path, around: str) -> None:
    assert outside(root, tmp_path / "a", **SURROUNDINGS[around]) == reference


def test_all_surroundings_at_once(root: Path, reference: str, tmp_path: Path) -> None:
    """Another locale, zone, hash seed, core type, thread count, umask and place, at once."""
    place = tmp_path / "a folder with spaces, 'quotes' and é"
    data = _shuffled(root / "data", place / "data")
    old = os.umask(0o077)
    try:
        found = outside(root, place / "artifacts", "--jobs", 2, data=data, **ALL)
    finally:
        os.umask(old)
    assert found == reference


def _shuffled(data: Path, to: Path, seed: int = SEED) -> Path:
    """The same files, made in another order, with other times and modes."""
    order = sorted(data.iterdir())
    random.Random(seed).shuffle(order)
    to.mkdir(parents=True)
    for number, path in enumerate(order):
        shutil.copyfile(path, to / path.name)
        os.utime(to / path.name, (number * 1e8, number * 1e8))
        (to / path.name).chmod(0o444)
    return to


@pytest.mark.parametrize("seed", range(4))
def test_order_of_files(root: Path, reference: str, tmp_path: Path, seed: int) -> None:
    data = _shuffled(root / "data", tmp_path / "data", seed)
    here.features(data, tmp_path / "a", recipe(root))
    assert corpus.tree_hash(tmp_path / "a") == reference


@pytest.mark.parametrize("kept", [1, 4, 7])
def test_two_runs_equal_one(root: Path, reference: str, tmp_path: Path, kept: int) -> None:
    """Some files first, then all of them: as if there had been one run."""
    data = shutil.copytree(root / "data", tmp_path / "data")
    later = [path for path in sorted(data.glob("voice*"))][kept:]
    away = tmp_path / "away"
    away.mkdir()
    for path in later:
        path.rename(away / path.name)
    here.features(data, tmp_path / "a", recipe(root), "--max-rejected", 100)
    for path in later:
        (away / path.name).rename(path)
    assert f"decode: {len(later)} file" in here.features(data, tmp_path / "a", recipe(root))
    assert corpus.tree_hash(tmp_path / "a") == reference


def test_recipes_one_by_one_or_at_once(root: Path, reference: str, tmp_path: Path) -> None:
    for one in reversed(recipe(root).split(",")):
        here.features(root / "data", tmp_path / "a", one)
    assert corpus.tree_hash(tmp_path / "a") == reference


def test_stages_one_by_one_or_at_once(root: Path, reference: str, tmp_path: Path) -> None:
    known = ["--data", root / "data", "--artifacts", tmp_path / "a", "--recipe", recipe(root)]
    for stage in ("scan", "decode", "shards"):
        here.here(stage, *known)
    assert corpus.tree_hash(tmp_path / "a") == reference


def test_nothing_of_the_machine_is_in_the_tree(root: Path) -> None:
    """No path, time, host or user name: else the tests above would pass by luck."""
    names = [os.fspath(root).encode(), os.uname().nodename.encode()]
    for path in (root / "reference").rglob("*"):
        if path.is_file() and ".cache" not in path.parts:
            data = path.read_bytes()
            assert not [name for name in names if len(name) > 3 and name in data], path


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here")
def test_no_write_when_nothing_changed(root: Path, tmp_path: Path) -> None:
    """The kernel's own account: not one call that changes a file or a name under artifacts."""
    artifacts = here.copy(root / "reference", tmp_path / "a")
    known = ["--data", root / "data", "--artifacts", artifacts, "--recipe", recipe(root)]
    args = ["features", *known, "--jobs", 2]
    assert corpus.run(args).returncode == 0  # the copy's own stamps are taken
    before = here.stamps(artifacts)
    log = tmp_path / "log"
    calls = "trace=write,pwrite64,writev,ftruncate,truncate,rename,renameat,renameat2,unlink,"
    calls += "unlinkat,mkdir,mkdirat,rmdir,utimensat,fchmod,chmod,fsync,openat,creat,link,symlink"
    done = subprocess.run(
        ["strace", "-f", "-y", "-qq", "-e", calls, "-o", log, *corpus.command(args)],
        env=corpus.environment(), cwd=corpus.REPO, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout
    assert here.stamps(artifacts) == before
    touching = [line for line in log.read_text(errors="replace").splitlines()
                if f"{artifacts}/" in line and not _only_reads(line)]  # fmt: skip
    assert touching == []


def _only_reads(line: str) -> bool:
    """An open for reading; the lock is opened so that it can be made."""
    if "openat(" not in line:
        return " = -1 EEXIST" in line  # mkdir of what is there
    return "/.lock" in line or not any(f in line for f in ("O_WRONLY", "O_RDWR", "O_CREAT"))
