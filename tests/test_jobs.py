"""Workers: every task done once over, whoever dies on the way; bounded by cores and memory.

Reads and writes in pytest's own folder. Starts worker processes.
"""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from pipeline import jobs
from pipeline.errors import Rejected


@pytest.fixture(autouse=True, scope="module")
def _no_workers_left() -> Iterator[None]:
    yield
    jobs.kill_workers()


def square(n: int) -> tuple[int, int]:
    return n * n, os.getpid()


def die_once(task: tuple[str, int]) -> int:
    """Kill this process, unless the folder tells that somebody did before."""
    folder, n = task
    if n == 3:
        try:
            (Path(folder) / "died").touch(exist_ok=False)
        except FileExistsError:
            return n
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def die_in_workers(n: int) -> int:
    if n == 1 and jobs.in_worker():
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * n


def refuse(n: int) -> int:
    if n == 2:
        raise Rejected("truncated", "here")
    return n


def alone(folder: str) -> bool:
    """Whether no other task runs while this one does."""
    path = Path(folder) / "running"
    path.touch(exist_ok=False)
    sum(range(200000))
    path.unlink()
    return True


def seen(_: int) -> dict[str, Any]:
    try:
        np.ones(jobs.CAP // 8 + 1)
        greedy = "got it"
    except MemoryError:
        greedy = "refused"
    return {
        "worker": jobs.in_worker(),
        "interrupt": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
        "data": resource.getrlimit(resource.RLIMIT_DATA)[0],
        "stderr": os.readlink("/proc/self/fd/2") if sys.platform == "linux" else os.devnull,
        "greedy": greedy,
    }


def test_every_task_once_with_its_own_index() -> None:
    found = dict(jobs.run(square, list(range(30)), 2))
    assert {i: n for i, (n, _) in found.items()} == {i: i * i for i in range(30)}
    pids = {pid for _, pid in found.values()}
    assert os.getpid() not in pids
    assert len(pids) <= 2
    assert not jobs.in_worker()


def test_no_task_starts_nothing() -> None:
    assert list(jobs.run(square, [], 4)) == []


def test_one_worker_does_one_task_at_a_time_outside_this_process(tmp_path: Path) -> None:
    assert dict(jobs.run(alone, [str(tmp_path)] * 8, 1)) == dict.fromkeys(range(8), True)
    (pid,) = {pid for _, (_, pid) in jobs.run(square, list(range(20)), 1)}
    assert pid != os.getpid()


@pytest.mark.parametrize("count", [1, 2])
def test_a_worker_that_died_between_two_stages_is_replaced(count: int) -> None:
    for pid in {pid for _, (_, pid) in jobs.run(square, list(range(8)), count)}:
        os.kill(pid, signal.SIGKILL)
    again = dict(jobs.run(square, list(range(8)), count))
    assert [again[i][0] for i in range(8)] == [i * i for i in range(8)]
    assert os.getpid() not in {pid for _, pid in again.values()}


@pytest.mark.parametrize("count", [1, 2])
def test_a_worker_that_dies_costs_nobody_a_result(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], count: int
) -> None:
    recovered: list[int] = []
    tasks = [(str(tmp_path), n) for n in range(12)]
    found = dict(jobs.run(die_once, tasks, count, lambda: recovered.append(1)))
    assert found == {n: n for n in range(12)}
    assert recovered == [1]
    assert "a worker process died" in capfd.readouterr().err


def test_after_enough_dead_pools_the_rest_is_done_here(capfd: pytest.CaptureFixture[str]) -> None:
    recovered: list[int] = []
    found = dict(jobs.run(die_in_workers, list(range(5)), 2, lambda: recovered.append(1)))
    assert found == {n: 10 * n for n in range(5)}
    assert len(recovered) == jobs.LIVES
    assert "one at a time in this process" in capfd.readouterr().err


def test_who_finds_the_culprit_may_stop_the_work() -> None:
    class Found(Exception):
        pass

    def recover() -> None:
        raise Found

    with pytest.raises(Found):
        dict(jobs.run(die_in_workers, list(range(5)), 2, recover))
    assert dict(jobs.run(square, [3], 2))[0][0] == 9  # and a new pool stands ready


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_in_a_task_comes_back_as_it_was(count: int) -> None:
    with pytest.raises(Rejected, match="truncated: here") as caught:
        dict(jobs.run(refuse, list(range(6)), count))
    assert (caught.value.code, caught.value.detail) == ("truncated", "here")


@pytest.mark.skipif(sys.platform != "linux", reason="limits are the kernel's")
def test_a_worker_is_bounded_and_quiet() -> None:
    ((_, found),) = jobs.run(seen, [0], 2)
    assert found == {
        "worker": True, "interrupt": True, "data": jobs.CAP, "stderr": "/dev/null",
        "greedy": "refused",
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 2])
def test_where_no_process_can_be_started_the_work_is_done_here(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], count: int
) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        def call(_: Any) -> Any:
            raise OSError("no semaphores here")

        return call

    def none(*_: Any, **__: Any) -> Any:
        raise OSError("no semaphores here")

    monkeypatch.setattr(jobs.joblib, "Parallel", refused)
    monkeypatch.setattr(jobs, "ProcessPoolExecutor", none)
    monkeypatch.setattr(jobs, "_singles", {})
    found = dict(jobs.run(square, [1, 2], count))
    assert found == {0: (1, os.getpid()), 1: (4, os.getpid())}
    assert "no semaphores here" in capfd.readouterr().err


def test_another_joblib_backend_runs_the_same_tasks() -> None:
    with joblib.parallel_config(backend="threading"):
        found = dict(jobs.run(square, [1, 2, 3], 2))
    assert found == {i: (n * n, os.getpid()) for i, n in enumerate([1, 2, 3])}
    assert not jobs.in_worker()


# ------------------------------------------------------------------ how many


def test_as_many_as_asked_within_the_memory() -> None:
    assert jobs.workers(5, None) == 5
    assert jobs.workers(None, None) == jobs.cores()
    assert jobs.workers(5, 2 * jobs.WORKER) == 2
    assert jobs.workers(5, 100 * jobs.WORKER) == 5
    assert jobs.workers(5, 3 * jobs.WORKER - 1) == 2
    assert jobs.workers(5, 1) == 1  # less than one needs: one, and no refusal


def test_cores_are_those_this_process_may_use() -> None:
    assert 1 <= jobs.cores() <= (os.cpu_count() or 1)
    if sys.platform == "linux":
        code = "import os; os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})\n"
        code += "from pipeline import jobs; print(jobs.cores())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout == "1\n", done.stderr
