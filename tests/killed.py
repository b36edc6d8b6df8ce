"""A model's training that is killed and taken up again: what every model is held to.

Reads: the run folders and logs that trainings leave. Does: trains in processes of their own, with
or without a fault, and says whether the very same was learnt, bit for bit. Writes: runs of the name
`a`, where it is told.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import trainings
from tests.trainings import KERAS, KILLED, Kind, Script
from training.run import read_state

Learnt = tuple[str, list[Any]]


@dataclass(frozen=True)
class Trainer:
    """How a model is trained in tests: its script, and artifacts without a run, made of shards."""

    model: str
    script: Script
    fresh: Callable[[Path, Path], Path]
    kind: Kind = KERAS

    def folder(self, root: Path) -> Path:
        return root / "runs" / self.model / "a"

    def run(self, root: Path, **options: Any) -> int | None:
        """The exit code of a training."""
        return trainings.alone(self.script, root, kind=self.kind, **options)

    def both(self, root: Path, *faults: str, **options: Any) -> list[int | None]:
        """Those of two processes side by side."""
        return trainings.together(self.script, root, *faults, kind=self.kind, **options)

    def told(self, root: Path) -> Learnt:
        """What a finished run learnt."""
        assert read_state(self.folder(root))["state"] == "finished"
        return trainings.told(self.folder(root))

    def whole(self, root: Path, steps: int, **options: Any) -> Learnt:
        """What a run learns that nobody interrupts."""
        assert self.run(root, **options) == 0, Path(f"{root}.log").read_text()
        found = self.told(root)
        assert found[1][-1]["step"] == steps
        return found

    def killed(self, root: Path, *faults: str, **options: Any) -> Learnt:
        """What a run learns that is killed at each of these and taken up again."""
        for fault in faults:
            assert self.run(root, fault=fault, **options) == KILLED, fault
            assert read_state(self.folder(root))["state"] == "unfinished"
        assert self.run(root, **options) == 0, faults
        return self.told(root)


def assert_killed_at_each(
    of: Trainer, shards: Path, tmp_path: Path, whole: Learnt, steps: Iterable[int], **options: Any
) -> None:
    for step in steps:
        root = of.fresh(shards, tmp_path / f"{step}")
        assert of.killed(root, f"step:{step}", **options) == whole, step


def assert_killed_learns_the_same(
    of: Trainer, shards: Path, tmp_path: Path, *faults: str, **options: Any
) -> None:
    """As a run with the same options that nobody interrupts."""
    sure, root = (of.fresh(shards, tmp_path / name) for name in "ab")
    assert of.run(sure, **options) == 0
    assert of.killed(root, *faults, **options) == of.told(sure)


def assert_each_learns_other_things(
    of: Trainer, shards: Path, tmp_path: Path, known: Iterable[Learnt], *each: Mapping[str, Any]
) -> None:
    """What is switched off or on by these options takes part in what is learnt."""
    found = [weights for weights, _ in known]
    for number, options in enumerate(each):
        root = of.fresh(shards, tmp_path / f"{number}")
        assert of.run(root, **options) == 0
        found.append(of.told(root)[0])
    assert len(set(found)) == len(found)


def assert_two_processes_killed(of: Trainer, shards: Path, tmp_path: Path, steps: int) -> None:
    sure, root = (of.fresh(shards, tmp_path / name) for name in "ab")
    assert of.both(sure) == [0, 0]
    found = of.told(sure)
    assert found[1][-1]["step"] == steps
    assert KILLED in of.both(root, "step:14", "step:14")
    assert of.both(root) == [0, 0]
    assert of.told(root) == found
