"""`python -m tests.bench.training_once INDEX wait PROFILE BATCH STEPS | memory PART EPOCHS`

One training run in a process of its own, as a user's is, on every core, with 16 MB shuffled at once
for `memory` and what a profile has for `wait`. Reads: an index of mixtures. Writes: a run in a
temporary folder; on stdout a line of JSON with what the run cost.
"""

import dataclasses
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from training.data import torch_data
from training.data.index import Index, load_index
from training.data.torch_data import Mixtures
from training.denoiser.loss import make_loss
from training.denoiser.net import make_net
from training.denoiser.profiles import PROFILES
from training.denoiser.train import Objective
from training.engine.keeper import Keeper
from training.engine.settings import Settings
from training.engine.torch_fit import fit
from training.engine.torch_ranks import Ranks
from training.run import opened

SHUFFLED = 16 << 20  # bytes
BATCH = 16


class Watched:
    """The first steps of each epoch; when each was asked for, and had."""

    def __init__(self, mixtures: Mixtures, steps: int) -> None:
        self.mixtures, self.steps = mixtures, min(steps, mixtures.steps)
        self.asked: list[float] = []
        self.had: list[float] = []

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Mapping[str, Any]]:
        made = self.mixtures.epoch(epoch, first)
        try:
            for _ in range(first, self.steps):
                self.asked.append(time.monotonic())
                batch = next(made)
                self.had.append(time.monotonic())
                yield batch
        finally:  # the engine asks for no more than it takes
            self.asked.append(time.monotonic())
            made.close()  # type: ignore[attr-defined]


def wait(index: Index, name: str, batch: int, steps: int) -> dict[str, float]:
    """Seconds of a step, waited for a batch, for the first one of an epoch, and of a save."""
    profile, rate = PROFILES[name], int(index.recipe["audio"]["rate"])
    net = make_net(profile.arch, rate)
    data = Watched(Mixtures([index], batch, online=profile.online), steps)
    settings = dataclasses.replace(profile.settings, epochs=2, budget=0.0)
    optimizer = torch.optim.AdamW(net.parameters())
    saves: list[float] = []

    def validate(net: nn.Module) -> dict[str, float]:
        return {settings.score.lstrip("-"): float(len(saves))}

    save = Keeper.save

    def timed(self: Keeper, *, best: bool = False) -> None:
        save(self, best=best)
        saves.append(self.last)

    Keeper.save = timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder), "bench", {}, {}) as run:
        loss = Objective(make_loss(profile.loss, rate))
        fit(net, optimizer, loss, data, validate, run, settings, Ranks())
    second = data.steps + 1  # the second epoch's begin: each ends with a time that nothing was had
    asked, had = data.asked[second:], data.had[data.steps :]
    waits = [b - a for a, b in zip(asked, had, strict=False)]
    took = [b - a for a, b in itertools.pairwise(asked)]
    return {
        "step": sum(took[1:]) / len(took[1:]),
        "wait": sum(waits[1:]) / len(waits[1:]),
        "begin": waits[0],
        "save": max(saves),
    }


def memory(index: Index, part: int, epochs: int) -> list[int]:
    """Bytes resident after each epoch over one of so many parts of the shards, with a tiny net."""
    torch_data.SHUFFLED = SHUFFLED
    train = [shard for shard in index.entries if shard.split == "train"]
    some = tuple(train[: max(1, len(train) // part)])
    data = Mixtures([dataclasses.replace(index, entries=some)], BATCH)
    net = nn.PReLU()
    resident: list[int] = []

    def loss(net: nn.Module, batch: dict[str, Any]) -> Tensor:
        return nn.functional.mse_loss(net(batch["noisy"]), batch["clean"])

    def validate(net: nn.Module) -> dict[str, float]:
        resident.append(psutil.Process().memory_info().rss)
        return {"loss": 1.0}

    optimizer = torch.optim.SGD(net.parameters())
    settings = Settings(epochs=epochs, schedule="constant", stop=0)
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder), "bench", {}, {}) as run:
        fit(net, optimizer, loss, data, validate, run, settings, Ranks())
    return resident


if __name__ == "__main__":
    path, what, of, *numbers = sys.argv[1:]
    found, counts = load_index(path), [int(number) for number in numbers]
    told = wait(found, of, *counts) if what == "wait" else memory(found, int(of), *counts)
    print(json.dumps(told))
