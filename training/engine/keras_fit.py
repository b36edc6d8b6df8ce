"""The training of every TensorFlow model: Keras' own `fit`, an epoch at a time.

Reads: batches. Does: lets `fit` take the steps; training/engine/loop.py decides between them, asked
by a callback. Writes: the run's folder, through the loop.

`fit` is called anew for each epoch, with the batches from where the run is: the middle of an epoch
is no other case than its begin. All that Keras' own callbacks would keep to themselves (the rate,
the best score, the patience) follows from the step and the scores, which the checkpoint holds.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import keras
import tensorflow as tf

from training.data.batches import Share
from training.durable import fault_point
from training.engine.checkpoint import pack, unpack
from training.engine.flags import Stop
from training.engine.keras_learner import Learner, Loss, Steps, policy
from training.engine.keras_ranks import LOST, Ranks
from training.engine.loop import Loop, Result
from training.engine.settings import Settings
from training.errors import Diverged, Interrupted, RunError
from training.run import Run

__all__ = ["Data", "Result", "Validate", "fit"]

Validate = Callable[[keras.Model], Mapping[str, float]]


class Data(Protocol):
    """Batches in an order that depends on the epoch alone."""

    batch: int  # examples of a step, over all replicas

    @property
    def steps(self) -> int: ...

    def epoch(
        self, epoch: int, first: int = 0, share: Share = ..., parts: int = 1
    ) -> tf.data.Dataset: ...

    def sources(self, epoch: int, step: int) -> list[str]: ...


def fit(
    net: Callable[[], keras.Model],
    optimizer: Callable[[], keras.optimizers.Optimizer],
    loss: Loss,
    data: Data,
    validate: Validate,
    run: Run | None,
    settings: Settings,
    ranks: Ranks,
    parts: int = 1,
) -> Result:
    """Train what `net` makes to the end of the run, from wherever the run is.

    `run` is None on every process but the first. `validate` is called on the first one alone; it
    returns at least what `settings.score` names. A device works its share of a batch in `parts`.
    """
    with ranks.strategy.scope(), policy(settings.precision):
        steps = Steps(net(), loss, settings, data.batch, parts)
        steps.compile(optimizer=optimizer(), jit_compile=False, auto_scale_loss=True)
        learner = Learner(steps, settings, ranks)
    return _Loop(learner, data, validate, run).go()


class _Loop(Loop):
    def __init__(self, learner: Learner, data: Data, validate: Validate, run: Run | None) -> None:
        super().__init__(learner, data.steps, run)
        self.learner, self.data, self.validate = learner, data, validate

    def go(self) -> Result:
        try:
            self._together()
            result = super().go()
        except (Diverged, Interrupted):  # which all of them do
            self.learner.ranks.part()
            raise
        except LOST as err:
            if self.ranks.world == 1:
                raise
            where, do = self.run.folder if self.run else "", "go on with the same command on all"
            raise RunError("another process of the run has ended", where, do=do) from err
        self.learner.ranks.part()
        return result

    def _together(self) -> None:
        """All begin as the first process: it alone reads the weights that a run starts from."""
        ranks = self.learner.ranks
        if ranks.world > 1:
            self.learner.restore(unpack(ranks.sent(b"".join(pack(self.learner.state())))))

    def rehearsed(self, steps: int) -> list[float]:
        clock = _Clock()
        self._fit(0, 0, min(steps, self.state.steps), clock)
        return clock.times

    def train(self, stop: Stop) -> None:
        epoch, first = divmod(self.state.step, self.state.steps)
        count = min(self.state.steps - first, self.state.total - self.state.step)
        self._fit(epoch, first, count, _Between(self, stop, epoch))

    def _fit(self, epoch: int, first: int, count: int, callback: keras.callbacks.Callback) -> None:
        ranks, strategy = self.learner.ranks, self.learner.ranks.strategy

        def batches(context: Any = None) -> tf.data.Dataset:
            share = Share(ranks.rank, ranks.world)
            return self.data.epoch(epoch, first, share, ranks.parts).take(count * ranks.parts)

        made = batches()
        if ranks.replicas > 1:
            made = strategy.distribute_datasets_from_function(batches)
        self.learner.steps.fit(
            made,
            steps_per_epoch=count,
            epochs=epoch + 1,
            initial_epoch=epoch,
            shuffle=False,
            verbose=0,
            callbacks=[callback],
        )

    def validated(self) -> Mapping[str, float]:
        with self.learner.scored() as net:
            return self.validate(net)


class _Clock(keras.callbacks.Callback):
    """When each step was done."""

    def __init__(self) -> None:
        super().__init__()
        self.times = [time.monotonic()]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        float(logs["loss"])  # waits for the device
        self.times.append(time.monotonic())


class _Between(keras.callbacks.Callback):
    """Asks the loop between one step and the next."""

    def __init__(self, loop: _Loop, stop: Stop, epoch: int) -> None:
        super().__init__()
        self.loop, self.stop, self.epoch = loop, stop, epoch
        self.steps, self.rate, self.waited = loop.learner.steps, 0.0, 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        fault_point("step")
        self.rate = self.loop.rate
        self.steps.optimizer.learning_rate.assign(self.rate)
        self.waited = self.steps.waited

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loop = self.loop
        values = {name: float(value) for name, value in logs.items()}
        loop.bar.waiting += self.steps.waited - self.waited
        bad = loop.learner.bad(values)
        share = loop.data.batch // loop.learner.ranks.world
        agreed = loop.agreed(values, bool(bad), share, self.stop)
        if agreed.bad:
            raise loop.diverged(bad or "a step is not a number", self._told(), self.epoch)
        loop.count(agreed, self.rate)
        if loop.state.step >= loop.state.total:  # the budget may be over
            self.model.stop_training = True

    def _told(self) -> str:
        state = self.loop.state
        held = self.loop.data.sources(self.epoch, state.step % state.steps)
        return f"; source: {', '.join(dict.fromkeys(name[:16] for name in held))}"
