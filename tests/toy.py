"""A tiny training run, to be killed and taken up again in every way.

Reads nothing. Does: fits a small net, with dropout, batch statistics and draws from all three
global generators, to 48 examples. Writes: a run folder, where it is told.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.data.batches import _ahead
from training.engine.checkpoint import Checkpoints
from training.engine.settings import Settings
from training.engine.torch_fit import Result, fit
from training.engine.torch_ranks import Ranks, joined
from training.run import Run, main, opened

EXAMPLES, BATCH = 48, 4
SETTINGS = Settings(
    epochs=5, rate=0.02, patience=1, stop=0, clip=1.0, ema=0.9, seed=7, save_steps=5,
    save_seconds=0, log_steps=4, score="-error",
)  # fmt: skip


class Numbers:
    """The task: y is a function of x. 12 steps an epoch on one process."""

    def __init__(
        self,
        rank: int = 0,
        world: int = 1,
        ahead: bool = False,
        bad: int = -1,
        stop_at: int = -1,
    ) -> None:
        draws = np.random.default_rng(1)
        self.x = draws.standard_normal((EXAMPLES, 8)).astype(np.float32)
        self.y = np.sin(self.x).sum(1, keepdims=True)
        self.source = np.array([b"recording-%d" % i for i in range(EXAMPLES)])
        if bad >= 0:
            self.x[bad, 3] = np.nan
        self.rank, self.world, self.ahead, self.stop_at = rank, world, ahead, stop_at

    @property
    def steps(self) -> int:
        return EXAMPLES // (BATCH * self.world)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Mapping[str, Any]]:
        made = self._made(epoch, first)
        return _ahead(made) if self.ahead else made

    def _made(self, epoch: int, first: int) -> Iterator[dict[str, np.ndarray]]:
        order = np.random.default_rng([3, epoch]).permutation(EXAMPLES)
        for step in range(first, self.steps):
            begin = (step * self.world + self.rank) * BATCH
            rows = order[begin : begin + BATCH]
            last = self.rank == self.world - 1  # the others learn of it from this one
            if last and epoch * self.steps + step + 1 == self.stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
            yield {"x": self.x[rows], "y": self.y[rows], "source": self.source[rows]}


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1)
    )


def loss(model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
    draw = np.random.standard_normal()  # noqa: NPY002  (the global generator, on purpose)
    shift = 0.01 * (draw + random.random() + torch.rand(()))
    error = ((model(batch["x"] + shift) - batch["y"]) ** 2).mean()
    return error, {"gain": -error.detach().log10()}


def validate(model: nn.Module) -> dict[str, float]:
    torch.rand(5)  # scoring may draw as well
    data = Numbers()
    error = ((model(torch.from_numpy(data.x)) - torch.from_numpy(data.y)) ** 2).mean()
    return {"error": float(error)}


def train(run: Run | None, settings: Settings, data: Numbers, ranks: Ranks) -> Result:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    return fit(model, optimizer, loss, data, validate, run, settings, ranks)


def toy(root: str, *, fault: str = "", ahead: bool = False, bad: int = -1, threads: int = 1,
        name: str = "a", go_back: int = -1, stop_at: int = -1, **changes: Any) -> int:  # fmt: skip
    """A training script's `main`; returns the exit code."""
    os.environ["MELMILL_FAULT"] = fault
    settings = replace(SETTINGS, **changes)

    def work() -> None:
        with joined() as ranks:
            data = Numbers(ranks.rank, ranks.world, ahead, bad, stop_at)
            if not ranks.first:
                train(None, settings, data, ranks)
                return
            config, size = asdict(settings), ranks.world
            with opened(
                Path(root), "toy", config, {"r": "key"}, name=name, threads=threads, ranks=size
            ) as run:
                if go_back >= 0:
                    Checkpoints(run.folder).go_back(go_back)
                    run.mark("unfinished")  # as every script does
                train(run, settings, data, ranks)

    return main(work)


if __name__ == "__main__":
    sys.exit(toy(sys.argv[1], **json.loads(sys.argv[2])))
