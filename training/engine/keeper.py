"""What of a training run outlives the process: its checkpoints, its metrics, its curves.

Reads and writes the run's folder, on the first process only; the others are sent what they need.
Does: saves the whole state, takes it up again, drops what came after it. Knows no framework: a
learner and the processes' ranks are all it asks for.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from training.engine.checkpoint import Checkpoints, pack, unpack
from training.engine.curves import Curves
from training.engine.settings import Settings
from training.errors import Changed, Diverged, RunError
from training.run import Run, say


class Ranks(Protocol):
    """The processes of a run and our place among them."""

    @property
    def world(self) -> int: ...

    @property
    def first(self) -> bool: ...

    def told(self, values: Sequence[float]) -> list[float]:
        """The first one's values."""

    def sent(self, data: bytes) -> bytes:
        """The first one's bytes."""


class Learner(Protocol):
    """What is kept of a model while it learns."""

    @property
    def settings(self) -> Settings: ...

    @property
    def ranks(self) -> Ranks: ...

    def finite(self) -> bool:
        """Whether all weights are numbers."""

    def state(self) -> dict[str, Any]:
        """Everything a step depends on, besides its batch and number, in arrays."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state."""


@dataclass
class State:
    """Where a run is. With the learner's state and the batches' order it determines the rest."""

    steps: int  # in an epoch
    total: int  # that the run is to have
    step: int = 0  # taken
    samples: int = 0  # examples learnt from, on all processes
    seconds: float = 0.0  # used, over all resumes
    rows: int = 0  # lines of metrics.jsonl
    sums: dict[str, list[float]] = field(default_factory=dict)  # since the last line: sum, count
    history: list[dict[str, float]] = field(default_factory=list)  # what scoring found

    @property
    def scores(self) -> list[float]:
        """Higher is better."""
        return [row["score"] for row in self.history]


class Keeper:
    """`state = keeper.resume(...)`, then `log` and `save`."""

    def __init__(self, run: Run | None, learner: Learner, state: State) -> None:
        self.run, self.learner, self.state = run, learner, state
        self.begin = run.began if run else time.monotonic()
        self.saved = time.monotonic()
        self.saving = self.last = 0.0  # seconds in all saves of this process, in the last one
        self.before = 0.0  # seconds used by earlier processes
        self.curves = Curves(run)

    def seconds(self) -> float:
        """Used by the run so far."""
        return self.before + time.monotonic() - self.begin

    def due(self) -> bool:
        """Whether it is time to save."""
        every = self.learner.settings
        by_step = every.save_steps and (self.state.step + 1) % every.save_steps == 0
        by_time = every.save_seconds and time.monotonic() - self.saved >= every.save_seconds
        return self.run is not None and bool(by_step or by_time)

    def save(self, *, best: bool = False) -> None:
        """Everything, in one file; refused when the weights are no numbers."""
        began = time.monotonic()
        if not self.learner.finite():
            where = self.run.folder if self.run else ""
            raise Diverged(
                f"weights that are not numbers after step {self.state.step}; nothing is saved",
                where,
                do="lower the rate or clip the gradient",
            )
        if self.run:
            self.state.seconds = self.seconds()
            tree = {"run": self.run.key, **asdict(self.state), "learner": self.learner.state()}
            Checkpoints(self.run.folder).save(self.state.step, tree, best=best)
        self.saved = time.monotonic()
        self.last = self.saved - began
        self.saving += self.last

    def resume(self) -> bool:
        """Take up the newest whole checkpoint, on all processes; False when there is none."""
        ranks = self.learner.ranks
        tree = self._found() if self.run else None
        if ranks.world > 1:
            data = ranks.sent(b"".join(pack(tree)) if tree else b"")
            tree = unpack(data) if data else None
        if tree:
            self.learner.restore(tree.pop("learner"))
            tree.pop("run")
            vars(self.state).update(tree)
        if self.run:
            used = self.run.rewind(self.state.rows)
            self.before = max(self.state.seconds, used)
            if not self.run.finished:
                how = f"going on from step {self.state.step}" if tree else "begins"
                say(f"{self.run.folder}: {how}")
        return tree is not None

    def _found(self) -> dict[str, Any] | None:
        assert self.run is not None
        found = Checkpoints(self.run.folder).newest()
        if found is None:
            return None
        path, tree = found
        if tree["run"] != self.run.key:
            raise RunError("a checkpoint of another run", path, do="name a new run with RUN=")
        if tree["steps"] != self.state.steps:
            raise Changed("other steps in an epoch", path, tree["steps"], self.state.steps)
        return dict(tree)

    def add(self, values: Mapping[str, float]) -> None:
        """Count the values of a step; an infinite norm that the scaler skipped is left out."""
        for name, value in values.items():
            total, count = self.state.sums.get(name, [0.0, 0])
            if abs(value) < float("inf"):
                self.state.sums[name] = [total + value, count + 1]

    def log_training(self, rate: float) -> None:
        """A line with the means since the last one."""
        means = {name: total / count for name, (total, count) in self.state.sums.items()}
        self.state.sums = {}
        self.log("train", {**means, "rate": rate})

    def log(self, kind: str, values: Mapping[str, float]) -> None:
        """A durable line of metrics.jsonl, and points of TensorBoard's curves."""
        if self.run:
            row = {"kind": kind, "step": self.state.step, "seconds": round(self.seconds(), 3)}
            self.run.log(**row, **values)
            self.curves.add({**row, **values})
        self.state.rows += 1

    def close(self) -> None:
        self.curves.close()
