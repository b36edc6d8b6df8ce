"""A training run's course, for whatever framework takes the steps.

Reads: the run's newest checkpoint, through the keeper. Does: decides after each step whether to
save, stop, score or end; scores after each epoch; lets all processes decide the same. Writes,
through the keeper: the run's checkpoints, metrics and state.

An engine adds how a step is taken: `train`, `rehearsed` and `validated`.
"""

import math
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from training.engine import keeper as kept
from training.engine import schedule
from training.engine.budget import Budget
from training.engine.flags import Stop, stop_flag
from training.engine.keeper import Keeper, State
from training.engine.progress import Progress
from training.errors import Diverged, Interrupted, RunError
from training.run import Run


class Ranks(kept.Ranks, Protocol):
    def total(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes."""


class Learner(kept.Learner, Protocol):
    @property
    def ranks(self) -> Ranks: ...


@dataclass(frozen=True)
class Result:
    """How a finished run went; speed and shares are of this process."""

    state: State
    why: str
    speed: float  # examples per second
    wait: float  # share of the time spent waiting for data
    saving: float  # share of the time spent writing checkpoints

    @property
    def told(self) -> str:
        """How it went, on one line."""
        if not self.speed:
            return f"{self.why}; {self.state.step} steps, nothing left to train"
        return (
            f"{self.why}; {self.state.step} steps, {self.speed:.0f} examples/s, "
            f"waiting for data {self.wait:.1%}, saving {self.saving:.1%} of the time"
        )

    @property
    def best(self) -> dict[str, float]:
        return self.state.history[schedule.best_of(self.state.scores)]


@dataclass(frozen=True)
class Agreed:
    """What all processes know of a step."""

    bad: bool  # it must not count
    lost: float  # the loss, summed; no number where another process has none
    signum: int  # that asks to stop
    save: bool
    over: bool  # the budget is
    size: int  # examples
    means: dict[str, float]


class Loop:
    def __init__(self, learner: Learner, steps: int, run: Run | None) -> None:
        if learner.ranks.first == (run is None) or not steps:
            raise RunError("no run, or not one whole batch", run.folder if run else "")
        self.run, self.settings, self.ranks = run, learner.settings, learner.ranks
        self.state = State(steps, total=self.settings.epochs * steps)
        self.keeper = Keeper(run, learner, self.state)
        self.budget = Budget(self.keeper)

    def train(self, stop: Stop) -> None:
        """Steps up to the next scoring."""
        raise NotImplementedError

    def rehearsed(self, steps: int) -> list[float]:
        """Take so many steps, which the budget takes back: when it began, when each was done."""
        raise NotImplementedError

    def validated(self) -> Mapping[str, float]:
        """What validation finds; on the first process alone."""
        raise NotImplementedError

    def go(self) -> Result:
        """To the end of the run, from wherever it is."""
        try:
            return self._gone()
        except (Diverged, Interrupted) as err:
            if self.run is not None:
                self.run.mark("unfinished", stopped=str(err))
            raise
        finally:
            self.keeper.close()

    def _gone(self) -> Result:
        if not self.keeper.resume() and self.settings.budget:
            self.budget.plan(self.rehearsed, self.judged)
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
                began, first = time.monotonic(), s.step
                self.train(stop)
                if not self.unscored:
                    raise RunError("an epoch ended early", expected=f"{s.steps} steps")
                self.budget.took(time.monotonic() - began, s.step - first)
        return self.finished(bar)

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

    @property
    def rate(self) -> float:
        """Of the step to come."""
        return schedule.rate(self.settings, self.state.step, self.state.total, self.state.scores)

    def agreed(self, values: Mapping[str, float], bad: bool, size: int, stop: Stop) -> Agreed:
        """What the processes make of a step together."""
        asked = [stop.signum == signal.SIGINT, stop.signum == signal.SIGTERM]
        mine = [bad, *asked, self.keeper.due(), self.budget.over(), size, *values.values()]
        bads, by_key, by_term, save, over, size_, *sums = self.ranks.total(mine)
        means = dict(zip(values, (v / self.ranks.world for v in sums), strict=True))
        signum = signal.SIGINT if by_key else signal.SIGTERM if by_term else 0
        return Agreed(bool(bads), sums[0], int(signum), bool(save), bool(over), int(size_), means)

    def count(self, step: Agreed, rate: float) -> None:
        """The step is taken: note it, save where that is due, stop where that is asked."""
        s = self.state
        s.step += 1
        s.samples += step.size
        s.total = s.step if step.over else s.total
        self.keeper.add(step.means)
        self.bar.step(step.means, step.size, s.total)
        if s.step % self.settings.log_steps == 0 or self.unscored:
            self.keeper.log_training(rate)
        if step.signum or (step.save and not self.unscored):
            self.keeper.save()
        if step.signum:
            raise Interrupted(step.signum, self.run.folder if self.run else "")

    def diverged(self, what: str, told: str, epoch: int) -> Diverged:
        """`told` says what the batch held."""
        s = self.state
        return Diverged(
            f"{what} in epoch {epoch + 1}, batch {s.step % s.steps + 1} "
            f"(step {s.step + 1} of the run){told}",
            self.run.folder if self.run else "",
            do="the step was not taken and the checkpoints before it are kept: look at those "
            "recordings, or lower the rate or clip the gradient in a new run",
        )

    def score(self) -> None:
        """Validate, judge, save."""
        s, began = self.state, time.monotonic()
        values, score = self.judged()
        (score,) = self.ranks.told([score])
        if not math.isfinite(score):
            where = self.run.folder if self.run else ""
            raise Diverged(f"validation gives {score} after step {s.step}", where)
        s.history.append({**values, "score": score, "step": s.step})
        best = schedule.best_of(s.scores) == len(s.scores) - 1
        self.keeper.log("valid", values)
        shown = "  ".join(f"{key} {value:.4g}" for key, value in values.items())
        told = f"  (best {self.settings.score.lstrip('-')})" if best else ""
        self.bar.say(f"epoch {-(-s.step // s.steps)}: {shown}{told}")
        self.budget.scoring = time.monotonic() - began
        self.budget.shorten()
        self.keeper.save(best=best)

    def judged(self) -> tuple[dict[str, float], float]:
        """What validation finds, and the score: higher is better."""
        if not self.run:
            return {}, 0.0
        values = {key: float(value) for key, value in self.validated().items()}
        name = self.settings.score.lstrip("-")
        if name not in values:
            raise RunError("not what validation returns", f"score {name!r}", [*values])
        return values, -values[name] if self.settings.score.startswith("-") else values[name]


def nothing(net: Any) -> Mapping[str, float]:
    """In the place of a validation, on processes that are not asked for one."""
    raise AssertionError("only the first process validates")
