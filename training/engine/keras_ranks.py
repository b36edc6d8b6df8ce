"""The devices and processes of one TensorFlow run: one, several GPUs, or several machines.

Reads: TF_CONFIG, where several processes train together, and the GPUs that are there. Does: picks
the strategy, fixes threads and makes every operation deterministic before TensorFlow computes
anything; sums numbers and sends bytes between processes. Writes nothing.
"""

import contextlib
import functools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from training.errors import Changed, RunError

# What a process meets that waits for one that is gone.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)
CHUNK = 1 << 20  # bytes sent at once


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
        return [float(value) for value in self._summed(np.array(values, np.float64))]

    def told(self, values: Sequence[float]) -> list[float]:
        """The first process's values."""
        return self.total(values if self.first else [0.0] * len(values))

    def sent(self, data: bytes) -> bytes:
        """The first process's bytes."""
        if self.world == 1:
            return data
        (size,) = map(int, self.told([len(data)]))
        found = np.zeros(-(-size // CHUNK) * CHUNK, np.uint8)  # whole chunks: one traced function
        if self.first:
            found[:size] = np.frombuffer(data, np.uint8)
        for at in range(0, size, CHUNK):
            found[at : at + CHUNK] = self._summed(found[at : at + CHUNK].astype(np.int32))
        return found[:size].tobytes()

    def part(self) -> None:
        """Where all of them end together: none may go while another one still reads from it."""
        if self.world > 1:
            with contextlib.suppress(*LOST):
                self.total([0.0])

    def _summed(self, mine: np.ndarray) -> np.ndarray:
        """Over all processes; the first device of each gives `mine`, the others nothing."""

        def of(device: Any) -> Any:
            own = device.replica_id_in_sync_group % self.parts == 0
            return tf.constant(mine if own else np.zeros_like(mine))

        given = self.strategy.experimental_distribute_values_from_function(of)
        found: np.ndarray = _sum(self.strategy)(given).numpy()
        return found


@functools.cache
def _sum(strategy: Any) -> Any:
    """The sum over all devices of a value of each, traced once for each shape."""

    def everywhere(value: Any) -> Any:
        # identity: a value from outside of the function has no device that the sum could go to
        own = tf.identity(value)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own)

    @tf.function
    def summed(value: Any) -> Any:
        return strategy.experimental_local_results(strategy.run(everywhere, (value,)))[0]

    return summed


def threads_fixed(threads: int) -> None:
    """Compute with so many threads from now on: another number may sum in another order.

    They all work on one operation at a time. Two at once share the threads as it happens, and a
    convolution's gradient was seen to differ in its last bits from one run to the next.
    """
    config = tf.config.threading
    if config.get_intra_op_parallelism_threads() != threads:
        try:
            config.set_intra_op_parallelism_threads(threads)
            config.set_inter_op_parallelism_threads(1)
        except RuntimeError as error:
            raise RunError(
                "TensorFlow computes already, with another number of threads",
                expected=threads,
                got=config.get_intra_op_parallelism_threads(),
                do="begin the run in a process of its own",
            ) from error


def place() -> tuple[int, int]:
    """Our number among the processes that TF_CONFIG names, and how many they are."""
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        told = json.loads(text)
        world = len(told.get("cluster", {}).get("worker", []))
        rank = int(told["task"]["index"]) if world > 1 else 0
    except (ValueError, KeyError, TypeError, AttributeError):
        rank, world = -1, 1
    if not 0 <= rank < max(1, world):
        wanted = "a cluster's workers, and a task with the index of one of them"
        raise Changed("names no place among processes", "TF_CONFIG", wanted, f"{text:.200}")
    return (rank, world) if world > 1 else (0, 1)


def replicas() -> int:
    """Devices over all processes, as many on each."""
    return max(1, len(tf.config.list_physical_devices("GPU"))) * place()[1]


@functools.cache
def joined(threads: int) -> Ranks:
    """Get ready to compute, alone or with the others: once in a process."""
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
