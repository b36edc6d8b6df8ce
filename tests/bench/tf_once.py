"""`python -m tests.bench.tf_once INDEX WHAT`: what feeding and training cost, in a process alone.

WHAT: `stream TIMES EPOCHS`, `memory TIMES EPOCHS held|streamed` or
`wait TIMES BACKBONE BATCH STEPS held|streamed`. Reads: an index of log-mel windows, each of its
shards so many times over. Does: streams it, or trains on it through the engine, on every core and
every example changed anew at every step; for memory with 16 MB shuffled at once. Writes: a run in a
temporary folder; on stdout a line of JSON with what that took.
"""

import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import psutil
import tensorflow as tf

from training.classifier.backbones import make_net
from training.classifier.loss import Objective
from training.classifier.profiles import Profile, chosen
from training.data import tf_data
from training.data.batches import Share
from training.data.fields import spectrum
from training.data.index import Index, load_index
from training.data.tf_data import Examples
from training.engine import keras_fit
from training.engine.keeper import Keeper
from training.engine.keras_ranks import Ranks, joined
from training.engine.memory import peak
from training.engine.progress import Progress
from training.run import cores, opened

BATCH = 32
SHUFFLED = 16 << 20  # bytes
TRACED = 3  # steps at a run's begin that are not counted
SETTLED = 1.0  # seconds that a GPU's busy share looks back on


def stream(index: Index, epochs: int) -> list[int]:
    """Bytes resident before the first epoch and after each."""
    tf_data.BUFFER = SHUFFLED
    examples = Examples(index, ["train"], BATCH, held=False)
    found = [psutil.Process().memory_info().rss]
    for epoch in range(epochs):
        for _ in examples.epoch(epoch):
            pass
        found.append(psutil.Process().memory_info().rss)
    return found


class Watched:
    """The first steps of each epoch; when each epoch was asked for."""

    def __init__(self, examples: Examples, steps: int) -> None:
        self.examples, self.batch = examples, examples.batch
        self.steps = min(steps, examples.steps)
        self.asked: list[float] = []

    def epoch(
        self,
        epoch: int,
        first: int = 0,
        share: Share = Share(),  # noqa: B008  (frozen)
        parts: int = 1,
    ) -> tf.data.Dataset:
        self.asked.append(time.monotonic())
        return self.examples.epoch(epoch, first, share, parts)

    def sources(self, epoch: int, step: int) -> list[str]:
        return self.examples.sources(epoch, step)


class Clock:
    """When each step began, and how long the run had waited for batches when it was done."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.waited: list[float] = []
        self.saves: list[float] = []
        step, save, saves, waited = Progress.step, Keeper.save, self.saves, self.waited

        def stepped(self: Progress, values: Mapping[str, float], examples: int, total: int) -> None:
            waited.append(self.waiting)
            step(self, values, examples, total)

        def saved(self: Keeper, *, best: bool = False) -> None:
            save(self, best=best)
            saves.append(self.last)

        Progress.step = stepped  # type: ignore[method-assign]
        Keeper.save = saved  # type: ignore[method-assign]
        vars(keras_fit)["fault_point"] = lambda _: self.begun.append(time.monotonic())


class Busy:
    """What nvidia-smi says of the GPUs, where there is one: per cent, several times a second."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []
        self.process: subprocess.Popen[str] | None = None
        asked = ("--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200")
        with contextlib.suppress(OSError):
            self.process = subprocess.Popen(
                ["nvidia-smi", *asked], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):
                self.seen.append((time.monotonic(), float(line) / 100))

    def share(self, begin: float, end: float) -> float | None:
        """On average between two times; None where nobody says."""
        if self.process:
            self.process.terminate()
            self.process.wait()
        told = [share for when, share in self.seen if begin + SETTLED <= when <= end]
        return sum(told) / len(told) if told else None


def wait(index: Index, name: str, batch: int, steps: int, held: bool) -> dict[str, float | None]:
    """Seconds of a step, waited for a batch, from an epoch's begin to its first batch, and of a
    save; and how busy a GPU was."""
    ranks, clock = joined(cores()), Clock()
    busy = Busy() if tf.config.list_physical_devices("GPU") else None
    field, statistics = spectrum(index), index.statistics[spectrum(index).name]
    profile = chosen("best", backbone=name, epochs=2)
    examples = Examples(index, ["train"], batch, fields=(field.name, "label"), held=held)
    data = Watched(examples, steps)

    def net() -> keras.Model:
        shape, classes = (field.shape[0], field.shape[1]), len(index.classes)
        return make_net(name, shape, classes, statistics.mean, statistics.deviation)

    fitted(index, data, profile, net, lambda _: None, ranks)
    n, begun, waited = data.steps, clock.begun, clock.waited
    took = [b - a for part in (begun[TRACED:n], begun[n:]) for a, b in pairs(part)]
    waits = [b - a for part in (waited[TRACED:n], waited[n:]) for a, b in pairs(part)]
    return {
        "step": sum(took) / len(took),
        "wait": sum(waits) / len(waits),
        "begin": begun[n] - data.asked[1] + waited[n] - waited[n - 1],
        "save": max(clock.saves),
        "busy": busy.share(begun[TRACED], begun[-1]) if busy else None,
    }


def pairs(values: list[float]) -> list[tuple[float, float]]:
    return list(zip(values, values[1:], strict=False))


def memory(index: Index, epochs: int, held: bool) -> dict[str, Any]:
    """Bytes at most, after each epoch, and written by a run that learns with a tiny net."""
    tf_data.BUFFER = SHUFFLED
    ranks, field, resident = joined(cores()), spectrum(index), list[int]()
    profile = chosen("demo", epochs=epochs)
    data = Examples(index, ["train"], BATCH, fields=(field.name, "label"), held=held)

    def net() -> keras.Model:
        answer = keras.layers.Dense(len(index.classes))
        layers = keras.Input(field.shape), keras.layers.GlobalAveragePooling1D(), answer
        return keras.Sequential(layers)

    def validate(_: keras.Model) -> None:
        resident.append(psutil.Process().memory_info().rss)

    written = fitted(index, data, profile, net, validate, ranks)
    return {"most": max(peak(), *resident), "resident": resident, "written": written}


def fitted(
    index: Index,
    data: keras_fit.Data,
    profile: Profile,
    net: Callable[[], keras.Model],
    validate: Callable[[keras.Model], None],
    ranks: Ranks,
) -> int:
    """Train as the classifier does; the bytes that the run wrote."""
    settings = dataclasses.replace(profile.settings, stop=0, schedule="constant")
    objective = Objective(profile, spectrum(index).name, index.recipe, [1] * len(index.classes))

    def scored(net: keras.Model) -> dict[str, float]:
        validate(net)
        return {"loss": 1.0}

    def optimizer() -> keras.optimizers.Optimizer:
        return keras.optimizers.AdamW(settings.rate, weight_decay=profile.decay)

    with tempfile.TemporaryDirectory() as folder, opened(Path(folder), "bench", {}, {}) as run:
        keras_fit.fit(net, optimizer, objective, data, scored, run, settings, ranks)
        return sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())


def main(path: str, what: str, times: str, *asked: str) -> Any:
    index = load_index(path)
    index = dataclasses.replace(index, entries=index.entries * int(times))
    if what == "stream":
        return stream(index, int(asked[0]))
    if what == "memory":
        return memory(index, int(asked[0]), asked[1] == "held")
    name, batch, steps, way = asked
    return wait(index, name, int(batch), int(steps), way == "held")


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
