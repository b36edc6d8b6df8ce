"""The processes of one training run: one, or several under torchrun.

Reads torchrun's environment. Does: joins them, sums numbers and sends bytes between them. The first
one decides and writes; the others follow. Writes nothing.
"""

import contextlib
import datetime
import os
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist

PATIENCE = datetime.timedelta(hours=2)  # the others wait while the first one scores


@dataclass(frozen=True)
class Ranks:
    """Our place among the processes."""

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def first(self) -> bool:
        return self.rank == 0

    def total(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes."""
        if self.world == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return [float(value) for value in tensor.tolist()]

    def told(self, values: Sequence[float]) -> list[float]:
        """The first process's values."""
        return self.total(values if self.first else [0.0] * len(values))

    def sent(self, data: bytes) -> bytes:
        """The first process's bytes."""
        if self.world == 1:
            return data
        (size,) = self.told([len(data)])
        tensor = torch.zeros(int(size), dtype=torch.uint8, device=self.device)
        if self.first and data:
            tensor.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        dist.broadcast(tensor, 0)
        return tensor.cpu().numpy().tobytes()


@contextlib.contextmanager
def joined(device: str = "") -> Iterator[Ranks]:
    """Join the processes that torchrun started, or be the only one."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if not device:
        device = f"cuda:{local}" if torch.cuda.is_available() else "cpu"
    where = torch.device(device)
    if where.type == "cuda":
        torch.cuda.set_device(where)
        torch.backends.cudnn.deterministic = True  # the fastest kernels add up in any order
    if world == 1:
        yield Ranks(device=where)
        return
    dist.init_process_group("nccl" if where.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(rank, world, where)
    except BaseException as error:
        _forget(error)
        raise
    finally:
        dist.destroy_process_group()


def _forget(error: BaseException | None) -> None:
    """Drop what the ended functions behind an error hold, the net among it.

    A DistributedDataParallel keeps the group alive. Were it the last to do so, it would wait, with
    the interpreter's lock held, for a thread of gloo that may be waiting for that lock to give back
    the last tensor it summed: seen as a process that never ends. Let go before the group is
    destroyed, which is done without the lock.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
