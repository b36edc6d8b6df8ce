"""A limit of time for a whole run: how many steps fit into it.

Reads the clock, writes nothing. Does: takes a few steps and takes them back to know how long one
lasts, plans the steps so that the schedule ends inside, shortens the plan when steps last longer.
Only the first process's clock counts; the others are told.
"""

import time
from collections.abc import Callable

from training.engine.checkpoint import pack, unpack
from training.engine.keeper import Keeper
from training.engine.schedule import affordable
from training.errors import RunError
from training.run import say

REHEARSED = 6  # steps; the first two are slower (memory, kernels) and not counted
SPARED = 0.05  # part of the budget that no plan touches: machines are not steady


class Budget:
    """`plan` before the first step, `shorten` after each scoring, `over` at each step."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper, self.learner = keeper, keeper.learner
        settings = keeper.learner.settings
        self.limit = settings.budget / settings.shared
        self.scoring = 0.0  # seconds that scoring took the last time
        self.training = 0.0  # seconds that this process has trained
        self.trained = 0  # and the steps it took

    def took(self, seconds: float, steps: int) -> None:
        """This process has trained for so long."""
        self.training, self.trained = self.training + seconds, self.trained + steps

    def over(self) -> bool:
        """Whether scoring and saving must begin now to end inside."""
        after = self.keeper.seconds() + self.scoring + self.keeper.last
        return self.limit > 0 and after > self.limit * (1 - SPARED / 2)

    def plan(self, rehearse: Callable[[int], list[float]], score: Callable[[], object]) -> None:
        """Measure, and lower the run's steps to what fits. `rehearse` takes so many steps of the
        first epoch, fewer where it is shorter, and says when it began and when each was done."""
        state, ranks = self.keeper.state, self.learner.ranks
        before = b"".join(pack(self.learner.state()))
        times = rehearse(REHEARSED)
        counted = times[2:] if len(times) > 3 else times
        pace = (counted[-1] - counted[0]) / (len(counted) - 1)
        began = time.monotonic()
        score()
        self.scoring = time.monotonic() - began
        self.learner.restore(unpack(before))
        self.keeper.save()  # so that a resumed run keeps to the plan; and to know how long it takes
        most = state.total
        state.total = min(most, self._fitting(pace))
        if state.total < 1:
            least = f"more than {self.keeper.seconds():.0f} s"
            do = "name a new run with RUN= and allow it more"
            raise RunError("too small a budget", "budget", least, f"{self.limit:.0f} s", do)
        self.keeper.save()
        if ranks.first:
            epochs = state.total / state.steps
            say(
                f"planned {state.total} of {most} steps ({epochs:.1f} epochs) in "
                f"{self.limit:.0f} s: {pace:.3g} s a step, {self.scoring:.3g} s to score, "
                f"{self.keeper.seconds():.0f} s used so far"
            )

    def shorten(self) -> None:
        """Lower the run's steps when they turn out to last longer than planned."""
        state = self.keeper.state
        if not self.limit or not self.trained:
            return
        total = min(state.total, self._fitting(self.training / self.trained))
        if total < state.total and self.learner.ranks.first:
            say(f"steps last longer than planned: {total} instead of {state.total}")
        state.total = max(total, state.step)

    def _fitting(self, pace: float) -> int:
        state = self.keeper.state
        left = self.limit * (1 - SPARED) - self.keeper.seconds()
        edge = self.scoring + self.keeper.last
        more = affordable(left, pace, edge, state.step, state.steps)
        return int(self.learner.ranks.told([state.step + more])[0])
