"""The training loop, once, for every torch model.

Reads: batches, and the run's newest checkpoint. Does: steps, scoring after each epoch, schedules,
stopping early, a time budget, exact resume. Writes, through the keeper: the run's checkpoints,
metrics and state.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from training.durable import fault_point
from training.engine import schedule
from training.engine.budget import Budget
from training.engine.flags import Stop, stop_flag
from training.engine.keeper import Keeper, State
from training.engine.progress import Progress
from training.engine.settings import Settings
from training.engine.torch_learner import Batch, Learner, Loss, moved, names, seed_all
from training.engine.torch_ranks import Ranks
from training.errors import Diverged, Interrupted, RunError
from training.run import Run

Validate = Callable[[nn.Module], Mapping[str, float]]


class Data(Protocol):
    """Batches in an order that depends on the epoch alone; as many steps on every process."""

    @property
    def steps(self) -> int: ...

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Mapping[str, Any]]: ...


@dataclass(frozen=True)
class Result:
    """How a finished run went; speed and shares are of this process."""

    state: State
    why: str
    speed: float  # examples per second
    wait: float  # share of the time spent waiting for data
    saving: float  # share of the time spent writing checkpoints

    @property
    def best(self) -> dict[str, float]:
        return self.state.history[schedule.best_of(self.state.scores)]


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
    if ranks.first == (run is None) or not data.steps:
        raise RunError("no run, or not one whole batch", run.folder if run else "")
    threads = ranks.told([run.threads if run else 0])
    torch.set_num_threads(int(threads[0]))  # another number sums in another order
    loop = _Loop(Learner(model, optimizer, loss, settings, ranks), data, validate, run)
    try:
        return loop.go()
    except (Diverged, Interrupted) as err:
        if run is not None:
            run.mark("unfinished", stopped=str(err))
        raise
    finally:
        loop.keeper.close()


class _Loop:
    def __init__(self, learner: Learner, data: Data, validate: Validate, run: Run | None) -> None:
        self.learner, self.data, self.validate, self.run = learner, data, validate, run
        self.settings, self.ranks = learner.settings, learner.ranks
        self.state = State(data.steps, total=self.settings.epochs * data.steps)
        self.keeper = Keeper(run, learner, self.state)
        self.budget = Budget(self.keeper)

    def go(self) -> Result:
        if not self.keeper.resume() and self.settings.budget:
            self.budget.plan(self.rehearsed, self.validated)
        s = self.state
        if self.run and not self.done:
            self.run.mark("unfinished")
        bar = Progress(s.step, s.total, s.steps, shown=self.ranks.first)
        with stop_flag() as stop, bar as self.bar:
            while True:
                if self.unscored:
                    self.score()
                if self.done:
                    break
                self.train(stop)
        return self.finished(bar)

    def rehearsed(self, steps: int) -> list[float]:
        """Take a few steps, which the budget takes back."""
        times = [time.monotonic()]
        for number, arrays in enumerate(self.data.epoch(0)):
            batch = moved(arrays, self.ranks.device)
            self.learner.gradient(batch, number, 0, self.settings.rate)
            self.learner.apply()
            times.append(time.monotonic())
            if number + 1 == steps:
                break
        return times

    def finished(self, bar: Progress) -> Result:
        s = self.state
        short = s.total < self.settings.epochs * s.steps
        why = "the budget is used" if short else "all epochs are done"
        if s.step < s.total:
            why = f"no better for {self.settings.stop} epochs"
        past = max(time.monotonic() - bar.begin, 1e-9)
        result = Result(s, why, bar.speed, bar.wait, self.keeper.saving / past)
        if self.run:
            self.run.mark("finished", why=why, step=s.step, best=result.best)
        return result

    @property
    def unscored(self) -> bool:
        """At the end of an epoch, or of all, and not scored yet."""
        s = self.state
        edge = s.step > 0 and (s.step % s.steps == 0 or s.step >= s.total)
        return edge and (not s.history or s.history[-1]["step"] < s.step)

    @property
    def done(self) -> bool:
        s = self.state
        return s.step >= s.total or schedule.given_up(self.settings, s.scores)

    def train(self, stop: Stop) -> None:
        """Steps up to the next scoring."""
        s, began = self.state, time.monotonic()
        epoch, first = divmod(s.step, s.steps)
        for arrays in self.bar.waited(self.data.epoch(epoch, first)):
            fault_point("step")
            signum, save = self.step(arrays, epoch, stop)
            if signum or (save and not self.unscored):
                self.keeper.save()
            if signum:
                raise Interrupted(signum, self.run.folder if self.run else "")
            if self.unscored:
                self.budget.took(time.monotonic() - began, s.step - epoch * s.steps - first)
                return
        raise RunError("an epoch ended early", expected=f"{s.steps} steps")

    def step(self, arrays: Mapping[str, Any], epoch: int, stop: Stop) -> tuple[int, bool]:
        """One step on all processes; (the signal that asks to stop, whether to save)."""
        s, batch = self.state, moved(arrays, self.ranks.device)
        rate = schedule.rate(self.settings, s.step, s.total, s.scores)
        values = self.learner.gradient(batch, s.step, epoch, rate)
        bad = self.learner.bad(values)
        size: float = len(next(iter(batch.values())))
        asked = [stop.signum == signal.SIGINT, stop.signum == signal.SIGTERM]
        mine = [bool(bad), *asked, self.keeper.due(), self.budget.over(), size, *values.values()]
        bads, by_key, by_term, save, over, size, *sums = self.ranks.total(mine)
        if bads:  # the gradient is shared, the loss is not
            ours = not math.isfinite(values["loss"]) or math.isfinite(sums[0])
            what = bad if ours else "the loss of another process is not a number"
            raise self.diverged(what, batch if ours else {}, epoch)
        self.learner.apply()
        s.step += 1
        s.samples += int(size)
        s.total = s.step if over else s.total
        means = dict(zip(values, (v / self.ranks.world for v in sums), strict=True))
        self.keeper.add(means)
        self.bar.step(means, int(size), s.total)
        if s.step % self.settings.log_steps == 0 or self.unscored:
            self.keeper.log_training(rate)
        signum = signal.SIGINT if by_key else signal.SIGTERM if by_term else 0
        return int(signum), bool(save)

    def diverged(self, what: str, batch: Batch, epoch: int) -> Diverged:
        s = self.state
        return Diverged(
            f"{what} in epoch {epoch + 1}, batch {s.step % s.steps + 1} "
            f"(step {s.step + 1} of the run){names(batch)}",
            self.run.folder if self.run else "",
            do="the step was not taken and the checkpoints before it are kept: look at those "
            "recordings, or lower the rate or clip the gradient in a new run",
        )

    def score(self) -> None:
        """Validate, judge, save."""
        s, began = self.state, time.monotonic()
        values, score = self.validated()
        (score,) = self.ranks.told([score])
        if not math.isfinite(score):
            where = self.run.folder if self.run else ""
            raise Diverged(f"validation gives {score} after step {s.step}", where)
        s.history.append({**values, "score": score, "step": s.step})
        best = schedule.best_of(s.scores) == len(s.scores) - 1
        self.keeper.log("valid", values)
        shown = "  ".join(f"{key} {value:.4g}" for key, value in values.items())
        self.bar.say(f"epoch {-(-s.step // s.steps)}: {shown}{'  (best)' if best else ''}")
        self.budget.scoring = time.monotonic() - began
        self.budget.shorten()
        self.keeper.save(best=best)

    def validated(self) -> tuple[dict[str, float], float]:
        """What validation finds, and the score: higher is better."""
        if not self.run:
            return {}, 0.0
        seed_all(self.settings.seed, "score", self.state.step)
        with torch.no_grad():
            found = self.validate(self.learner.scored)
        values = {key: float(value) for key, value in found.items()}
        name = self.settings.score.lstrip("-")
        if name not in values:
            raise RunError("not what validation returns", f"score {name!r}", [*values])
        return values, -values[name] if self.settings.score.startswith("-") else values[name]
