"""The doctor: what it says of a machine that is fit, and of each way in which one is not.

Reads this machine. Does: breaks one thing at a time (a codec, a disk, a folder, a library) and
looks for the finding and the advice. Writes: in pytest's folders; a mount of its own, if root.
"""

import importlib.metadata
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline import cli, jobs
from pipeline.audio.sndfile import SndfileSource
from pipeline.disk import guard
from pipeline.doctor import apart, data, folders, gpu, heard, libraries, machine
from pipeline.doctor.finding import BAD, NOTE, OK, Finding, lines
from tests import corpus, here

ROOT = os.geteuid() == 0
MOUNTS = ROOT and shutil.which("unshare") is not None


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.small_corpus(tmp_path_factory.mktemp("doctor") / "data")


@pytest.fixture(autouse=True)
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*corpus.ASKED, "ARTIFACTS"):
        monkeypatch.delenv(name, raising=False)


def doctor(*args: object) -> tuple[int, str]:
    """Exit code and what it prints, in this process."""
    done = CliRunner().invoke(cli.cli, ["doctor", *map(str, args)], standalone_mode=False)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return (int(done.exception.code or 0) if done.exception else 0), done.output


def row(told: str, what: str) -> str:
    """The line of a check, with what is wrapped below it, as one line."""
    found: list[str] = []
    for line in told.splitlines():
        if line[6:].startswith(what) or (found and line.startswith(" " * 10)):
            found.append(line)
        elif found:
            break
    return " ".join(" ".join(found).split())


# ------------------------------------------------------------------ all of it


def test_a_fit_machine_is_left_as_it_was(recordings: Path, tmp_path: Path) -> None:
    before = here.stamps(recordings.parent)
    code, told = doctor("--data", recordings, "--artifacts", tmp_path / "not" / "there")
    assert code == 0, told
    assert "doctor: nothing bad" in told
    assert row(told, "codecs").startswith("ok codecs libsndfile")
    assert all(name in row(told, "codecs") for name in heard.FORMATS)
    assert "12 audio files" in row(told, "data")
    assert "noise-classifier" in row(told, "recipes")
    assert list(tmp_path.iterdir()) == []
    assert here.stamps(recordings.parent) == before
    assert all(len(line) <= 100 or "/" in line for line in told.splitlines())


def test_everything_stands_in_a_folder_that_is_there(recordings: Path, tmp_path: Path) -> None:
    here.features(recordings, tmp_path, corpus.recipes(recordings.parent / "r", corpus.CLASSES))
    before = here.stamps(tmp_path)
    code, told = doctor("--data", recordings, "--artifacts", tmp_path)
    assert code == 0, told
    assert here.stamps(tmp_path) == before
    assert "of it is there" in row(told, "disk")


