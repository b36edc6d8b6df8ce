"""Checkpoints: every state comes back exactly, no damaged byte passes, the right ones are kept."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.engine.checkpoint import Checkpoints, load, pack, step_of, unpack, used, weights
from training.errors import Damaged, RunError

STATE = {
    "step": 3,
    "model": {"w": np.arange(6.0).reshape(2, 3).T, "half": np.ones(3, np.float16)},
    "optimizer": {"state": {0: {"step": np.array(2.0, np.float32)}}, "betas": [(0.9, 0.999)]},
    "flags": np.array([True, False]),
    "seeds": np.array([2**32 - 1, 7], np.uint32),
    "empty": np.empty((0, 4), np.float32),
    "odd": [None, True, 1e-320, math.inf, -0.0, 2**70, "\u00e9\n"],
}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and repr(a) == repr(b)


def packed(state: Any) -> bytes:
    return b"".join(pack(state))


def test_every_kind_of_value_comes_back() -> None:
    assert same(unpack(packed(STATE)), STATE)
    assert packed(unpack(packed(STATE))) == packed(STATE)


def test_no_damage_passes() -> None:
    data = packed({"w": np.arange(3.0), "step": 1})
    for at in range(len(data)):
        with pytest.raises(Damaged):
            unpack(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with pytest.raises(Damaged):
            unpack(data[:at])
    with pytest.raises(Damaged):
        unpack(data + b"\0")


def test_what_cannot_be_held_is_refused() -> None:
    for value in (object(), np.ones(1, np.complex64), np.array(["a"]), {"a": {1, 2}}):
        with pytest.raises(TypeError, match="cannot hold"):
            packed(value)


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name.removesuffix(".ckpt") for path in checkpoints.folder.iterdir())


def test_the_two_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step, best in ((1, False), (2, True), (3, False), (4, False), (5, False)):
        checkpoints.save(step, {"step": step}, best=best)
    assert names(checkpoints) == ["step-000000002-best", "step-000000004", "step-000000005"]
    assert checkpoints.best().name == "step-000000002-best.ckpt"
    checkpoints.save(6, {"step": 6}, best=True)
    # 2 was the best when 5 was made: needed again should 6 be damaged.
    kept = ["step-000000002-best", "step-000000005", "step-000000006-best"]
    assert names(checkpoints) == kept
    checkpoints.save(7, {"step": 7}, best=False)
    assert names(checkpoints) == ["step-000000006-best", "step-000000007"]


def test_one_that_is_scored_later_takes_the_place_of_the_same_step(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"scored": False}, best=False)
    checkpoints.save(1, {"scored": True}, best=True)
    assert names(checkpoints) == ["step-000000001-best"]
    (tmp_path / "checkpoints/step-000000001.ckpt").write_bytes(packed({"scored": False}))
    found = checkpoints.newest()  # killed before the other name was removed
    assert found
    assert found[1] == {"scored": True}


def test_a_damaged_newest_falls_back_loudly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.newest() is None
    for step in (1, 2):
        checkpoints.save(step, {"step": step}, best=False)
    checkpoints.all()[-1].write_bytes(b"melmill1")
    found = checkpoints.newest()
    assert found
    assert found[1] == {"step": 1}
    assert "WARNING" in (said := capsys.readouterr().err)
    assert "step-000000002.ckpt: not a checkpoint, or cut short" in said
    assert names(checkpoints) == ["step-000000001", "step-000000002.ckpt.aside"]
    checkpoints.save(2, {"step": 2}, best=False)
    assert names(checkpoints) == ["step-000000001", "step-000000002"]


def test_without_a_whole_one_the_run_does_not_begin_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs" / "toy" / "a").mkdir(parents=True)
    checkpoints = Checkpoints(tmp_path / "runs" / "toy" / "a")
    checkpoints.save(1, {}, best=True).write_bytes(b"")
    folder = tmp_path / "runs" / "toy" / "a"
    name = "step-000000001-best.ckpt.aside"
    lost = (
        f"{folder}/checkpoints: no checkpoint of this run is whole; got {name}. Remove {folder} "
        "and give the command that began it (make train-toy ...) again, or name a new run with RUN="
    )
    for asked in (checkpoints.newest, checkpoints.newest, lambda: used(folder)):  # nor later
        with pytest.raises(RunError) as error:
            asked()
        assert str(error.value) == lost
    said = capsys.readouterr().err
    assert said.count("WARNING") == 1
    assert said.endswith(f"cut short; it is kept as {name}\n")  # there is none before it


def test_what_cannot_be_used_says_what_can_be_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs" / "toy" / "a"
    folder.mkdir(parents=True)
    held = Checkpoints(folder)
    with pytest.raises(
        RunError, match="no checkpoint was scored yet. Go on with make resume RUN=a"
    ):
        used(folder)
    for step in (1, 2):
        held.save(step, {"step": step}, best=True)
    assert used(folder) == (held.best(), {"step": 2})
    best = held.best()
    best.write_bytes(b"melmill1")
    wrong = f"{folder}: has no weights to use ({best}: not a checkpoint, or cut short). "
    with pytest.raises(RunError) as error:
        used(folder)
    back = "Train from the one before it: make resume RUN=a CHECKPOINT=1"
    assert str(error.value) == wrong + back
    with pytest.raises(RunError) as error:
        used(folder, "do that")
    assert str(error.value) == wrong + "Do that"
    held.go_back(1)
    said = [line for line in capsys.readouterr().err.splitlines() if "set aside as" in line]
    assert said == [f"{best}: set aside as {best.name}.aside"]
    assert used(folder)[1] == {"step": 1}
    held.best().write_bytes(b"")
    with pytest.raises(RunError, match=f"Remove {folder} and give the command that began it"):
        used(folder)


def test_going_back(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        checkpoints.save(step, {"step": step}, best=step == 1)
    with pytest.raises(RunError, match="expected one of 1, 2, 3; got 4"):
        checkpoints.go_back(4)
    checkpoints.go_back(2)
    assert [step_of(path) for path in checkpoints.all()] == [1, 2]


def test_the_average_is_what_is_used() -> None:
    assert weights({"ema": None, "model": {"w": 1}}) == {"w": 1}
    assert weights({"ema": {"w": 2}, "model": {"w": 1}}) == {"w": 2}


def test_names_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such checkpoint"):
        load(tmp_path / "step-000000001.ckpt")
    with pytest.raises(RunError, match="not named like a checkpoint"):
        step_of(tmp_path / "model.pt")
    with pytest.raises(RunError, match="no checkpoint was scored yet"):
        Checkpoints(tmp_path).best()
