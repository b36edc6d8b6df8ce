"""The classifier killed in training and taken up again learns the very same weights, bit for bit.

Its own script, net, changes of examples and loss, with a teacher, on shards of a tiny corpus. Reads
and writes only in pytest's own folders.
"""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow")

from tests import classifying, trainings
from tests.classifying import fresh
from tests.trainings import KERAS, KILLED
from training.run import read_state

EPOCH = 9  # steps, with 8 examples each
PART = 9  # steps of a sweep's part


def run(root: Path, **options: Any) -> int | None:
    return trainings.alone(classifying.script, root, kind=KERAS, **options)


def told(root: Path) -> tuple[str, list[Any]]:
    folder = root / "runs/classifier/a"
    assert read_state(folder)["state"] == "finished"
    return trainings.told(folder)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifying.build(tmp_path_factory.mktemp("classifying"))


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What an uninterrupted run learns."""
    root = fresh(shards, tmp_path_factory.mktemp("whole") / "a")
    assert run(root) == 0, Path(f"{root}.log").read_text()
    found = told(root)
    assert found[1][-1]["step"] == 3 * EPOCH
    return found


def test_killed_amid_an_epoch(shards: Path, tmp_path: Path, whole: Any) -> None:
    root = fresh(shards, tmp_path / "a")
    assert run(root, fault="step:14") == KILLED
    assert run(root) == 0
    assert told(root) == whole


@pytest.mark.slow
def test_what_is_tested_takes_part(shards: Path, tmp_path: Path, whole: Any) -> None:
    """The teacher and the changes of examples: without them something else is learnt."""
    found = [whole[0]]
    for name, options in (("a", {"taught": False}), ("b", {"changed": False})):
        root = fresh(shards, tmp_path / name)
        assert run(root, **options) == 0
        found.append(told(root)[0])
    assert len(set(found)) == 3


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(1, 3 * EPOCH, PART))
def test_killed_at_every_step(shards: Path, tmp_path: Path, whole: Any, first: int) -> None:
    for step in range(first, first + PART):
        root = fresh(shards, tmp_path / f"{step}")
        assert run(root, fault=f"step:{step}") == KILLED
        assert run(root) == 0
        assert told(root) == whole, step


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("profile", "backbone"), [("classic", "cnn"), ("demo", "mn-small"), ("best", "mn")]
)
def test_other_profiles_and_nets(shards: Path, tmp_path: Path, profile: str, backbone: str) -> None:
    """A plateau without an average, and a cosine with one."""
    sure, root = (fresh(shards, tmp_path / name) for name in "ab")
    options = {"profile": profile, "backbone": backbone, "taught": False}
    assert run(sure, **options) == 0
    for fault in ("step:13", "step:7"):
        assert run(root, fault=fault, **options) == KILLED
    assert run(root, **options) == 0
    assert told(root) == told(sure)


@pytest.mark.slow
def test_two_processes(shards: Path, tmp_path: Path) -> None:
    """Each with half of every batch."""
    sure, root = (fresh(shards, tmp_path / name) for name in "ab")
    assert trainings.together(classifying.script, sure, kind=KERAS) == [0, 0]
    found = told(sure)
    assert found[1][-1]["step"] == 3 * EPOCH
    two = (classifying.script, root)
    assert KILLED in trainings.together(*two, "step:14", "step:14", kind=KERAS)
    assert trainings.together(*two, kind=KERAS) == [0, 0]
    assert told(root) == found