def test_an_empty_data_folder_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    code, told = doctor()
    assert code == 0, told
    assert "a run makes the demo corpus" in row(told, "data")
    assert "2.44 GB" in row(told, "disk")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_check_that_breaks_hides_no_other(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(count: int) -> Finding:
        raise ZeroDivisionError("no cores")

    monkeypatch.setattr(machine, "cores", breaks)
    code, told = doctor("--data", recordings, "--artifacts", tmp_path)
    assert code == 1
    assert "the check itself broke: ZeroDivisionError: no cores" in row(told, "cores")
    assert row(told, "disk").startswith("ok")


# ------------------------------------------------------------------ codecs


@pytest.mark.parametrize(
    ("breaks", "why"),
    [
        (lambda chunk: chunk[::-1], "wrong sound"),
        (lambda chunk: chunk.byteswap() if chunk.dtype == np.int16 else chunk[::-1], "wrong sound"),
        (lambda chunk: np.zeros_like(chunk), "wrong sound: 0 dB"),
        (lambda chunk: np.repeat(chunk, 2), "32000 at 16000 Hz"),
        (lambda chunk: np.roll(chunk, 1), "wrong sound"),
    ],
    ids=["backwards", "swapped", "silent", "doubled", "late"],
)
def test_wrong_sound_is_bad(
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    breaks: Callable[[np.ndarray], np.ndarray],
    why: str,
) -> None:
    real = SndfileSource.chunks
    monkeypatch.setattr(SndfileSource, "chunks", lambda self: (breaks(c) for c in real(self)))
    code, told = doctor("--data", recordings, "--artifacts", tmp_path)
    assert code == 1
    said = row(told, "codecs")
    assert said.startswith("BAD")
    assert all(f"{name}: " in said for name in heard.FORMATS)
    assert why in said
    assert "pip install --force-reinstall" in said


def test_one_broken_codec_is_named_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that kills its process takes no other along."""
    real = SndfileSource.chunks

    def chunks(self: SndfileSource) -> Any:
        if "VORBIS" in self.codec:
            os.kill(os.getpid(), 9)
        if "MPEG" in self.codec:
            raise MemoryError("not so much")
        return real(self)

    monkeypatch.setattr(SndfileSource, "chunks", chunks)
    good, bad, *_ = heard.check()
    assert (good.mark, bad.mark) == (OK, BAD)
    assert "FLAC" in good.found
    assert "OGG: it killed its process (signal 9)" in bad.found
    assert "MP3: MemoryError: not so much" in bad.found
    assert "FLAC" not in bad.found


def test_a_decoder_that_hangs_is_left_behind() -> None:
    def hangs() -> Any:
        yield "first"
        while True:
            pass

    got = apart.apart(hangs, 0.3)
    assert next(got) == "first"
    began = time.monotonic()
    with pytest.raises(apart.Lost, match="did not end"):
        next(got)
    assert time.monotonic() - began < 5


def test_pyav_is_tried_or_said_to_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    *_, last = heard.check()
    if heard.importlib.util.find_spec("av") is not None:
        assert last.mark == OK
        assert all(name in last.found for name in heard.EXTRA)
    monkeypatch.setattr(heard.importlib.util, "find_spec", lambda name: None)
    *_, last = heard.check()
    assert last.mark == NOTE
    assert "pip install av" in last.do


# ------------------------------------------------------------------ folders and disks


def in_mount(options: str, recordings: Path, place: Path) -> "subprocess.CompletedProcess[str]":
    """The command with a small disk of its own over `place`, seen by nobody else."""
    python = " ".join(corpus.command(["doctor", "--data", recordings, "--artifacts", place / "a"]))
    mount = f"mount -t tmpfs {options} none {place} && exec {python}"
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", mount], env=corpus.environment(), cwd=corpus.REPO,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.skipif(not MOUNTS, reason="only root may mount")
@pytest.mark.parametrize(
    ("options", "what", "said"),
    [
        ("-o size=1m", "disk", "set ARTIFACTS= to a larger disk"),
        ("-o ro", "artifacts", "Read-only file system"),
    ],
)
def test_a_small_disk_and_one_that_is_read_only(
    recordings: Path, tmp_path: Path, options: str, what: str, said: str
) -> None:
    done = in_mount(options, recordings, tmp_path)
    if "mount:" in done.stderr:
        pytest.skip(f"this root may not mount: {done.stderr}")
    assert done.returncode == 1, done.stdout
    found = row(done.stdout, what)
    assert found.startswith("BAD")
    assert said in found
    assert "ARTIFACTS=" in found


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    """As a user who is nobody: root may write everywhere."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)

    def work() -> Any:
        if ROOT:
            os.setuid(65534)
        os.chdir("/")
        yield folders.artifacts(closed / "a")

    for folder in (tmp_path, *tmp_path.parents):
        if ROOT and not folder.stat().st_mode & stat.S_IXOTH:
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    (finding,) = apart.apart(work, 10)
    assert finding.mark == BAD
    assert "Permission denied" in finding.found
    assert "set ARTIFACTS= to a folder you can write" in finding.do
    assert not list(closed.iterdir())


@pytest.mark.parametrize(
    ("call", "said"),
    [("os.rename", "cannot write"), ("os.fsync", "cannot write"), ("fcntl.flock", "no locks")],
)
def test_a_disk_without_rename_sync_or_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, said: str
) -> None:
    def refuses(*args: object) -> None:
        raise OSError(95, "Operation not supported")

    module, name = call.split(".")
    monkeypatch.setattr(sys.modules[module], name, refuses)
    finding = folders.artifacts(tmp_path)
    assert finding.mark == BAD
    assert said in finding.found
    assert finding.do
    assert not list(tmp_path.iterdir())


def test_a_full_disk_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MELMILL_FAULT", "write:1:ENOSPC")
    monkeypatch.setattr(folders.store, "_fault_counts", {})
    finding = folders.artifacts(tmp_path)
    assert finding.mark == BAD
    assert "No space left" in finding.found
    assert "larger disk" in finding.do
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    assert folders.artifacts(tmp_path / "a").mark == BAD
    assert (tmp_path / "a").read_text() == "mine"


