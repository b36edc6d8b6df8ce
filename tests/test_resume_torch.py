"""Training killed and taken up again learns the very same weights, bit for bit.

Each run is a process of its own, forked from a server that has imported torch and run nothing.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("torch")

from tests import toy, trainings
from tests.trainings import KILLED, ended
from training.engine.checkpoint import Checkpoints, step_of
from training.run import read_state

STEPS = 60
SAMPLE = (1, 12, 13, 31, 60)  # before any save, around an epoch's edge, after a save, the last
INSIDE = ("write:60", "rename:6", "syncdir:7", "unlink:3", "append:9")


def start(root: Path, **options: Any) -> Any:
    return trainings.start(toy.toy, root, {}, **options)


def run(root: Path, **options: Any) -> int | None:
    return trainings.alone(toy.toy, root, **options)


def two(root: Path, *faults: str, **options: Any) -> list[int | None]:
    return trainings.together(toy.toy, root, *faults, **options)


def told(root: Path) -> tuple[str, list[Any]]:
    return trainings.told(root / "runs/toy/a")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What an uninterrupted run learns."""
    root = tmp_path_factory.mktemp("whole")
    assert run(root) == 0
    found = told(root)
    assert [row["step"] for row in found[1] if row["kind"] == "valid"] == [12, 24, 36, 48, 60]
    return found


def check(root: Path, fault: str, whole: Any, **again: Any) -> None:
    assert run(root, fault=fault) == KILLED, fault
    assert run(root, **again) == 0, fault
    assert told(root) == whole, fault
    assert read_state(root / "runs/toy/a")["state"] == "finished"
    shutil.rmtree(root)


def test_killed_at_a_step(tmp_path: Path, whole: Any) -> None:
    for step in SAMPLE:
        check(tmp_path / f"{step}", f"step:{step}", whole)


@pytest.mark.slow
def test_killed_at_every_step(tmp_path: Path, whole: Any) -> None:
    for step in range(1, STEPS + 1):
        check(tmp_path / f"{step}", f"step:{step}", whole, ahead=bool(step % 2))


def test_killed_inside_a_save(tmp_path: Path, whole: Any) -> None:
    for fault in INSIDE:
        check(tmp_path / fault, fault, whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "last"),
    [("open", 20), ("write", 90), ("fsync", 20), ("rename", 20), ("syncdir", 20), ("unlink", 13),
     ("append", 20)],
)  # fmt: skip
def test_killed_at_every_system_call_of_writing(
    tmp_path: Path, whole: Any, point: str, last: int
) -> None:
    for number in range(1, last + 1, 5 if point == "write" else 1):
        check(tmp_path / f"{point}{number}", f"{point}:{number}", whole)


def test_three_kills_in_a_row_with_other_loader_threads(tmp_path: Path, whole: Any) -> None:
    for fault, ahead in (("step:8", True), ("step:2", False), ("step:10", True)):
        assert run(tmp_path, fault=fault, ahead=ahead) == KILLED
    steps = [step_of(path) for path in Checkpoints(tmp_path / "runs/toy/a").all()]
    assert steps[-1] == 12  # 7 done, from 5 on 1 more, from 5 on 9 more
    assert run(tmp_path, ahead=True) == 0
    assert told(tmp_path) == whole


