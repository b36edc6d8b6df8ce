"""What a torch learner knows goes through a checkpoint and back; the precision it takes."""

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from training.engine.checkpoint import pack, unpack
from training.engine.settings import Settings
from training.engine.torch_learner import Learner, arrays, tensors
from training.engine.torch_ranks import Ranks


def kept(state: Any) -> Any:
    return tensors(unpack(b"".join(pack(arrays(state)))))


def test_a_real_optimizer_goes_on_from_it() -> None:
    def step(net: Any, optimizer: Any) -> Any:
        optimizer.zero_grad()
        net(torch.ones(2, 3)).sum().backward()
        optimizer.step()
        return net.weight.detach().clone()

    nets = [torch.nn.Linear(3, 2) for _ in range(2)]
    adams = [torch.optim.Adam(net.parameters(), lr=0.1) for net in nets]
    step(nets[0], adams[0])
    state = kept([nets[0].state_dict(), adams[0].state_dict()])
    nets[1].load_state_dict(state[0])
    adams[1].load_state_dict(state[1])
    assert torch.equal(step(nets[0], adams[0]), step(nets[1], adams[1]))


def test_tensors_come_back_in_memory_of_their_own() -> None:
    """Aligned as any other: kernels may sum in another order where memory is not."""
    made = kept({"a": torch.ones(3, dtype=torch.uint8), "b": torch.ones(1000)})
    assert made["b"].data_ptr() % 64 == torch.ones(1000).data_ptr() % 64 == 0
    made["b"].add_(1)


def test_numbers_of_no_array_come_back_as_they_are() -> None:
    held = {"groups": [{"betas": (0.9, 0.999), 0: None}], "none": torch.tensor(3)}
    again = kept(held)
    assert again["groups"] == held["groups"]
    assert again["none"].shape == ()
    assert again["none"].dtype == torch.int64


@pytest.mark.parametrize(
    ("device", "major", "dtype"),
    [("cuda", 7, torch.float16), ("cuda", 8, torch.bfloat16), ("cpu", 8, torch.float32)],
)
def test_the_precision_is_one_that_the_device_computes_in(
    monkeypatch: pytest.MonkeyPatch, device: str, major: int, dtype: torch.dtype
) -> None:
    """A T4 or V100 (7) has tensors of bfloat16, but no arithmetic for them."""
    card = SimpleNamespace(major=major)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda device: True)
    net = torch.nn.Linear(1, 1)
    learner = Learner(
        net, torch.optim.Adam(net.parameters()), lambda net, batch: net(batch["x"]).sum(),
        Settings(precision="auto"), Ranks(device=torch.device(device)),
    )  # fmt: skip
    assert learner.dtype is dtype
    assert learner.scaler.is_enabled() == (dtype is torch.float16)
