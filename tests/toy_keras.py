"""A tiny Keras run, to be killed and taken up again in every way.

Reads nothing. Does: fits a small net, with convolutions, batch statistics, dropout and noise drawn
anew at each step, to 48 examples. Writes: a run folder, where it is told, and the hash of what this
process has learnt to stderr.
"""

import functools
import hashlib
import itertools
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.data.batches import Share
from training.durable import fault_point
from training.engine import keras_fit
from training.engine.checkpoint import Checkpoints
from training.engine.keras_fit import Result, fit
from training.engine.keras_learner import variables
from training.engine.keras_ranks import Ranks, joined
from training.engine.settings import Settings
from training.run import Run, main, opened, say

EXAMPLES, BATCH = 48, 4
SETTINGS = Settings(
    epochs=5, rate=0.02, patience=1, stop=0, clip=1.0, ema=0.9, seed=7, save_steps=5,
    save_seconds=0, log_steps=4, score="-error",
)  # fmt: skip


class Numbers:
    """The task: y is a function of x. 12 steps an epoch."""

    batch = BATCH

    def __init__(self, bad: int = -1) -> None:
        draws = np.random.default_rng(1)
        self.x = draws.standard_normal((EXAMPLES, 8, 6)).astype(np.float32)
        self.y = np.sin(self.x).sum((1, 2))[:, None]
        if bad >= 0:
            self.x[bad, 3] = np.nan

    @property
    def steps(self) -> int:
        return EXAMPLES // BATCH

    def order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([3, epoch]).permutation(EXAMPLES)

    def epoch(
        self, epoch: int, first: int = 0, share: Share = Share(), parts: int = 1  # noqa: B008
    ) -> tf.data.Dataset:  # fmt: skip
        rows = self.order(epoch).reshape(self.steps, share.world, parts, -1)[first:, share.rank]
        rows = rows.reshape(-1, rows.shape[-1])
        return tf.data.Dataset.from_tensor_slices({"x": self.x[rows], "y": self.y[rows]})

    def sources(self, epoch: int, step: int) -> list[str]:
        rows = self.order(epoch).reshape(self.steps, -1)[step]
        return [f"recording-{row}" for row in rows]


def net(drop: float = 0.2) -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    given = keras.Input((8, 6))
    x = layers.Reshape((8, 6, 1))(given)
    x = layers.Conv2D(8, 3, padding="same")(x)
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.BatchNormalization(synchronized=True)(x)
    x = layers.Dropout(drop, seed=3)(layers.Activation("hard_silu")(x))
    return keras.Model(given, layers.Dense(1, dtype="float32")(layers.Flatten()(x)))


def loss(
    model: keras.Model, batch: dict[str, Any], seed: Any, noise: float = 0.01
) -> tuple[Any, dict[str, Any]]:
    x = batch["x"] + noise * tf.random.stateless_normal(tf.shape(batch["x"]), seed)
    error = tf.reduce_mean((model(x, training=True) - batch["y"]) ** 2, axis=1)
    return error, {"root": tf.sqrt(error)}


def validate(model: keras.Model) -> Mapping[str, float]:
    data = Numbers()
    error = (model(data.x, training=False).numpy() - data.y) ** 2
    return {"error": float(error.mean())}


def train(
    run: Run | None, settings: Settings, data: Numbers, ranks: Ranks, plain: bool = False
) -> Result:
    """`plain` is without what each device draws for itself."""
    held = []

    def kept() -> keras.Model:
        held.append(net(0.0 if plain else 0.2))
        if plain and run:  # as a file of weights to start from is read
            held[0].weights[-1].assign([0.1])
        return held[0]

    asked = functools.partial(loss, noise=0.0 if plain else 0.01)
    optimizer = lambda: keras.optimizers.AdamW(settings.rate, weight_decay=0.01)  # noqa: E731
    result = fit(kept, optimizer, asked, data, validate, run, settings, ranks)
    learnt = b"".join(array.tobytes() for array in variables(held[0]).values())
    say(f"weights {hashlib.sha256(learnt).hexdigest()}")
    return result


def toy(root: str, *, fault: str = "", bad: int = -1, name: str = "a", go_back: int = -1,
        stop_at: int = -1, threads: int = 1, devices: int = 1, plain: bool = False,
        **changes: Any) -> int:  # fmt: skip
    """A training script's `main`; returns the exit code."""
    os.environ["MELMILL_FAULT"] = fault
    settings = replace(SETTINGS, **changes)

    def work() -> None:
        ranks, data = logical(threads, devices), Numbers(bad)
        if ranks.rank == ranks.world - 1:  # the others learn of it from this one
            asked_to_stop(stop_at)
        if not ranks.first:
            train(None, settings, data, ranks, plain)
            return
        with opened(
            Path(root), "toy", asdict(settings), {"r": "key"}, name=name, threads=threads,
            ranks=ranks.world,
        ) as run:  # fmt: skip
            if go_back >= 0:
                Checkpoints(run.folder).go_back(go_back)
                run.mark("unfinished")  # as every script does
            train(run, settings, data, ranks, plain)

    return main(work)


def asked_to_stop(step: int) -> None:
    """Before this process' `step`-th step."""
    calls = itertools.count(1)

    def point(name: str) -> None:
        if next(calls) == step:
            os.kill(os.getpid(), signal.SIGTERM)
        fault_point(name)

    vars(keras_fit).update(fault_point=point)


def logical(threads: int, devices: int) -> Ranks:
    """So many devices on one CPU."""
    if devices == 1:
        return joined(threads)
    whole = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * devices
    tf.config.set_logical_device_configuration(whole, parts)
    joined(threads)
    return Ranks(tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(devices)]))


if __name__ == "__main__":
    sys.exit(toy(sys.argv[1], **json.loads(sys.argv[2])))
