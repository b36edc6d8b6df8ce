"""The diarizer killed in training and taken up again learns the very same weights, bit for bit.

Its own script, net and loss, on shards of small conversations, changed anew in every step. Reads
and writes only in pytest's own folders.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests import corpus, killed, trainings
from tests.diarizing import REAL, STEPS, TALKS, TINY
from tests.here import fresh
from tests.killed import Learnt, Trainer
from tests.trainings import KILLED, TORCH
from training.diarizer import train
from training.engine.torch_ranks import joined
from training.run import main

EPOCHS = 4
PART = 12  # steps of a sweep's part


def script(
    root: str, *, fault: str = "", epochs: int = EPOCHS, batch: int = 4, head: str = "powerset",
    augment: bool = True, ema: float = 0.5, recipes: str = TALKS, voice: float = 1.0,
    run: str = "a", teacher: str = "", seed: int = 0,
) -> int:  # fmt: skip
    """The run, saved every 2 steps; returns the exit code."""
    os.environ["MELMILL_FAULT"] = fault
    os.cpu_count = lambda: 1  # threads: as quick for nets this small, whoever else is at work
    settings = replace(TINY.settings, epochs=epochs, ema=ema, save_steps=2, save_seconds=0,
                       log_steps=2, seed=seed)  # fmt: skip
    small = replace(TINY, batch=batch, head=head, voice=voice, settings=settings,
                    augment={} if augment else None)  # fmt: skip

    def work() -> None:
        config = train.configuration(Path(root), recipes.split(), small, teacher=teacher)
        with joined() as ranks:
            train.train(Path(root), config, run, ranks)

    return main(work)


OF = Trainer("diarizer", script, fresh, TORCH)


@pytest.fixture(scope="module")
def whole(diarizer_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    """What an uninterrupted run learns."""
    root = fresh(diarizer_shards, tmp_path_factory.mktemp("whole") / "a")
    return OF.whole(root, EPOCHS * STEPS)


def test_kills_in_a_row(diarizer_shards: Path, tmp_path: Path, whole: Learnt) -> None:
    """Before anything was saved, at the end of an epoch, inside a save and amid an epoch."""
    root = fresh(diarizer_shards, tmp_path / "a")
    assert OF.killed(root, "step:2", "step:4", "rename:4", "append:2", "step:3") == whole


def test_a_teacher_is_asked_the_same_again(diarizer_shards: Path, tmp_path: Path) -> None:
    sure, root = (fresh(diarizer_shards, tmp_path / name) for name in "ab")
    assert OF.run(sure, run="teacher", epochs=1, seed=1) == 0
    shutil.copytree(sure / "runs", root / "runs")
    found = OF.killed(root, "step:3", "rename:6", epochs=2, teacher="teacher")
    assert OF.run(sure, epochs=2, teacher="teacher") == 0
    assert OF.told(sure) == found


def test_two_processes(diarizer_shards: Path, tmp_path: Path, whole: Learnt) -> None:
    """Each with half of every batch; not all batches name voices."""
    sure, root = (fresh(diarizer_shards, tmp_path / name) for name in "ab")
    options = {"batch": 2, "epochs": 2, "recipes": f"{TALKS} {REAL}"}
    assert OF.both(sure, **options) == [0, 0], Path(f"{sure}.log").read_text()
    found = OF.told(sure)
    assert found[1][-1]["step"] == 2 * (STEPS + 1)
    assert KILLED in OF.both(root, "step:6", "step:6", **options)
    assert OF.both(root, **options) == [0, 0]
    assert OF.told(root) == found


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"head": "pit-bce"}, {"voice": 0.0}])
def test_two_processes_of_every_kind(
    diarizer_shards: Path, tmp_path: Path, options: dict[str, object]
) -> None:
    sure, root = (fresh(diarizer_shards, tmp_path / name) for name in "ab")
    assert OF.both(sure, batch=2, **options) == [0, 0], Path(f"{sure}.log").read_text()
    for fault in ("step:7", "step:4"):
        assert KILLED in OF.both(root, fault, fault, batch=2, **options)
    assert OF.both(root, batch=2, **options) == [0, 0]
    assert OF.told(root) == OF.told(sure)


@pytest.mark.slow
def test_make_resume_starts_as_many_processes_as_there_were(
    diarizer_shards: Path, tmp_path: Path
) -> None:
    sure, root = (fresh(diarizer_shards, tmp_path / name) for name in "ab")
    assert OF.both(sure, batch=2) == [0, 0]
    assert KILLED in OF.both(root, "step:9", "step:9", batch=2)
    done = subprocess.run(
        [sys.executable, "-m", "training.resume"], capture_output=True, text=True, check=False,
        env=corpus.environment({"ARTIFACTS": str(root)}), cwd=corpus.REPO,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("going on with") == 1
    assert OF.told(root) == OF.told(sure)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("options", [{}, {"head": "pit-bce", "ema": 0.0}, {"augment": False}])
def test_killed_at_every_step(
    diarizer_shards: Path, tmp_path: Path, options: dict[str, object]
) -> None:
    root = fresh(diarizer_shards, tmp_path / "sure")
    found = OF.whole(root, EPOCHS * STEPS, **options)
    steps = range(1, EPOCHS * STEPS + 1)
    killed.assert_killed_at_each(OF, diarizer_shards, tmp_path, found, steps, **options)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["open", "write", "fsync", "rename", "syncdir", "append"])
def test_killed_at_every_write(
    diarizer_shards: Path, tmp_path: Path, whole: Learnt, kind: str
) -> None:
    for number in range(1, 20, 2):
        root = fresh(diarizer_shards, tmp_path / f"{number}")
        code = OF.run(root, fault=f"{kind}:{number}")
        assert code in (0, KILLED)
        assert OF.run(root) == 0
        assert OF.told(root) == whole, number


@pytest.mark.slow
def test_everything_that_can_be_asked_counts(
    diarizer_shards: Path, tmp_path: Path, whole: Learnt
) -> None:
    killed.assert_each_learns_other_things(
        OF, diarizer_shards, tmp_path, [whole], {"head": "pit-bce"}, {"augment": False},
        {"voice": 0.0}, {"ema": 0.0}, {"recipes": f"{TALKS} {REAL}"}, {"seed": 1},
    )  # fmt: skip


def test_the_same_twice(diarizer_shards: Path, tmp_path: Path, whole: Learnt) -> None:
    root = fresh(diarizer_shards, tmp_path / "a")
    assert trainings.alone(script, root) == 0
    assert OF.told(root) == whole
