"""Keras training killed and taken up again learns the very same weights, bit for bit.

Each run is a process of its own, forked from a server that has imported TensorFlow and run nothing.
Reads and writes only in pytest's own folders.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow")

from tests import toy_keras, trainings
from tests.trainings import KERAS, KILLED, ended
from training.engine.checkpoint import Checkpoints, step_of
from training.run import read_state

STEPS = 60
SAMPLE = ("step:31", "step:60", "rename:6")  # amid an epoch, the last one, inside a save
PART = 15  # steps of a sweep's part


def run(root: Path, **options: Any) -> int | None:
    return trainings.alone(toy_keras.toy, root, kind=KERAS, **options)


def folder(root: Path) -> Path:
    return root / "runs/toy/a"


def told(root: Path) -> tuple[str, list[Any]]:
    return trainings.told(folder(root))


def log(root: Path) -> str:
    return Path(f"{root}.log").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What an uninterrupted run learns."""
    root = tmp_path_factory.mktemp("whole") / "a"
    assert run(root) == 0
    found = told(root)
    assert [row["step"] for row in found[1] if row["kind"] == "valid"] == [12, 24, 36, 48, 60]
    return found


def check(root: Path, fault: str, whole: Any) -> None:
    assert run(root, fault=fault) == KILLED, fault
    assert run(root) == 0, fault
    assert told(root) == whole, fault
    assert read_state(folder(root))["state"] == "finished"
    shutil.rmtree(root)


def test_killed(tmp_path: Path, whole: Any) -> None:
    for fault in SAMPLE:
        check(tmp_path / fault, fault, whole)


def test_three_kills_in_a_row(tmp_path: Path, whole: Any) -> None:
    """Before anything is saved; at the last step of an epoch and at the first of the next."""
    root = tmp_path / "a"
    for fault, done in (("step:4", []), ("step:12", [5, 10]), ("step:3", [10, 12])):
        assert run(root, fault=fault) == KILLED
        assert [step_of(path) for path in Checkpoints(folder(root)).all()] == done
    assert run(root) == 0
    assert told(root) == whole


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(1, STEPS, PART))
def test_killed_at_every_step(tmp_path: Path, whole: Any, first: int) -> None:
    for step in range(first, first + PART):
        check(tmp_path / f"{step}", f"step:{step}", whole)


@pytest.mark.slow
@pytest.mark.timeout(900)
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


@pytest.mark.slow
def test_other_intervals_of_saving_change_nothing(tmp_path: Path, whole: Any) -> None:
    root = tmp_path / "a"
    assert run(root, save_steps=7, fault="step:30") == KILLED
    assert run(root, save_steps=0, save_seconds=0.001) == 0
    assert told(root) == whole


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "plateau", "epochs": 10, "rate": 0.05, "ema": 0.0, "stop": 2},
        {"schedule": "cosine", "warmup": 8, "ema": 0.0},
        {"precision": "fp16"},
        {"precision": "bf16", "schedule": "constant"},
    ],
    ids=lambda changes: str(next(iter(changes.values()))),
)
def test_all_counters_cross_the_kill(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Of two scores that stop the run early, one comes before the kill and one after it."""
    changes = {"epochs": 3, **changes}
    sure, root = tmp_path / "a", tmp_path / "b"
    assert run(sure, **changes) == 0
    found = told(sure)
    last = found[1][-1]["step"]
    if changes.get("stop"):  # the rate was cut long before the kill, and just before it
        rates = [row["rate"] for row in found[1] if row["kind"] == "train"]
        assert changes["rate"] > rates[-4] > rates[-1]
        assert last < 120
    assert run(root, fault=f"step:{last - 4}", **changes) == KILLED
    assert run(root, **changes) == 0
    assert told(root) == found


def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_it_is_used(
    tmp_path: Path, whole: Any
) -> None:
    root = tmp_path / "a"
    assert run(root, fault="step:33") == KILLED
    newest = Checkpoints(folder(root)).all()[-1]
    data = bytearray(newest.read_bytes())
    data[3000] ^= 1
    newest.write_bytes(data)
    assert run(root) == 0
    assert "step-000000030.ckpt: damaged checkpoint" in log(root)
    assert "going on from step 25" in log(root)
    assert told(root) == whole


@pytest.mark.slow
def test_going_back_to_a_chosen_checkpoint(tmp_path: Path, whole: Any) -> None:
    root = tmp_path / "a"
    assert run(root) == 0
    assert run(root, go_back=55) == 0
    assert "going on from step 55" in log(root)
    assert told(root) == whole
    assert run(root, go_back=56) == 1


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_step_and_saves(tmp_path: Path, signum: signal.Signals) -> None:
    # Three hundred epochs more than it can do before the signal comes.
    root = tmp_path / "a"
    process = trainings.start(toy_keras.toy, root, {}, KERAS, epochs=400, save_steps=0)
    metrics = folder(root) / "metrics.jsonl"
    wait(lambda: metrics.exists() and metrics.stat().st_size > 500)
    os.kill(process.pid, signum)
    assert ended(process) == 128 + signum
    assert "interrupted" in read_state(folder(root))["stopped"]
    assert "Traceback" not in log(root)
    done = step_of(Checkpoints(folder(root)).all()[-1])
    assert run(root, epochs=400, save_steps=0, fault="step:1") == KILLED
    assert f"going on from step {done}" in log(root)


def wait(until: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_a_signal_loses_no_step(tmp_path: Path, whole: Any) -> None:
    """At the end of an epoch too: the scoring that was not waited for comes first on resume."""
    root = tmp_path / "a"
    assert run(root, stop_at=12) == 143
    assert Checkpoints(folder(root)).all()[-1].name == "step-000000012.ckpt"
    assert run(root) == 0
    assert told(root) == whole
