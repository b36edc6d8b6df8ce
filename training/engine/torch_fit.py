"""The training loop of every torch model.

Reads: batches. Does: takes the steps; training/engine/loop.py decides between them. Writes: the
run's folder, through the loop.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import nn

from training.durable import fault_point
from training.engine.flags import Stop
from training.engine.loop import Loop, Result, nothing
from training.engine.settings import Settings
from training.engine.torch_learner import Learner, Loss, moved, names, seed_all
from training.engine.torch_ranks import Ranks
from training.run import Run

__all__ = ["Data", "Result", "Validate", "fit", "nothing"]

Validate = Callable[[nn.Module], Mapping[str, float]]


class Data(Protocol):
    """Batches in an order that depends on the epoch alone; as many steps on every process."""

    @property
    def steps(self) -> int: ...

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Mapping[str, Any]]: ...


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    data: Data,
    validate: Validate,
    run: Run | None,
    settings: Settings,
    ranks: Ranks = Ranks(),  # noqa: B008  (frozen)
) -> Result:
    """Train `model` to the end of the run, from wherever the run is.

    `run` is None on every process but the first. `validate` is called on the first one alone; it
    returns at least what `settings.score` names.
    """
    threads = ranks.told([run.threads if run else 0])
    torch.set_num_threads(int(threads[0]) or 1)  # another number sums in another order
    return _Loop(Learner(model, optimizer, loss, settings, ranks), data, validate, run).go()


class _Loop(Loop):
    def __init__(self, learner: Learner, data: Data, validate: Validate, run: Run | None) -> None:
        super().__init__(learner, data.steps, run)
        self.learner, self.data, self.validate = learner, data, validate

    def rehearsed(self, steps: int) -> list[float]:
        times = [time.monotonic()]
        for number, arrays in enumerate(self.data.epoch(0)):
            batch = moved(arrays, self.learner.ranks.device)
            self.learner.gradient(batch, number, 0, self.settings.rate)
            self.learner.apply()
            times.append(time.monotonic())
            if number + 1 == steps:
                break
        return times

    def train(self, stop: Stop) -> None:
        epoch, first = divmod(self.state.step, self.state.steps)
        for arrays in self.bar.waited(self.data.epoch(epoch, first)):
            fault_point("step")
            self.step(arrays, epoch, stop)
            if self.unscored:
                return

    def step(self, arrays: Mapping[str, Any], epoch: int, stop: Stop) -> None:
        """One step on all processes."""
        batch, rate = moved(arrays, self.learner.ranks.device), self.rate
        values = self.learner.gradient(batch, self.state.step, epoch, rate)
        bad = self.learner.bad(values)
        agreed = self.agreed(values, bool(bad), len(next(iter(batch.values()))), stop)
        if agreed.bad:  # the gradient is shared, the loss is not
            ours = not math.isfinite(values["loss"]) or math.isfinite(agreed.lost)
            what = bad if ours else "the loss of another process is not a number"
            raise self.diverged(what, names(batch) if ours else "", epoch)
        self.learner.apply()
        self.count(agreed, rate)

    def validated(self) -> Mapping[str, float]:
        seed_all(self.settings.seed, "score", self.state.step)
        with torch.no_grad():
            return self.validate(self.learner.scored)
