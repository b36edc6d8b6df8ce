"""The classifier killed in training and taken up again learns the very same weights, bit for bit.

Its own script, net, changes of examples and loss, with a teacher, on shards of a tiny corpus. Reads
and writes only in pytest's own folders.
"""

from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from tests import classifying, killed
from tests.classifying import fresh
from tests.killed import Learnt, Trainer

OF = Trainer("classifier", classifying.script, fresh)
EPOCH = 9  # steps, with 8 examples each
PART = 9  # steps of a sweep's part


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifying.build(tmp_path_factory.mktemp("classifying"))


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    """What an uninterrupted run learns."""
    return OF.whole(fresh(shards, tmp_path_factory.mktemp("whole") / "a"), 3 * EPOCH)


def test_killed_amid_an_epoch(shards: Path, tmp_path: Path, whole: Learnt) -> None:
    assert OF.killed(fresh(shards, tmp_path / "a"), "step:14") == whole


@pytest.mark.slow
def test_what_is_tested_takes_part(shards: Path, tmp_path: Path, whole: Learnt) -> None:
    """The teacher and the changes of examples: without them something else is learnt."""
    each = ({"taught": False}, {"changed": False})
    killed.assert_each_learns_other_things(OF, shards, tmp_path, [whole], *each)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(1, 3 * EPOCH, PART))
def test_killed_at_every_step(shards: Path, tmp_path: Path, whole: Learnt, first: int) -> None:
    killed.assert_killed_at_each(OF, shards, tmp_path, whole, range(first, first + PART))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("profile", "backbone"), [("classic", "cnn"), ("demo", "mn-small"), ("best", "mn")]
)
def test_other_profiles_and_nets(shards: Path, tmp_path: Path, profile: str, backbone: str) -> None:
    """A plateau without an average, and a cosine with one."""
    options = {"profile": profile, "backbone": backbone, "taught": False}
    killed.assert_killed_learns_the_same(OF, shards, tmp_path, "step:13", "step:7", **options)


@pytest.mark.slow
def test_two_processes(shards: Path, tmp_path: Path) -> None:
    """Each with half of every batch."""
    killed.assert_two_processes_killed(OF, shards, tmp_path, 3 * EPOCH)
