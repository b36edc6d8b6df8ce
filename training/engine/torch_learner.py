"""One step of learning: loss, gradient, update, running average.

Reads and writes no files. Does: mixed precision, clipping, the rate of each parameter group, the
random numbers of a step. Knows neither the model nor the loop.
"""

import copy
import hashlib
import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.engine.settings import Settings
from training.engine.torch_ranks import Ranks

Batch = dict[str, Any]  # numbers as tensors on the device; byte strings as NumPy arrays
Loss = Callable[[nn.Module, Batch], "Tensor | tuple[Tensor, Mapping[str, Tensor]]"]


def seed_all(*parts: object) -> None:
    """Make every global generator a function of `parts`.

    Done at each step, so that what a step draws depends on its number alone: there is no state to
    lose when a run is stopped, and no draw elsewhere can shift it.
    """
    word = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    torch.manual_seed(int.from_bytes(word[:8], "little"))
    np.random.seed(int.from_bytes(word[8:12], "little"))  # noqa: NPY002  (what losses may use)
    random.seed(word[12:])


def moved(batch: Mapping[str, Any], device: torch.device) -> Batch:
    """The batch's numbers on the device; byte strings (names of recordings) stay as they are."""
    return {name: _moved(value, device) for name, value in batch.items()}


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiub":
            return value
        value = torch.from_numpy(np.ascontiguousarray(value))
    if device.type == "cuda" and not value.is_cuda:  # pinned: the copy need not be waited for
        return (value if value.is_pinned() else value.pin_memory()).to(device, non_blocking=True)
    return value.to(device)


def names(batch: Batch) -> str:
    """Which recordings are in a batch, those with values that are not numbers if there are any."""
    floats = [v for v in batch.values() if isinstance(v, torch.Tensor) and v.is_floating_point()]
    bad = [~torch.isfinite(v.reshape(len(v), -1)).all(1) for v in floats if v.ndim and v.numel()]
    rows = torch.stack(bad).any(0).nonzero().flatten().tolist() if bad else []
    said = f"; its examples {rows} hold values that are not numbers" if rows else ""
    for name, value in batch.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "S":
            held = [item.decode(errors="replace")[:16] for item in (value[rows] if rows else value)]
            said += f"; {name}: {', '.join(dict.fromkeys(held))}"
    return said


class Learner:
    """`values = gradient(batch, ...)`, then `apply()` unless they are no numbers."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Loss,
        settings: Settings,
        ranks: Ranks,
    ) -> None:
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.settings, self.ranks = settings, ranks
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.dtype = _dtype(settings.precision, ranks.device)
        scaled = self.dtype is torch.float16  # its smallest numbers are too large for gradients
        self.scaler = torch.amp.GradScaler(ranks.device.type, enabled=scaled)
        self.updates = 0
        self.net = model
        if ranks.world > 1:
            self.net = nn.parallel.DistributedDataParallel(model)  # takes over the first's weights
        self.ema = copy.deepcopy(model).requires_grad_(False).eval() if settings.ema else None

    def gradient(self, batch: Batch, step: int, epoch: int, rate: float) -> dict[str, float]:
        """The loss, the gradient's norm before clipping, and what else the loss reports."""
        seed_all(self.settings.seed, self.ranks.rank, step)
        for group in self.optimizer.param_groups:
            held = epoch < group.get("frozen", 0)  # epochs that a group keeps still
            group["lr"] = 0.0 if held else rate * group.get("scale", 1.0)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        kind = self.ranks.device.type
        with torch.autocast(kind, self.dtype, enabled=self.dtype is not torch.float32):
            result = self.loss(self.net, batch)
        loss, more = result if isinstance(result, tuple) else (result, {})
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = self._clipped()
        found = {"loss": loss, "grad_norm": norm, **more}
        numbers = torch.stack([value.detach().float().reshape(()) for value in found.values()])
        return dict(zip(found, numbers.tolist(), strict=True))  # the step's one wait for the device

    def _clipped(self) -> Tensor:
        if self.settings.clip:
            return nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
        return nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])

    def bad(self, values: Mapping[str, float]) -> str:
        """What must not be learnt from, in words. The scaler itself skips a few infinite ones."""
        if not np.isfinite(values["loss"]):
            return f"the loss is {values['loss']}"
        skipped = self.scaler.is_enabled() and self.scaler.get_scale() >= 1.0
        if not np.isfinite(values["grad_norm"]) and not skipped:
            return f"the norm of the gradient is {values['grad_norm']}"
        return ""

    def apply(self) -> None:
        """Take the step."""
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.updates += 1
        if self.ema is not None:
            decay = min(self.settings.ema, (1 + self.updates) / (10 + self.updates))
            average(self.ema, self.model, decay)

    @property
    def scored(self) -> nn.Module:
        """The weights that are judged and kept for use, ready for evaluation."""
        return self.model.eval() if self.ema is None else self.ema

    def finite(self) -> bool:
        """Whether all weights are numbers."""
        held = (t for t in self.model.state_dict().values() if t.is_floating_point())
        return bool(torch.stack([torch.isfinite(t).all() for t in held]).all())

    def state(self) -> dict[str, Any]:
        """Everything a step depends on, besides its batch and number; tensors as arrays."""
        held = {
            "model": dict(self.model.state_dict()),
            "ema": dict(self.ema.state_dict()) if self.ema is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "updates": self.updates,
        }
        found: dict[str, Any] = arrays(held)
        return found

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state."""
        state = tensors(state)
        self.model.load_state_dict(state["model"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.updates = state["updates"]


def arrays(tree: Any) -> Any:
    """A state with arrays in place of its tensors, as a checkpoint holds it."""
    return _each(tree, Tensor, lambda tensor: tensor.detach().cpu().numpy())


def tensors(tree: Any) -> Any:
    """Back, in memory of torch's own: kernels may sum in another order where it is not aligned."""
    return _each(tree, np.ndarray, lambda array: torch.tensor(array))


def _each(tree: Any, kind: type, changed: Callable[[Any], Any]) -> Any:
    if isinstance(tree, Mapping):
        return {key: _each(value, kind, changed) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_each(value, kind, changed) for value in tree)
    return changed(tree) if isinstance(tree, kind) else tree


@torch.no_grad()
def average(kept: nn.Module, new: nn.Module, decay: float) -> None:
    """kept <- decay kept + (1 - decay) new; whole numbers (counters) are taken over."""
    for old, now in zip(kept.state_dict().values(), new.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(now, 1.0 - decay)
        else:
            old.copy_(now)


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision == "auto" and device.type == "cuda":
        capable = torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bf16" if capable else "fp16"
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
