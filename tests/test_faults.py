"""Refusals by the system and files that kill their decoder: one clear line, and the rest goes on.

Reads nothing. Does: fills disks, forbids writing, crashes and hangs decoders in real runs, then
runs them again. Writes: pytest's temporary folders, and mounts in a namespace of their own.
"""

import csv
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipeline import suspects
from pipeline.errors import MelmillError
from tests import corpus, forked, runs
from tests.runs import World, needs_strace
from tests.sweeps import note

FIRST = "voice0-0.wav"  # the file that misbehaves
SPACE = (
    "import pipeline.disk.guard\npipeline.disk.guard.SPARE = -1 << 60\n"  # never refuse beforehand
)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return runs.world(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return corpus.hook(tmp_path_factory.mktemp("alone"), corpus.ALONE)


def the_error(stderr: str) -> str:
    """The one line that says what went wrong; nothing may look like a crash."""
    assert "Traceback" not in stderr, stderr
    told = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert len(told) == 1, stderr
    return told[0]


# -- the disk --------------------------------------------------------------------------------------

WORDS = {
    "ENOSPC": ("No space left on device", "Free some space"),
    "EDQUOT": ("Disk quota exceeded", "quota is used up"),
    "EIO": ("Input/output error", "Mend the disk"),
    "EROFS": ("Read-only file system", "the disk is read-only"),
}


@pytest.mark.parametrize(
    ("fault", "jobs"),
    [("write:2:ENOSPC", 1), ("write:30:EDQUOT", 1), ("fsync:4:EIO", 1), ("open:20:EIO", 1)]
    + [("syncdir:7:EIO", 1), ("rename:1:ENOSPC", 2)],
)
def test_a_refused_write(
    world: World, alone: dict[str, str], tmp_path: Path, fault: str, jobs: int
) -> None:
    """In this process (jobs 1 here), or in a worker."""
    artifacts, code = tmp_path / "artifacts", fault.split(":")[2]
    env = {**(alone if jobs == 1 else {}), "MELMILL_FAULT": fault}
    done = corpus.run(world.args(artifacts, jobs), env)
    assert done.returncode == 1
    told = the_error(done.stderr)
    assert os.fspath(artifacts) in told
    assert all(words in told for words in WORDS[code])
    world.check_names(artifacts)
    assert corpus.leftovers(artifacts) == []
    world.finish(artifacts, env=alone)


def test_a_full_standard_output(world: World, tmp_path: Path) -> None:
    told = ["sh", "-c", 'exec "$@" >/dev/full', "sh", *corpus.command(world.args(tmp_path / "a"))]
    done = subprocess.run(
        told, env=corpus.environment(), cwd=corpus.REPO, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "standard output: cannot write: No space left on device" in the_error(done.stderr)


@needs_strace
@pytest.mark.slow
@pytest.mark.timeout(5400)
@pytest.mark.parametrize(
    ("call", "code"),
    [("write", "ENOSPC"), ("write", "EDQUOT"), ("write", "EIO"), ("fsync", "EIO")]
    + [("rename", "EDQUOT"), ("mkdir", "ENOSPC"), ("unlink", "EIO")],
)
def test_an_error_at_every_call(world: World, tmp_path: Path, call: str, code: str) -> None:
    """A call of the system fails once, at each place; the message may be lost with it."""
    count, struck = 1, True
    log, said, artifacts = tmp_path / "log", tmp_path / "said", tmp_path / "artifacts"
    with forked.server() as server:
        while struck:
            inject = ("-e", f"trace={call}", "-e", f"inject={call}:error={code}:when={count}")
            done = server.traced(world.args(artifacts), said, "-o", os.fspath(log), *inject)
            told = said.read_text()
            traces = log.read_text("latin-1")
            struck = "(INJECTED)" in traces
            assert done in (0, 1), f"{count}: {told}"
            if done and not re.search(r"write\([12],.*\(INJECTED\)", traces):
                the_error(told)
            world.check_names(artifacts)
            assert server.run(world.args(artifacts), said) == 0, said.read_text()
            world.check(artifacts)
            shutil.rmtree(artifacts)
            note(f"{code} from {call}: a clear line, then the same bytes", 1, 1)
            count += 1


def may_mount() -> bool:
    told = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        bool(shutil.which("unshare")) and not subprocess.run(told, capture_output=True).returncode
    )


needs_mount = pytest.mark.skipif(not may_mount(), reason="may not mount file systems here")
BUILD = """
mount -t tmpfs -o "$1" tmpfs "$2" || exit 90
shift; where=$1; copy=$2; shift 2
"$@" 2>"$copy.err"; echo "first $?"
find "$where" -name '.tmp-*' | sed 's/^/left /'
cp -r "$where" "$copy.first"
mount -o remount,size=200m,nr_inodes=0 "$where" || exit 91
"$@" >/dev/null || exit 92
cp -r "$where" "$copy"
"""


def on_a_small_disk(
    world: World, tmp_path: Path, options: str, env: dict[str, str]
) -> tuple[str, str]:
    """Build on a tmpfs, make it larger, build again; (what the first run left, its errors)."""
    where, copy = tmp_path / "small", tmp_path / "copy"
    where.mkdir()
    build = corpus.command(world.args(where))
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", BUILD, "sh", options, where, copy, *build],
        env=corpus.environment(env), cwd=corpus.REPO, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    world.check_names(Path(f"{copy}.first"))
    assert corpus.tree_hash(copy) == world.hash
    assert corpus.leftovers(copy) == []
    return done.stdout, Path(f"{copy}.err").read_text()


@needs_mount
@pytest.mark.parametrize("options", ["size=1m", "size=40m,nr_inodes=12"])
def test_a_full_disk(world: World, tmp_path: Path, options: str) -> None:
    """Full in the middle of a shard (the check beforehand is off), or out of inodes."""
    env = corpus.hook(tmp_path / "hook", SPACE + corpus.ALONE)
    left, stderr = on_a_small_disk(world, tmp_path, options, env)
    assert "first 1" in left
    assert "left" not in left
    told = the_error(stderr)
    assert os.fspath(tmp_path / "small") in told
    assert "No space left on device" in told
    assert "MiB free. Free some space" in told


@needs_mount
def test_too_small_a_disk_is_refused_beforehand(
    world: World, alone: dict[str, str], tmp_path: Path
) -> None:
    left, stderr = on_a_small_disk(world, tmp_path, "size=20m", alone)
    assert "first 1" in left
    told = the_error(stderr)
    assert "too little disk space; expected about" in told
    assert "MiB free. Free some space" in told


@needs_mount
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_disks_of_every_size(world: World, tmp_path: Path) -> None:
    env = corpus.hook(tmp_path / "hook", SPACE + corpus.ALONE)
    failed = 0
    for size in (*range(128, 4096, 128), *range(4096, 20481, 2048)):  # KiB
        folder = tmp_path / str(size)
        folder.mkdir()
        left, stderr = on_a_small_disk(world, folder, f"size={size}k", env)
        assert "left" not in left
        if "first 0" not in left:
            failed += 1
            assert "No space left on device" in the_error(stderr)
        shutil.rmtree(folder)
        note("a disk of 128 KiB to 20 MiB: finished, or a clear line and no half file", 1, 1)
    assert failed > 10


# -- permissions -----------------------------------------------------------------------------------


@needs_mount
def test_a_read_only_disk(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", folder, *corpus.command(world.args(folder))],
        env=corpus.environment(), cwd=corpus.REPO, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    told = the_error(done.stderr)
    assert os.fspath(folder) in told
    assert "et ARTIFACTS= to a folder you can write" in told
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, to become someone else"
)
def test_somebody_elses_folder(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    for above in (*tmp_path.parents, tmp_path, world.base):
        if above.stat().st_mode & 0o005 != 0o005:
            above.chmod(above.stat().st_mode | 0o055)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*nobody, *corpus.command(["--help"])], cwd=corpus.REPO).returncode:
        pytest.skip("another user cannot read this Python or this folder")
    done = subprocess.run(
        [*nobody, *corpus.command(world.args(folder))],
        env=corpus.environment(), cwd=corpus.REPO, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    told = the_error(done.stderr)
    assert "Permission denied" in told
    assert "You may not write there: set ARTIFACTS=" in told


# -- decoders --------------------------------------------------------------------------------------

ON = f"""
import os, signal, time
import pipeline.audio.codecs, pipeline.suspects
pipeline.suspects.PATIENCE = 2.0

def misbehave(path):
    if os.path.basename(path) == {FIRST!r}:
        ACT

def open_sound(path, *rest, inner=pipeline.audio.codecs.open_sound):
    if WHERE == "header":
        misbehave(path)
    reader = inner(path, *rest)
    def blocks(inner=reader.blocks):
        for block in inner():
            misbehave(path)
            yield block
    reader.blocks = blocks
    return reader

pipeline.audio.codecs.open_sound = open_sound
"""
ACTS = {
    "crash": "os.kill(os.getpid(), signal.SIGSEGV)",
    "hang": "time.sleep(1000)",
    "memory": "bytearray(64 << 30)",
}


def rejected(artifacts: Path) -> dict[str, str]:
    with open(artifacts / "rejected.csv", newline="") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


@pytest.mark.parametrize(
    ("act", "where", "reason"),
    [
        ("crash", "samples", "decoder_crash"),
        ("hang", "samples", "timeout"),
        ("memory", "samples", "decoder_error"),
        ("crash", "header", "decoder_crash"),
        pytest.param("hang", "header", "timeout", marks=pytest.mark.slow),
        ("memory", "header", "decoder_error"),
    ],
)
def test_a_file_that_kills_its_decoder(
    world: World, tmp_path: Path, act: str, where: str, reason: str
) -> None:
    """It is rejected; every other file is used, and the packs hold just the others."""
    code = ON.replace("ACT", ACTS[act]).replace("WHERE", repr(where))
    env = corpus.hook(tmp_path / "hook", code)
    artifacts = tmp_path / "artifacts"
    told = ["--data", world.data, "--recipe", world.recipes, "--artifacts", artifacts]
    done = corpus.run(["features", *told, "--jobs", 2, "--max-rejected", 20], env)
    assert done.returncode == 0, done.stderr
    assert rejected(artifacts) == {FIRST: reason}
    assert "found 12 files = used 11" in done.stdout
    if act == "crash":  # it is not tried again
        again = corpus.run(["features", *told, "--max-rejected", 20], env)
        assert again.returncode == 0, again.stderr
        assert "decode: nothing to do" in again.stdout
        assert "died" not in again.stderr


POOL = """
import joblib.externals.loky.backend.fork_exec as starter
def refuse(*rest, **more):
    raise OSError(11, "Resource temporarily unavailable")
starter.fork_exec = refuse
"""


def test_no_worker_can_be_started(world: World, tmp_path: Path) -> None:
    env, artifacts = corpus.hook(tmp_path / "hook", POOL), tmp_path / "artifacts"
    done = corpus.run(world.args(artifacts, 2), env)
    assert done.returncode == 0, done.stderr
    assert re.search(r"no worker processes can be started \(.*unavailable.*\)", done.stderr)
    assert "one at a time in this process" in done.stderr
    assert corpus.tree_hash(artifacts) == world.hash


def test_a_worker_notes_how_much_it_has_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all files of its task, while it is inside one; nothing when the task is over."""
    monkeypatch.setattr(suspects, "NOTED", 0.0)
    blocks = [np.zeros(8000), np.zeros(4000)]
    with suspects.Watch(os.fspath(tmp_path)) as watch:
        for name, before in (("a.wav", 0.0), ("b.wav", 1.5)):
            with watch.inside(name, 1):
                seen = [suspects.under_way(tmp_path) for _ in watch.counted(iter(blocks), 8000)]
            assert seen == [before, before + 1.0]
            assert suspects.under_way(tmp_path) == before + 1.5
            (note,) = tmp_path.iterdir()
            assert note.read_text()[: suspects.NAME] == suspects.name(name)
    assert suspects.under_way(tmp_path) == 0.0


def test_a_note_that_cannot_be_written_blames_no_file(tmp_path: Path) -> None:
    """A full disk must not make a good recording unreadable."""
    with suspects.Watch(os.fspath(tmp_path)) as watch:
        watch.file = open("/dev/full", "wb", 0)  # noqa: SIM115  (closed by the watch)
        refused = pytest.raises(MelmillError, match="cannot write: No space left")
        with refused, watch.inside("a.wav", 1):
            pytest.fail("went on")
