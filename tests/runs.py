"""Real runs for tests of what stops them: started, traced, killed, looked for afterwards.

Reads nothing. Does: starts `python -m pipeline` in a session of its own, injects signals and errors
into its system calls, compares what it left with a run that nothing disturbed. Writes: temporary
folders.
"""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import corpus

# Every write in small pieces with pauses: a run of minutes, always in the middle of a file.
SLOW = """
import time, pipeline.disk.store
def write(self, data, write=pipeline.disk.store.Sink.write):
    for at in range(0, len(data), 256):
        write(self, bytes(data)[at : at + 256])
        time.sleep(0.01)
    return len(data)
pipeline.disk.store.Sink.write = write
"""


@dataclass
class World:
    """A corpus, its recipes, and what an undisturbed run makes of them."""

    base: Path
    data: Path
    recipes: str
    hash: str
    files: dict[str, bytes]
    seconds: float

    def args(self, artifacts: Path, jobs: int = 1) -> list[Any]:
        told = ["--data", self.data, "--recipe", self.recipes]
        return ["features", *told, "--jobs", jobs, "--artifacts", artifacts]

    def start(
        self, artifacts: Path, jobs: int = 2, env: dict[str, str] | None = None
    ) -> "subprocess.Popen[str]":
        """A run in a session of its own, so that all of its processes can be found and killed."""
        return subprocess.Popen(
            corpus.command(self.args(artifacts, jobs)), env=corpus.environment(env),
            cwd=corpus.REPO, start_new_session=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    @contextlib.contextmanager
    def running(
        self, artifacts: Path, jobs: int = 2, env: dict[str, str] | None = None
    ) -> Iterator["subprocess.Popen[str]"]:
        """A run of which nothing stays behind, whatever the test finds."""
        run = self.start(artifacts, jobs, env)
        try:
            yield run
        finally:
            for process in alive(run.pid):
                process.kill()
            end(run)

    def finish(self, artifacts: Path, jobs: int = 1, env: dict[str, str] | None = None) -> None:
        """The same command once more: it must end in the reference, with nothing left over."""
        done = corpus.run(self.args(artifacts, jobs), env)
        assert done.returncode == 0, done.stderr
        self.check(artifacts)

    def check(self, artifacts: Path) -> None:
        assert corpus.tree_hash(artifacts) == self.hash
        assert corpus.leftovers(artifacts) == []

    def check_names(self, artifacts: Path) -> None:
        """Whatever stands under a final name is whole, at any time."""
        for path in artifacts.rglob("*"):
            name = path.relative_to(artifacts).as_posix()
            if path.is_file() and not name.startswith(".") and ".tmp-" not in name:
                assert path.read_bytes() == self.files[name], f"half a file: {name}"


@functools.cache
def world(base: Path) -> World:
    """Made once for all test modules of a session."""
    return made(base, corpus.small_corpus(base / "data"))


def made(base: Path, data: Path, *texts: str) -> World:
    """Build the recipes (both tiny ones unless told) undisturbed: the reference."""
    found = World(base, data, corpus.recipes(base / "recipes", *texts), "", {}, 0.0)
    began = time.monotonic()
    done = corpus.run(found.args(base / "reference", 2))
    found.seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    assert "rejected 0" in done.stdout
    found.hash = corpus.tree_hash(base / "reference")
    paths = [p for p in (base / "reference").rglob("*") if p.is_file()]
    found.files = {p.relative_to(base / "reference").as_posix(): p.read_bytes() for p in paths}
    return found


def tracing() -> str:
    """Why system calls cannot be traced here, or nothing."""
    if not shutil.which("strace"):
        return "strace is not installed"
    probe = ["strace", "-f", "-q", "-o", os.devnull, "-e", "trace=none", "true"]
    return (
        "" if subprocess.run(probe, capture_output=True).returncode == 0 else "strace may not run"
    )


needs_strace = pytest.mark.skipif(bool(tracing()), reason=tracing())


def traced(world: World, artifacts: Path, env: dict[str, str], *options: str) -> Any:
    prefix = ["strace", "-f", "-q", *options]  # no --seccomp-bpf: with it 6.1 injects nothing
    return subprocess.run(
        [*prefix, *corpus.command(world.args(artifacts))], env=corpus.environment(env),
        cwd=corpus.REPO, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def killed_at(world: World, artifacts: Path, env: dict[str, str], call: str, count: int) -> bool:
    """Run with kill -9 on entering the `count`-th `call` of any process; whether it struck."""
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={count}"]
    log = artifacts.with_suffix(".log")
    done = traced(world, artifacts, env, "-o", os.fspath(log), *inject)
    struck = "killed by SIGKILL" in log.read_text(errors="replace")
    assert struck or done.returncode == 0, done.stderr
    return struck


def alive(session: int) -> list[psutil.Process]:
    """Living processes of a session; the dead that nobody has waited for do not count."""
    found = []
    for process in psutil.process_iter():
        try:
            same = os.getsid(process.pid) == session
            if same and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def workers(session: int) -> list[psutil.Process]:
    """Worker processes, that is neither the run itself nor what tracks its semaphores."""
    found = []
    for process in alive(session):
        try:
            if "--process-name" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def until_working(run: "subprocess.Popen[str]") -> None:
    """Wait for the first worker process."""
    while not workers(run.pid):
        assert run.poll() is None, end(run)
        time.sleep(0.01)


def until_caught(run: "subprocess.Popen[str]") -> None:
    """Wait until the run has its own way with SIGTERM, which is its first act."""
    while run.poll() is None:
        status = Path(f"/proc/{run.pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.005)


def gone(session: int, seconds: float) -> bool:
    limit = time.monotonic() + seconds
    while alive(session):
        if time.monotonic() > limit:
            return False
        time.sleep(0.02)
    return True


def end(run: "subprocess.Popen[str]") -> str:
    """Wait for a run and for whatever holds its output; all that it said."""
    if run.stdout is not None and run.stdout.closed:
        return ""
    return run.communicate(timeout=120)[0]
