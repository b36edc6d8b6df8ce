"""How the processes of a run come together and part."""

import weakref
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
import torch.distributed as dist
from torch import nn

from training.engine.torch_ranks import joined


def test_an_error_holds_no_net_when_the_group_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A net that outlives the group waits for a thread that waits for it, now and then."""
    held: list[Callable[[], Any]] = []
    gone = []

    def learn() -> None:
        net = nn.Linear(1, 1)
        held.append(weakref.ref(net))
        raise ZeroDivisionError("a bad batch")

    def train() -> None:
        try:
            learn()
        except ZeroDivisionError:
            raise RuntimeError("while the first was being told")  # noqa: B904  (as a full disk does)

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(dist, "init_process_group", lambda *args, **more: None)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: gone.append(held[0]() is None))
    with pytest.raises(RuntimeError, match="told"), joined("cpu"):
        train()
    assert gone == [True]


def test_a_gpu_convolves_in_the_same_order_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", asked.append)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)  # and so again afterwards
    with joined("cpu"):
        assert not torch.backends.cudnn.deterministic
    with joined("cuda:0") as ranks:
        assert asked == [ranks.device]
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark  # which would choose by the clock
