"""Runs that are stopped or meet another: ^C, SIGTERM, a killed parent, two starts at once.

Reads nothing. Does: signals real runs, looks for processes and writes that outlive them. Writes:
pytest's temporary folders.
"""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests import corpus, runs
from tests.runs import SLOW, World, alive, end, gone, until_caught, until_working, workers
from tests.sweeps import note


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return runs.world(tmp_path_factory.getbasetemp())


@pytest.mark.parametrize(("jobs", "busy"), [(2, False), (2, True), (1, True)])
def test_orphans_neither_write_nor_live(
    world: World, tmp_path: Path, jobs: int, busy: bool
) -> None:
    """Workers that would write for minutes lose their parent while they start, work or idle."""
    slow = corpus.hook(tmp_path / "hook", SLOW)
    artifacts = tmp_path / "artifacts"
    patience = max(2.0, 4 * starting())  # a worker that is just starting learns of it when it has
    with world.running(artifacts, jobs, slow) as run:
        until_working(run)
        while busy and not writing(run.pid, artifacts):
            time.sleep(0.01)
        assert workers(run.pid)
        run.kill()
        time.sleep(1.0)
        before = written(artifacts)
        assert gone(run.pid, patience - 1.0), alive(run.pid)
        time.sleep(0.3)
        assert written(artifacts) == before
    note("a parent killed: no worker writes a second later, none lives on", 1, 1)


def writing(session: int, artifacts: Path) -> bool:
    """Whether a worker is in the middle of a file: its number is in the temporary name."""
    left = corpus.leftovers(artifacts)
    return any(f"/.tmp-{worker.pid}-" in name for worker in workers(session) for name in left)


def starting() -> float:
    """Seconds that a run needs to start: a busy machine takes some for this alone."""
    began = time.monotonic()
    corpus.run(["--help"])
    return time.monotonic() - began


def written(artifacts: Path) -> dict[Path, tuple[int, int]]:
    paths = [path for path in artifacts.rglob("*") if path.is_file()]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


def double_start(world: World, artifacts: Path) -> None:
    patience = max(2.0, 4 * starting())
    runs = [world.start(artifacts, 2) for _ in range(2)]
    began = time.monotonic()
    while runs[0].poll() is None and runs[1].poll() is None:
        time.sleep(0.01)
    elapsed = time.monotonic() - began
    loser, winner = sorted(runs, key=lambda run: run.poll() is None)
    told = end(loser)
    assert loser.returncode == 1
    assert "another run is using this folder" in told
    assert f"process {winner.pid} " in told
    assert len(told.strip().splitlines()) == 1
    output = end(winner)
    assert winner.returncode == 0, output
    assert corpus.tree_hash(artifacts) == world.hash
    assert elapsed <= patience, f"the loser took {elapsed:.1f} s"
    note("double starts: one winner, the loser names it at once", 1, 1)


@pytest.mark.parametrize("turn", [1, 2])
def test_double_start(world: World, tmp_path: Path, turn: int) -> None:
    double_start(world, tmp_path / "artifacts")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_50_double_starts(world: World, tmp_path: Path) -> None:
    for turn in range(50):
        double_start(world, tmp_path / str(turn))
        shutil.rmtree(tmp_path / str(turn))


@pytest.mark.parametrize("moment", [0.0, 0.7, 1.5])
@pytest.mark.parametrize(
    ("number", "whole"),
    [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, False)],
    ids=["ctrl-c", "sigint", "sigterm"],
)
def test_stop(world: World, tmp_path: Path, moment: float, number: int, whole: bool) -> None:
    """`whole`: a terminal sends ^C to every process of the group."""
    slow = corpus.hook(tmp_path / "hook", SLOW)  # so that no run ends before its moment
    artifacts = tmp_path / "artifacts"
    with world.running(artifacts, 2, slow) as run:
        until_caught(run)
        time.sleep(moment)
        (os.killpg if whole else os.kill)(run.pid, number)
        began = time.monotonic()
        run.wait()
        took = time.monotonic() - began
        assert gone(run.pid, 2.0), alive(run.pid)
        output = end(run)
    assert run.returncode == 128 + number
    assert took <= 2.0
    assert "stopped. The same command" in output
    assert "Traceback" not in output
    assert "resource_tracker" not in output
    if whole and moment > 1:
        world.finish(artifacts)


def test_workers_never_see_ctrl_c(world: World, tmp_path: Path) -> None:
    """From their first instruction: a worker that is still importing would print a traceback."""
    slow = corpus.hook(tmp_path / "hook", SLOW)  # so that it does not end while it is looked at
    with world.running(tmp_path / "artifacts", env=slow) as run:
        until_working(run)
        for worker in workers(run.pid):
            status = Path(f"/proc/{worker.pid}/status").read_text()
            masks = [
                int(status.partition(name)[2].split()[0], 16) for name in ("SigBlk:", "SigIgn:")
            ]
            assert (masks[0] | masks[1]) >> (signal.SIGINT - 1) & 1
