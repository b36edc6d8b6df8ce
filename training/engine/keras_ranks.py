"""The devices and processes of one TensorFlow run: one, several GPUs, or several machines.

Reads: TF_CONFIG, where several processes train together, and the GPUs that are there. Does: picks
the strategy, fixes threads and makes every operation deterministic before TensorFlow computes
anything; sums numbers and sends bytes between processes. Writes nothing.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from training.errors import RunError

CHUNK = 1 << 20  # numbers summed at once when bytes are sent


@dataclass(frozen=True)
class Ranks:
    """Our place among the processes, and the devices of each."""

    strategy: Any
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def replicas(self) -> int:
        """Devices over all processes; each gets an equal part of every batch."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def parts(self) -> int:
        """Devices of this process."""
        return self.replicas // self.world

    def total(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes."""
        if self.world == 1:
            return [float(value) for value in values]
        mine = tf.constant([float(value) / self.parts for value in values], tf.float64)
        return [float(value) for value in self._summed(mine).numpy()]

    def told(self, values: Sequence[float]) -> list[float]:
        """The first process's values."""
        return self.total(values if self.first else [0.0] * len(values))

    def sent(self, data: bytes) -> bytes:
        """The first process's bytes."""
        if self.world == 1:
            return data
        (size,) = map(int, self.told([len(data)]))
        found = np.zeros(size, np.uint8)
        held = np.frombuffer(data, np.uint8) if self.first else found
        for at in range(0, size, CHUNK):
            part = tf.constant(held[at : at + CHUNK], tf.float64) / self.parts
            found[at : at + CHUNK] = self._summed(part).numpy().round()
        return found.tobytes()

    def _summed(self, mine: Any) -> Any:
        return _sum(self.strategy, mine)


def _sum(strategy: Any, mine: Any) -> Any:
    @tf.function
    def summed(value: Any) -> Any:
        def everywhere(value: Any) -> Any:
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)

        return strategy.experimental_local_results(strategy.run(everywhere, (value,)))[0]

    return summed(mine)


def threads_fixed(threads: int) -> None:
    """Compute with so many threads from now on: another number may sum in another order."""
    config = tf.config.threading
    if config.get_intra_op_parallelism_threads() != threads:
        try:
            config.set_intra_op_parallelism_threads(threads)
            config.set_inter_op_parallelism_threads(threads)
        except RuntimeError as error:
            raise RunError(
                "TensorFlow computes already, with another number of threads",
                expected=threads,
                got=config.get_intra_op_parallelism_threads(),
                do="begin the run in a process of its own",
            ) from error


def place() -> tuple[int, int]:
    """Our number among the processes that TF_CONFIG names, and how many they are."""
    told = json.loads(os.environ.get("TF_CONFIG") or "{}")
    world = len(told.get("cluster", {}).get("worker", []))
    return (int(told["task"]["index"]), world) if world > 1 else (0, 1)


def replicas() -> int:
    """Devices over all processes, as many on each."""
    return max(1, len(tf.config.list_physical_devices("GPU"))) * place()[1]


def joined(threads: int) -> Ranks:
    """Get ready to compute, alone or with the others."""
    gpus = tf.config.list_physical_devices("GPU")
    threads_fixed(threads)
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_op_determinism()
    rank, world = place()
    if world > 1:
        return Ranks(tf.distribute.MultiWorkerMirroredStrategy(), rank, world)
    return Ranks(
        tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()
    )
