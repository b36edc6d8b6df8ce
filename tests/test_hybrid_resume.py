"""The hybrid killed in training and taken up again learns the very same weights, bit for bit.

Its own script, net, changes of sound, vectors and loss, on shards of a tiny corpus. Reads and
writes only in pytest's own folders.
"""

import functools
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow")

from tests import hybrids, trainings
from tests.hybrids import fresh
from tests.trainings import KERAS, KILLED
from training.run import read_state

EPOCH = 10  # steps, with 8 examples each
PART = 10  # steps of a sweep's part
# A variant, and the parts of a batch: a net of one branch is traced in half the time.
CASES = [("", 1), ("features", 2)]
SLOW = pytest.param("", 2, marks=pytest.mark.slow)


def run(root: Path, **options: Any) -> int | None:
    return trainings.alone(hybrids.script, root, kind=KERAS, **options)


def told(root: Path) -> tuple[str, list[Any]]:
    folder = root / "runs/hybrid/a"
    assert read_state(folder)["state"] == "finished"
    return trainings.told(folder)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hybrids.build(tmp_path_factory.mktemp("hybrids"))


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Variant, parts -> what an uninterrupted run learns."""

    @functools.cache
    def of(variant: str, parts: int) -> Any:
        root = fresh(shards, tmp_path_factory.mktemp("whole") / "a")
        assert run(root, variant=variant, parts=parts) == 0, Path(f"{root}.log").read_text()
        found = told(root)
        assert found[1][-1]["step"] == 2 * EPOCH
        return found

    return of


@pytest.mark.parametrize(("variant", "parts"), [*CASES, SLOW])
def test_killed_amid_an_epoch(
    shards: Path, tmp_path: Path, whole: Any, variant: str, parts: int
) -> None:
    root, options = fresh(shards, tmp_path / "a"), {"variant": variant, "parts": parts}
    assert run(root, fault="step:14", **options) == KILLED
    assert read_state(root / "runs/hybrid/a")["state"] == "unfinished"
    assert run(root, **options) == 0
    assert told(root) == whole(variant, parts)


@pytest.mark.slow
def test_what_is_tested_takes_part(shards: Path, tmp_path: Path, whole: Any) -> None:
    """The changes of sound, each branch, and that each part of a batch is drawn for by itself:
    otherwise something else is learnt."""
    found = [whole("", 1)[0], whole("", 2)[0]]
    for name, options in (("a", {"changed": False}), ("b", {"variant": "unmixed"}),
                          ("c", {"variant": "raw"}), ("d", {"variant": "features"})):  # fmt: skip
        root = fresh(shards, tmp_path / name)
        assert run(root, **options) == 0
        found.append(told(root)[0])
    assert len(set(found)) == 6


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(1, 2 * EPOCH, PART))
@pytest.mark.parametrize("parts", [1, 2])
def test_killed_at_every_step(
    shards: Path, tmp_path: Path, whole: Any, parts: int, first: int
) -> None:
    for step in range(first, first + PART):
        root = fresh(shards, tmp_path / f"{step}")
        assert run(root, parts=parts, fault=f"step:{step}") == KILLED
        assert run(root, parts=parts) == 0
        assert told(root) == whole("", parts), step


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("profile", "variant"),
    [("classic", ""), ("demo", "raw"), ("demo", "features"), ("best", "unmixed")],
)
def test_other_profiles_and_variants(
    shards: Path, tmp_path: Path, profile: str, variant: str
) -> None:
    """A plateau without an average, and a cosine with one; stored vectors, and none."""
    sure, root = (fresh(shards, tmp_path / name) for name in "ab")
    options = {"profile": profile, "variant": variant}
    assert run(sure, **options) == 0
    for fault in ("step:13", "step:4"):
        assert run(root, fault=fault, **options) == KILLED
    assert run(root, **options) == 0
    assert told(root) == told(sure)
