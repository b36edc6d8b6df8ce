"""What a torch learner knows goes through a checkpoint and back."""

from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from training.engine.checkpoint import pack, unpack
from training.engine.torch_learner import arrays, tensors


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
