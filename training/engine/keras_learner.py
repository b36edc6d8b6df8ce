"""One step of learning under Keras' `fit`: loss, gradient, update, running average.

Reads and writes no files. Does: mixed precision, clipping, sums over replicas, the random numbers
of a step. Knows neither the net's task nor the loop.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.engine.keras_ranks import Ranks
from training.engine.settings import Settings
from training.errors import Changed

Batch = dict[str, Any]  # name -> tensor, (examples, ...)
# (net, batch, seed of the step) -> the loss of each example, and what else to tell of each.
Loss = Callable[[keras.Model, Batch, Any], tuple[Any, Mapping[str, Any]]]

POLICIES = {"float32": "float32", "bf16": "mixed_bfloat16", "fp16": "mixed_float16"}
REPLICAS = 1009  # more than there are devices, and odd: no two seeds meet in 32 bits
BF16 = 8  # compute capability from which on a GPU has it


@contextmanager
def policy(asked: str) -> Iterator[None]:
    """What nets compute in that are built meanwhile; `auto` is half precision on a GPU."""
    name, gpus = POLICIES.get(asked, "float32"), tf.config.list_physical_devices("GPU")
    if asked == "auto" and gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        capable = details.get("compute_capability", (0, 0))[0] >= BF16
        name = POLICIES["bf16" if capable else "fp16"]
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_dtype_policy(before)


class Steps(keras.Model):
    """What `fit` is called on: a net, and how a step is taken with it.

    The global batch has one size throughout, so that sums over replicas of losses divided by it
    are the mean. A replica's share of it may be worked in `parts`, one after the other, whose
    gradients are added up: so much less memory is needed at once.
    """

    def __init__(
        self, net: keras.Model, loss: Loss, settings: Settings, batch: int, parts: int = 1
    ) -> None:
        super().__init__(name="steps")
        self.net, self.objective, self.settings, self.batch = net, loss, settings, batch
        self.parts = parts
        self.waited = 0.0  # seconds spent waiting for data
        # The step, as the seeds of its random numbers have it; and steps that were averaged.
        self.number = tf.Variable(0, dtype=tf.int32, trainable=False)
        self.updates = tf.Variable(0.0, trainable=False)
        floats = [i for i, v in enumerate(net.variables) if "float" in v.dtype]
        self.places = floats if settings.ema else []  # of the variables that are averaged
        self.averaged = [net.variables[i] for i in self.places]
        self.averages = [tf.Variable(v.value, trainable=False) for v in self.averaged]
        self.train_function: Any = None
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.net(inputs, training=training)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """It is built; under a strategy Keras would draw a batch to see, and fails on a dict."""

    def train_step(self, data: Batch) -> dict[str, Any]:
        context = tf.distribute.get_replica_context()
        own = context.replica_id_in_sync_group
        apart = self.settings.seed * REPLICAS + own  # of 32 bits, which wrap
        seed = tf.stack([apart, self.number])
        way = self._of_part if self.parts == 1 else self._of_parts
        gradients, loss, means = way(data, seed)
        weights = self.net.trainable_variables
        replicas = context.num_replicas_in_sync
        if replicas > 1:
            loss, gradients, means = context.all_reduce(
                tf.distribute.ReduceOp.SUM, (loss, gradients, means)
            )
        gradients, norm = self._clipped(gradients)
        # The optimizer sums over replicas once more.
        self.optimizer.apply([g / replicas for g in gradients], weights)
        return {"loss": loss, "grad_norm": norm, **means}

    def _of_part(self, data: Batch, seed: Any) -> tuple[list[Any], Any, dict[str, Any]]:
        """Gradients, loss, and means of what else is told; sums over replicas are still to come."""
        with tf.GradientTape() as tape:
            losses, more = self.objective(self.net, data, seed)
            loss = tf.reduce_sum(losses) / self.batch
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [w.value for w in self.net.trainable_variables])
        return gradients, loss, {n: tf.reduce_sum(value) / self.batch for n, value in more.items()}

    def _of_parts(self, data: Batch, seed: Any) -> tuple[list[Any], Any, dict[str, Any]]:
        """The same, in a loop that a graph cannot unroll: each part's memory is the next one's.
        Every part has random numbers of its own."""
        count = tf.shape(next(iter(data.values())))[0]

        def part(i: Any) -> Any:
            begin, end = i * count // self.parts, (i + 1) * count // self.parts
            rows = {name: value[begin:end] for name, value in data.items()}
            return self._of_part(rows, tf.stack([seed[0] * self.parts + i, seed[1]]))

        def more(i: Any, sums: Any) -> Any:
            return i + 1, tf.nest.map_structure(tf.add, sums, part(i))

        sums = part(tf.constant(0))
        if tf.distribute.get_replica_context().num_replicas_in_sync > 1:
            # Replicas cannot meet inside of a loop, as batch statistics over all of them must.
            for i in range(1, self.parts):
                with tf.control_dependencies(tf.nest.flatten(sums)):
                    _, sums = more(tf.constant(i), sums)
            return sums
        _, sums = tf.while_loop(
            lambda i, _: i < self.parts, more, (tf.constant(1), sums), parallel_iterations=1
        )
        found: tuple[list[Any], Any, dict[str, Any]] = sums
        return found

    def _clipped(self, gradients: list[Any]) -> tuple[list[Any], Any]:
        """The gradients, and their norm before; a scaled loss has scaled ones."""
        scale = getattr(self.optimizer, "dynamic_scale", 1.0)
        norm = tf.linalg.global_norm(gradients) / scale
        if self.settings.clip:
            factor = tf.minimum(1.0, self.settings.clip / (norm + 1e-6))
            factor = tf.where(tf.math.is_finite(norm), factor, 1.0)
            gradients = [g * factor for g in gradients]
        return gradients, norm

    def make_train_function(self, force: bool = False) -> Any:
        """Data are fetched apart from the step, so that waiting for them can be told from it."""
        if self.train_function is not None and not force:
            return self.train_function
        strategy = self.distribute_strategy

        @tf.function(reduce_retracing=True)
        def stepped(data: Any) -> Any:
            values = strategy.run(self.train_step, (data,))
            self._average()
            self.number.assign_add(1)
            return {k: strategy.experimental_local_results(v)[0] for k, v in values.items()}

        def fetched(iterator: Any) -> Any:
            began = time.monotonic()
            data = next(iterator)
            self.waited += time.monotonic() - began
            return stepped(data)

        self.train_function = fetched
        return fetched

    def _average(self) -> None:
        """kept <- decay kept + (1 - decay) new, with a short memory in the first steps."""
        if not self.averages:
            return
        self.updates.assign_add(1.0)
        decay = tf.minimum(self.settings.ema, (1 + self.updates) / (10 + self.updates))
        for kept, new in zip(self.averages, self.averaged, strict=True):
            kept.assign(kept + (1 - decay) * (new.value - kept))


class Learner:
    """What is kept of a model while it learns."""

    def __init__(self, steps: Steps, settings: Settings, ranks: Ranks) -> None:
        self.steps, self.net, self.settings, self.ranks = steps, steps.net, settings, ranks
        steps.optimizer.build(steps.net.trainable_variables)

    def bad(self, values: Mapping[str, float]) -> str:
        """What must not be learnt from, in words. A scaled loss skips infinite norms itself."""
        if not np.isfinite(values["loss"]):
            return f"the loss is {values['loss']}"
        scale = float(getattr(self.steps.optimizer, "dynamic_scale", 0.0))
        if not np.isfinite(values["grad_norm"]) and scale < 1.0:
            return f"the norm of the gradient is {values['grad_norm']}"
        return ""

    def finite(self) -> bool:
        """Whether all weights are numbers."""
        held = (v.numpy() for v in self.net.variables)
        return all(np.isfinite(array).all() for array in held if array.dtype.kind == "f")

    def state(self) -> dict[str, Any]:
        """Everything a step depends on, besides its batch, in arrays. Variables are known by their
        place: a layer's name may count the layers built before it."""
        model = variables(self.net)
        ema = None
        if self.steps.averages:
            ema, names = dict(model), list(model)
            for i, kept in zip(self.steps.places, self.steps.averages, strict=True):
                ema[names[i]] = kept.numpy()
        return {
            "model": model,
            "ema": ema,
            "optimizer": [np.asarray(v.numpy()) for v in self.steps.optimizer.variables],
            "number": int(self.steps.number.numpy()),
            "updates": float(self.steps.updates.numpy()),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state."""
        given(self.net, state["model"])
        for v, array in zip(self.steps.optimizer.variables, state["optimizer"], strict=True):
            v.assign(array)
        averages = list((state["ema"] or {}).values())
        for i, kept in zip(self.steps.places, self.steps.averages, strict=True):
            kept.assign(averages[i])
        self.steps.number.assign(state["number"])
        self.steps.updates.assign(state["updates"])

    @contextmanager
    def scored(self) -> Iterator[keras.Model]:
        """The net with the weights that are judged and kept for use."""
        before = [v.numpy() for v in self.steps.averaged]
        for v, kept in zip(self.steps.averaged, self.steps.averages, strict=True):
            v.assign(kept.numpy())
        try:
            yield self.net
        finally:
            for v, array in zip(self.steps.averaged, before, strict=True):
                v.assign(array)


def variables(net: keras.Model) -> dict[str, np.ndarray]:
    """A net's variables, the states of its random layers among them, as a checkpoint holds them."""
    return {f"{i:04d} {v.name}": np.asarray(v.numpy()) for i, v in enumerate(net.variables)}


def given(net: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Give a net variables from a checkpoint; refused when they are another net's."""
    own = variables(net)
    for name, array in own.items():
        found = arrays.get(name)
        if found is None or found.shape != array.shape:
            got = "none" if found is None else found.shape
            raise Changed("weights of another net", name, array.shape, got)
    if len(own) != len(arrays):
        raise Changed("weights of another net", "", f"{len(own)} arrays", len(arrays))
    for v, array in zip(net.variables, arrays.values(), strict=True):
        v.assign(array)
