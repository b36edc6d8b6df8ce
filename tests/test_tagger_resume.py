"""The tagger killed in training and taken up again learns the very same weights, bit for bit.

Its own script, net, changes of patches and loss, on shards of a tiny corpus. Reads and writes only
in pytest's own folders.
"""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow")

from tests import tagging, trainings
from tests.tagging import fresh
from tests.trainings import KERAS, KILLED
from training.engine.checkpoint import Checkpoints, load, weights
from training.run import read_state

EPOCH = 10  # steps, with 8 patches each
PART = 10  # steps of a sweep's part


def run(root: Path, **options: Any) -> int | None:
    return trainings.alone(tagging.script, root, kind=KERAS, **options)


def folder(root: Path) -> Path:
    return root / "runs/tagger/a"


def told(root: Path) -> tuple[str, list[Any]]:
    assert read_state(folder(root))["state"] == "finished"
    return trainings.told(folder(root))


def last(root: Path) -> dict[str, bytes]:
    """The weights of the newest checkpoint, as they are used."""
    state = load(Checkpoints(folder(root)).all()[-1])
    return {name: array.tobytes() for name, array in weights(state["learner"]).items()}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tagging.build(tmp_path_factory.mktemp("tagging"))


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifacts of a run that nobody interrupted."""
    root = fresh(shards, tmp_path_factory.mktemp("whole") / "a")
    assert run(root) == 0, Path(f"{root}.log").read_text()
    assert told(root)[1][-1]["step"] == 3 * EPOCH
    return root


def test_killed_amid_an_epoch(shards: Path, tmp_path: Path, whole: Path) -> None:
    root = fresh(shards, tmp_path / "a")
    assert run(root, fault="step:14") == KILLED
    assert read_state(folder(root))["state"] == "unfinished"
    assert run(root) == 0
    assert f"{folder(root)}: going on from step 10\n" in Path(f"{root}.log").read_text()
    assert last(root) == last(whole)
    assert told(root) == told(whole)


@pytest.mark.slow
def test_what_is_tested_takes_part(shards: Path, tmp_path: Path, whole: Path) -> None:
    """The changes of patches, and where it starts: without them something else is learnt."""
    found = [told(whole)[0]]
    for name, options in (("a", {"changed": False}), ("b", {"init": str(folder(whole))})):
        root = fresh(shards, tmp_path / name)
        assert run(root, **options) == 0
        found.append(told(root)[0])
    assert len(set(found)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 14])
def test_a_warm_start_killed_before_and_after_its_first_checkpoint(
    shards: Path, tmp_path: Path, whole: Path, step: int
) -> None:
    sure, root = (fresh(shards, tmp_path / name) for name in "ab")
    options: dict[str, Any] = {"init": str(folder(whole)), "epochs": 2}
    assert run(sure, **options) == 0
    assert run(root, fault=f"step:{step}", **options) == KILLED
    assert run(root, **options) == 0
    assert told(root) == told(sure)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("first", range(1, 3 * EPOCH, PART))
def test_killed_at_every_step(shards: Path, tmp_path: Path, whole: Path, first: int) -> None:
    for step in range(first, first + PART):
        root = fresh(shards, tmp_path / f"{step}")
        assert run(root, fault=f"step:{step}") == KILLED
        assert run(root) == 0
        assert told(root) == told(whole), step


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("profile", "net"),
    [("classic", "musicnn-small"), ("best", "musicnn-small"), ("demo", "musicnn")],
)
def test_other_profiles_and_nets(shards: Path, tmp_path: Path, profile: str, net: str) -> None:
    """A plateau without an average, and a cosine with one."""
    sure, root = (fresh(shards, tmp_path / name) for name in "ab")
    options: dict[str, Any] = {"profile": profile, "net": net}
    assert run(sure, **options) == 0
    for fault in ("step:13", "step:7"):
        assert run(root, fault=fault, **options) == KILLED
    assert run(root, **options) == 0
    assert told(root) == told(sure)


@pytest.mark.slow
def test_two_processes(shards: Path, tmp_path: Path) -> None:
    """Each with half of every batch."""
    sure, root = (fresh(shards, tmp_path / name) for name in "ab")
    assert trainings.together(tagging.script, sure, kind=KERAS) == [0, 0]
    found = told(sure)
    assert found[1][-1]["step"] == 3 * EPOCH
    two = (tagging.script, root)
    assert KILLED in trainings.together(*two, "step:14", "step:14", kind=KERAS)
    assert trainings.together(*two, kind=KERAS) == [0, 0]
    assert told(root) == found
