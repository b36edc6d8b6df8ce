"""The hybrid killed in training and taken up again learns the very same weights, bit for bit.

Its own script, net, changes of sound, vectors and loss, on shards of a tiny corpus. Reads and
writes only in pytest's own folders.
"""

import functools
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow")

from tests import hybrids, killed
from tests.here import fresh
from tests.killed import Learnt, Trainer

OF = Trainer("hybrid", hybrids.script, fresh)
EPOCH = 10  # steps, with 8 examples each
PART = 10  # steps of a sweep's part
# A variant, and the parts of a batch: a net of one branch is traced in half the time.
CASES = [("", 1), ("features", 2)]
SLOW = pytest.param("", 2, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hybrids.build(tmp_path_factory.mktemp("hybrids"))


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Variant, parts -> what an uninterrupted run learns."""

    @functools.cache
    def of(variant: str, parts: int) -> Learnt:
        root = fresh(shards, tmp_path_factory.mktemp("whole") / "a")
        return OF.whole(root, 2 * EPOCH, variant=variant, parts=parts)

    return of


@pytest.mark.parametrize(("variant", "parts"), [*CASES, SLOW])
def test_killed_amid_an_epoch(
    shards: Path, tmp_path: Path, whole: Any, variant: str, parts: int
) -> None:
    root, options = fresh(shards, tmp_path / "a"), {"variant": variant, "parts": parts}
    assert OF.killed(root, "step:14", **options) == whole(variant, parts)


@pytest.mark.slow
def test_what_is_tested_takes_part(shards: Path, tmp_path: Path, whole: Any) -> None:
    """The changes of sound, each branch, and that each part of a batch is drawn for by itself:
    otherwise something else is learnt."""
    known = [whole("", 1), whole("", 2)]
    each = [{"changed": False}, *({"variant": one} for one in ("unmixed", "raw", "features"))]
    killed.assert_each_learns_other_things(OF, shards, tmp_path, known, *each)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(1, 2 * EPOCH, PART))
@pytest.mark.parametrize("parts", [1, 2])
def test_killed_at_every_step(
    shards: Path, tmp_path: Path, whole: Any, parts: int, first: int
) -> None:
    steps = range(first, first + PART)
    killed.assert_killed_at_each(OF, shards, tmp_path, whole("", parts), steps, parts=parts)


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
    options = {"profile": profile, "variant": variant}
    killed.assert_killed_learns_the_same(OF, shards, tmp_path, "step:13", "step:4", **options)