def test_a_run_at_work_is_named_and_not_disturbed(tmp_path: Path) -> None:
    with guard.lock(tmp_path):
        finding = folders.artifacts(tmp_path)
    assert finding.mark == NOTE
    assert f"process {os.getpid()} " in finding.found
    assert folders.artifacts(tmp_path).mark == OK


# ------------------------------------------------------------------ data


def test_what_a_recipe_takes_is_what_it_takes(recordings: Path, tmp_path: Path) -> None:
    """The estimate beside the files that a run makes."""
    recipes = corpus.recipes(tmp_path / "r")
    here.features(recordings, tmp_path / "a", recipes)
    made = sum(
        path.stat().st_size for name in ("pcm", "tiny-mix", "tiny-classes")
        for path in (tmp_path / "a" / name).iterdir() if path.suffix in (".pcm", ".h5", ".tfrecord")
    )  # fmt: skip
    known = data.check(asked(recordings, tmp_path / "none", recipes))
    assert 0.8 * made < known.need < 1.2 * made


def asked(folder: Path, artifacts: Path, recipes: str = "", **more: Any) -> data.Request:
    told = {"layout": "auto", "role": "", "splits": "", "jobs": 1, "max_rejected": 5.0} | more
    names = tuple(filter(None, recipes.split(",")))
    return data.Request(data=str(folder), artifacts=artifacts, recipes=names, **told)


def test_more_than_a_disk_has_is_bad(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = data.check(asked(recordings, tmp_path))
    there = shutil.disk_usage(tmp_path)._replace(free=guard.SPARE + known.need - 1)
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda path: there)
    code, told = doctor("--data", recordings, "--artifacts", tmp_path)
    assert code == 1
    assert row(told, "disk").startswith("BAD")
    assert "or ask for fewer with RECIPE=" in row(told, "disk")
    there = there._replace(free=guard.SPARE + known.need)
    assert folders.disk(tmp_path, known.need, "").mark == OK


def test_data_that_cannot_be_used(recordings: Path, tmp_path: Path) -> None:
    (absent,) = data.check(asked(tmp_path / "no", tmp_path)).findings
    assert (absent.mark, absent.do) == (BAD, "Give DATA=a folder of recordings")
    (tmp_path / "empty").mkdir()
    (empty,) = data.check(asked(tmp_path / "empty", tmp_path)).findings
    assert empty.mark == BAD
    for number in range(4):
        (tmp_path / "empty" / f"{number}.wav").write_bytes(b"no sound")
    (hostile,) = data.check(asked(tmp_path / "empty", tmp_path)).findings
    assert hostile.mark == BAD
    assert "4 not_audio" in hostile.found
    (likely, _) = data.check(asked(tmp_path / "empty", tmp_path, max_rejected=100.0)).findings, 0
    assert likely[0].mark == NOTE
    *_, lack = data.check(asked(recordings, tmp_path, "denoise-music")).findings
    assert lack.mark == BAD
    assert "denoise-music needs recordings with role music" in lack.found
    assert data.check(asked(recordings, tmp_path, "denoise-music")).told.endswith(" decoded")