def test_other_intervals_of_saving_change_nothing(tmp_path: Path, whole: Any) -> None:
    assert run(tmp_path, save_steps=7, fault="step:30") == KILLED
    assert run(tmp_path, save_steps=0, save_seconds=0.001) == 0
    assert told(tmp_path) == whole


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "plateau", "epochs": 10, "rate": 0.3, "stop": 2},
        {"schedule": "cosine", "warmup": 8, "ema": 0.0},
        {"precision": "fp16"},
        {"precision": "bf16", "schedule": "constant"},
    ],
    ids=lambda changes: str(next(iter(changes.values()))),
)
def test_all_counters_cross_the_kill(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Of two scores that stop the run early, one comes before the kill and one after it."""
    changes = {"epochs": 3, **changes}
    assert run(tmp_path / "whole", **changes) == 0
    sure = told(tmp_path / "whole")
    last = sure[1][-1]["step"]
    if changes.get("stop"):  # the rate was cut long before the kill, and just before it
        rates = [row["rate"] for row in sure[1] if row["kind"] == "train"]
        assert changes["rate"] > rates[-4] > rates[-1]
        assert last < 120
    root = tmp_path / "killed"
    assert run(root, fault=f"step:{last - 4}", **changes) == KILLED
    assert run(root, **changes) == 0
    assert told(root) == sure


def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_it_is_used(
    tmp_path: Path, whole: Any
) -> None:
    assert run(tmp_path, fault="step:33") == KILLED
    newest = Checkpoints(tmp_path / "runs/toy/a").all()[-1]
    with newest.open("r+b") as file:
        file.seek(3000)
        byte = file.read(1)
        file.seek(3000)
        file.write(bytes([byte[0] ^ 1]))
    assert run(tmp_path) == 0
    log = Path(f"{tmp_path}.log").read_text()
    assert "step-000000030.ckpt: damaged checkpoint" in log
    assert "going on from step 25" in log
    assert told(tmp_path) == whole


def test_going_back_to_a_chosen_checkpoint(tmp_path: Path, whole: Any) -> None:
    assert run(tmp_path) == 0
    assert run(tmp_path, go_back=55) == 0
    assert "going on from step 55" in Path(f"{tmp_path}.log").read_text()
    assert told(tmp_path) == whole
    assert run(tmp_path, go_back=56) == 1


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_step_and_saves(
    tmp_path: Path, whole: Any, signum: signal.Signals
) -> None:
    # Three hundred epochs more than it can do before the signal comes.
    process = start(tmp_path, epochs=400, save_steps=0)
    metrics = tmp_path / "runs/toy/a/metrics.jsonl"
    wait(lambda: metrics.exists() and metrics.stat().st_size > 500)
    os.kill(process.pid, signum)
    assert ended(process) == 128 + signum
    folder = tmp_path / "runs/toy/a"
    assert "interrupted" in read_state(folder)["stopped"]
    done = step_of(Checkpoints(folder).all()[-1])
    assert run(tmp_path, epochs=400, save_steps=0, fault="step:1") == KILLED
    assert f"going on from step {done}" in Path(f"{tmp_path}.log").read_text()


def test_curves_are_the_metrics_after_any_kills(
    tmp_path: Path, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read by TensorBoard itself: no step twice, none lost with the process that had it."""
    place = "tensorboard.backend.event_processing.event_accumulator"
    reader = pytest.importorskip(place, reason="no TensorBoard")
    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", ModuleType("notf"))
    for fault in ("step:8", "step:9", "rename:2", "append:9", ""):
        assert run(tmp_path, fault=fault) == (KILLED if fault else 0)
    folder = tmp_path / "runs/toy/a/tensorboard"
    assert len(list(folder.iterdir())) == 1
    found = reader.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    wanted: dict[str, list[tuple[int, float]]] = {}
    for row in whole[1]:
        for name, value in row.items():
            if name not in ("kind", "step"):
                wanted.setdefault(f"{row['kind']}/{name}", []).append((row["step"], value))
    scalars = {tag: found.Scalars(tag) for tag in found.Tags()["scalars"]}
    assert {tag: [point.step for point in points] for tag, points in scalars.items()} == {
        tag: [step for step, _ in points] for tag, points in wanted.items()
    }
    for tag, points in scalars.items():
        values = [value for _, value in wanted[tag]]
        assert [point.value for point in points] == pytest.approx(values, rel=1e-6)
        times = [point.wall_time for point in points]
        assert times == sorted(times)


def test_a_signal_loses_no_step(tmp_path: Path, whole: Any) -> None:
    """At the end of an epoch too: the scoring that was not waited for comes first on resume."""
    assert run(tmp_path, stop_at=12) == 143
    checkpoints = Checkpoints(tmp_path / "runs/toy/a")
    assert [path.name for path in checkpoints.all()][-1] == "step-000000012.ckpt"
    assert run(tmp_path) == 0
    assert told(tmp_path) == whole


def wait(until: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What two processes learn without interruption: 6 steps an epoch."""
    root = tmp_path_factory.mktemp("pair")
    assert two(root) == [0, 0]
    return told(root)


def test_two_processes_killed_and_taken_up_again(tmp_path: Path, pair: Any, whole: Any) -> None:
    assert pair[1][-1]["step"] == 30
    assert pair != whole
    assert two(tmp_path, "step:18", "step:18") == [KILLED, KILLED]
    assert two(tmp_path) == [0, 0]
    assert told(tmp_path) == pair


def test_two_processes_stop_together_when_one_is_asked_to(tmp_path: Path, pair: Any) -> None:
    assert two(tmp_path, stop_at=8) == [143, 143]
    assert step_of(Checkpoints(tmp_path / "runs/toy/a").all()[-1]) == 8
    assert two(tmp_path) == [0, 0]
    assert told(tmp_path) == pair


def test_one_of_two_is_killed_and_the_other_does_not_wait_for_ever(
    tmp_path: Path, pair: Any
) -> None:
    for faults in (("step:9", ""), ("", "step:20")):
        codes = two(tmp_path, *faults)
        assert [code == KILLED for code in codes] == [bool(fault) for fault in faults]
        assert not {0, None} & set(codes)
    assert two(tmp_path) == [0, 0]
    assert told(tmp_path) == pair


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, STEPS, 15))
def test_two_processes_killed_at_every_step(tmp_path: Path, first: int) -> None:
    whole = tmp_path / "whole"
    assert two(whole, epochs=10) == [0, 0]
    assert told(whole)[1][-1]["step"] == STEPS
    for step in range(first, first + 15):
        root = tmp_path / f"{step}"
        assert two(root, f"step:{step}", f"step:{step}", epochs=10) == [KILLED, KILLED]
        assert two(root, epochs=10) == [0, 0]
        assert told(root) == told(whole)


def test_two_processes_stop_together_at_a_bad_example(tmp_path: Path) -> None:
    assert two(tmp_path, bad=5) == [4, 4]
    log = Path(f"{tmp_path}.log").read_text()
    assert "source: recording-5" in log
    assert "the loss of another process is not a number" in log
    assert log.count("recording-") == 1


def test_one_process_cannot_go_on_with_the_run_of_two(tmp_path: Path) -> None:
    assert two(tmp_path, "step:7", "step:7") == [KILLED, KILLED]
    assert run(tmp_path) == 2
    assert "expected setup.ranks = 2; got 1" in Path(f"{tmp_path}.log").read_text()


@pytest.mark.slow
def test_under_torchrun(tmp_path: Path, pair: Any) -> None:
    """The real launcher, in processes that share nothing with this one."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone",
               "-m", "tests.toy", str(tmp_path), "{}"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert told(tmp_path) == pair
