"""The denoiser killed in training and taken up again learns the very same weights, bit for bit.

Its own script, net and loss, on shards of a tiny corpus, mixed anew in every epoch. Reads and
writes only in pytest's own folders.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests import corpus, here, trainings
from tests.here import fresh
from tests.killed import Learnt, Trainer
from tests.trainings import KILLED, TORCH
from training.data.torch_data import Mixtures
from training.denoiser import train
from training.denoiser.profiles import chosen
from training.engine.torch_ranks import joined
from training.run import main

EPOCH = 14  # steps, with 4 examples each
PART = 14  # steps of a sweep's part


def script(
    root: str, *, fault: str = "", epochs: int = 2, workers: int = 1, batch: int = 4,
    profile: str = "demo", arch: str = "",
) -> int:  # fmt: skip
    """The run `a`, saved every 5 steps; returns the exit code."""
    os.environ["MELMILL_FAULT"] = fault
    os.cpu_count = lambda: 1  # threads: as quick for nets this small, whoever else is at work
    made = {"Mixtures": lambda *args, **more: Mixtures(*args, **{**more, "workers": workers})}
    vars(train).update(made)
    shipped = chosen(profile, arch=arch, epochs=epochs)
    settings = replace(shipped.settings, warmup=5, save_steps=5, save_seconds=0, log_steps=5)
    small = replace(shipped, batch=batch, settings=settings)

    def work() -> None:
        config = train.configuration(Path(root), ["tiny-mix"], small, init="")
        with joined() as ranks:
            train.train(Path(root), config, "a", ranks)

    return main(work)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shards")
    data = corpus.small_corpus(root / "data", 20)
    here.features(data, root / "artifacts", corpus.recipes(root, corpus.MIX))
    return root / "artifacts"


OF = Trainer("denoiser", script, fresh, TORCH)
run, told = OF.run, OF.told


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    """What an uninterrupted run learns."""
    return OF.whole(fresh(shards, tmp_path_factory.mktemp("whole") / "a"), 2 * EPOCH)


def test_kills_in_a_row_with_other_loader_threads(
    shards: Path, tmp_path: Path, whole: Learnt
) -> None:
    """Before anything was saved, at the end of an epoch, inside a save and amid an epoch."""
    root = fresh(shards, tmp_path / "a")
    for fault, workers in (("step:4", 1), ("step:14", 2), ("rename:4", 3), ("step:6", 1)):
        assert run(root, fault=fault, workers=workers) == KILLED
    assert run(root, workers=2) == 0
    assert told(root) == whole


def test_two_processes(shards: Path, tmp_path: Path, whole: Learnt) -> None:
    """Each with half of every batch."""
    sure, root = (fresh(shards, tmp_path / name) for name in "ab")
    assert trainings.together(script, sure, batch=2) == [0, 0]
    found = told(sure)
    assert found[1][-1]["step"] == 2 * EPOCH
    assert found != whole
    for fault in ("step:14", "step:7"):
        assert trainings.together(script, root, fault, fault, batch=2) == [KILLED, KILLED]
    assert trainings.together(script, root, batch=2, workers=2) == [0, 0]
    assert told(root) == found


@pytest.mark.slow
def test_make_resume_starts_as_many_processes_as_there_were(shards: Path, tmp_path: Path) -> None:
    sure, root = (fresh(shards, tmp_path / name) for name in "ab")
    assert trainings.together(script, sure, batch=2) == [0, 0]
    assert trainings.together(script, root, "step:9", "step:9", batch=2) == [KILLED, KILLED]
    done = subprocess.run(
        [sys.executable, "-m", "training.resume"], capture_output=True, text=True, check=False,
        env=corpus.environment({"ARTIFACTS": str(root)}), cwd=corpus.REPO,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("going on with") == done.stderr.count("going on from step 5") == 1
    assert told(root) == told(sure)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(1, 5 * EPOCH, PART))
def test_killed_at_every_step(shards: Path, tmp_path: Path, first: int) -> None:
    sure = fresh(shards, tmp_path / "sure")
    assert run(sure, epochs=5) == 0
    whole = told(sure)
    assert whole[1][-1]["step"] == 5 * EPOCH
    for step in range(first, first + PART):
        root = fresh(shards, tmp_path / f"{step}")
        assert run(root, epochs=5, fault=f"step:{step}") == KILLED
        assert run(root, epochs=5, workers=1 + step % 3) == 0
        assert told(root) == whole, step


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["classic", "best"])
def test_the_waveform_net(shards: Path, tmp_path: Path, profile: str) -> None:
    """Stored mixtures and a plateau; mixtures made anew and a cosine."""
    sure, root = (fresh(shards, tmp_path / name) for name in "ab")
    options = {"profile": profile, "arch": "unet-small"}
    assert run(sure, **options) == 0
    for fault in ("step:14", "step:9"):
        assert run(root, fault=fault, **options) == KILLED
    assert run(root, workers=2, **options) == 0
    assert told(root) == told(sure)