def test_headers_that_take_too_long_are_guessed(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = data.check(asked(recordings, tmp_path)).need
    monkeypatch.setattr(data, "LOOK", 0.0)
    monkeypatch.setattr(data, "apart", lambda work, limit: work())
    part = data.check(asked(recordings, tmp_path))
    assert "1 headers read" in part.findings[0].found
    assert whole / 4 < part.need < 4 * whole


# ------------------------------------------------------------------ machine


@pytest.mark.parametrize("version", [1, 2])
def test_a_quota_and_a_limit_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """In this process' own group, where joblib does not look, and in those above it."""
    own = "0::/box/job\n" if version == 2 else "3:cpu,cpuacct:/box/job\n4:memory:/box/job\n"
    (tmp_path / "own").write_text(own)
    monkeypatch.setattr(machine, "OWN", tmp_path / "own")
    monkeypatch.setattr(machine, "GROUPS", tmp_path)
    cpu, ram = (tmp_path, tmp_path) if version == 2 else (tmp_path / "cpu", tmp_path / "memory")
    for folder in (cpu / "box" / "job", ram / "box" / "job"):
        folder.mkdir(parents=True, exist_ok=True)
    assert machine.quota() == float("inf")
    assert machine.ceiling() is None
    if version == 2:
        (cpu / "box" / "cpu.max").write_text("150000 100000\n")
        (ram / "box" / "job" / "memory.max").write_text(f"{700 << 20}\n")
        (ram / "box" / "job" / "memory.stat").write_text(f"anon {50 << 20}\nfile 1\n")
    else:
        (cpu / "box" / "cpu.cfs_quota_us").write_text("150000\n")
        (cpu / "box" / "cpu.cfs_period_us").write_text("100000\n")
        (ram / "box" / "job" / "memory.limit_in_bytes").write_text(f"{700 << 20}\n")
        (ram / "box" / "job" / "memory.stat").write_text(f"cache 1\ntotal_rss {50 << 20}\n")
    assert machine.quota() == 1.5
    assert machine.ceiling() == (700 << 20, 50 << 20)
    many = machine.cores(64)
    assert many.mark == NOTE
    assert "quota 1.5" in many.found
    assert f"JOBS={min(2, machine.joblib.cpu_count())}:" in many.do
    tight = machine.memory(8)
    assert tight.mark == NOTE
    assert "2 workers of 300 MB fit" in tight.found
    assert jobs.workers(8, 650 << 20) == 2
    assert "MAX_RAM=650MB" in tight.do
    (ram / "box" / "job" / "memory.stat").write_text(f"anon {600 << 20}\ntotal_rss {600 << 20}\n")
    assert machine.memory(8).mark == BAD


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'NVIDIA X, 1.2, 80 MiB'", "NVIDIA X, 1.2, 80 MiB"),
        ("exit 9", "nvidia-smi: none"),
        ("exec sleep 60", "nvidia-smi: none"),
    ],
)
def test_a_gpu_is_asked_with_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(gpu, "PATIENCE", 0.5)
    monkeypatch.setattr(gpu, "for_gpu", lambda name: False)
    first, *more = gpu.check()
    assert said in first.found
    assert len(more) == (2 if "echo" in script else 0)
    assert all("GPU=1" in finding.do for finding in more)


# ------------------------------------------------------------------ libraries


def test_missing_and_old_libraries_are_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "soxr":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.26.4" if name == "numpy" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    _, bad = libraries.check()
    assert bad.mark == BAD
    assert "numpy 1.26.4 is too old (asked: numpy>=2.0)" in bad.found
    assert "soxr is missing" in bad.found
    assert "-m pip install -r .ci/core.lock" in bad.do


@pytest.mark.parametrize(
    ("version", "wanted", "good"),
    [("2.0.0", ">=2.0", True), ("2.0", ">=2.0.0", True), ("2.10", ">=2.9", True),
     ("1.9.9", ">=2", False), ("8.1.7", ">=8.1.8", False), ("2.13.0+cpu", ">=2.6", True),
     ("3.0rc1", ">=3", True)],
)  # fmt: skip
def test_versions_are_numbers(version: str, wanted: str, good: bool) -> None:
    assert libraries.fits(version, wanted) is good


@pytest.mark.parametrize("target", ["doctor", "scan"])
def test_a_library_that_cannot_be_imported_is_told(tmp_path: Path, target: str) -> None:
    """soundfile without its C library: no command can start, and each says why."""
    code = "import sys\nclass No:\n def find_spec(self, name, path=None, target=None):\n"
    code += "  if name == 'soundfile': raise OSError('sndfile library not found')\n"
    env = corpus.hook(tmp_path, code + "sys.meta_path.insert(0, No())\n")
    done = corpus.run([target], env=env)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    told = done.stdout if target == "doctor" else done.stderr
    assert row(told, "imports").startswith("BAD imports OSError: sndfile library not found -> ")
    assert "pip install --force-reinstall" in row(told, "imports")
    assert ("python " in done.stdout) == (target == "doctor")  # a table only where it is asked for


def test_a_row_is_aligned_and_wrapped() -> None:
    told = lines(Finding(NOTE, "disk", "word " * 40, "free some"))
    assert told.startswith("note  disk       word")
    assert all(line.startswith(" " * 17) for line in told.splitlines()[1:])
    assert told.splitlines()[-1] == " " * 17 + "-> Free some"
