"""The tagger killed in training and taken up again learns the very same weights, bit for bit.

Its own script, net, changes of patches and loss, on shards of a tiny corpus. Reads and writes only
in pytest's own folders.
"""

from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from tests import killed, tagging
from tests.here import fresh
from tests.killed import Trainer
from training.engine.checkpoint import Checkpoints, load, weights

OF = Trainer("tagger", tagging.script, fresh)
EPOCH = 10  # steps, with 8 patches each
PART = 10  # steps of a sweep's part


def last(root: Path) -> dict[str, bytes]:
    """The weights of the newest checkpoint, as they are used."""
    state = load(Checkpoints(OF.folder(root)).all()[-1])
    return {name: array.tobytes() for name, array in weights(state["learner"]).items()}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tagging.build(tmp_path_factory.mktemp("tagging"))


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifacts of a run that nobody interrupted."""
    root = fresh(shards, tmp_path_factory.mktemp("whole") / "a")
    OF.whole(root, 3 * EPOCH)
    return root


def test_killed_amid_an_epoch(shards: Path, tmp_path: Path, whole: Path) -> None:
    root = fresh(shards, tmp_path / "a")
    assert OF.killed(root, "step:14") == OF.told(whole)
    assert f"{OF.folder(root)}: going on from step 10\n" in Path(f"{root}.log").read_text()
    assert last(root) == last(whole)


@pytest.mark.slow
def test_what_is_tested_takes_part(shards: Path, tmp_path: Path, whole: Path) -> None:
    """The changes of patches, and where it starts: without them something else is learnt."""
    each = ({"changed": False}, {"init": str(OF.folder(whole))})
    killed.assert_each_learns_other_things(OF, shards, tmp_path, [OF.told(whole)], *each)


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 14])
def test_a_warm_start_killed_before_and_after_its_first_checkpoint(
    shards: Path, tmp_path: Path, whole: Path, step: int
) -> None:
    init = str(OF.folder(whole))
    killed.assert_killed_learns_the_same(OF, shards, tmp_path, f"step:{step}", init=init, epochs=2)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("first", range(1, 3 * EPOCH, PART))
def test_killed_at_every_step(shards: Path, tmp_path: Path, whole: Path, first: int) -> None:
    steps = range(first, first + PART)
    killed.assert_killed_at_each(OF, shards, tmp_path, OF.told(whole), steps)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("profile", "net"),
    [("classic", "musicnn-small"), ("best", "musicnn-small"), ("demo", "musicnn")],
)
def test_other_profiles_and_nets(shards: Path, tmp_path: Path, profile: str, net: str) -> None:
    """A plateau without an average, and a cosine with one."""
    options = {"profile": profile, "net": net}
    killed.assert_killed_learns_the_same(OF, shards, tmp_path, "step:13", "step:7", **options)


@pytest.mark.slow
def test_two_processes(shards: Path, tmp_path: Path) -> None:
    """Each with half of every batch."""
    killed.assert_two_processes_killed(OF, shards, tmp_path, 3 * EPOCH)
