"""Trains one denoiser: from recipes and a profile to a finished run.

Reads: the recipes' indexes and shards, and the run to start from when one is named. Does: builds
the network, its optimizer, the batches and the validation, and hands them to the engine. Writes:
the run's folder, through the engine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.data.batches import Share
from training.data.index import DataError, Index, load_indexes
from training.data.torch_data import Mixtures, some_pairs
from training.denoiser.loss import make_loss
from training.denoiser.metrics import si_sdr_gain
from training.denoiser.net import Denoiser, encoder_parameters, make_net
from training.denoiser.profiles import Profile, profile_of
from training.denoiser.systems import at_rate
from training.engine import torch_fit as engine
from training.engine.checkpoint import Checkpoints, best_hash, used, weights
from training.engine.torch_learner import Batch, Loss, tensors
from training.engine.torch_ranks import Ranks
from training.errors import Changed
from training.run import opened, read_config
from training.runs import named

MODEL = "denoiser"
HEARD = 25  # mixtures validated at once
VALID = 300  # mixtures that an epoch is judged by, over all recipes; 100 MB at 22.05 kHz
DECAY = 0.01  # AdamW's
MIXERS = 4  # threads that mix beside a GPU; on a CPU they would only take time from the network
QUIET = 1e-4  # level of a clean wave below which a gain says nothing, -80 dBFS


@dataclass(frozen=True)
class Trained:
    """A run's network, ready for use."""

    folder: Path
    net: Denoiser
    rate: int  # Hz
    facts: dict[str, Any]


def folder_of(artifacts: Path, run: str) -> Path:
    return artifacts / "runs" / MODEL / run


def trained(folder: Path) -> Trained:
    """The best weights of a run, on the GPU where there is one."""
    facts = read_config(folder)
    net = make_net(facts["config"]["arch"], facts["config"]["rate"])
    net.load_state_dict(tensors(weights(used(folder)[1]["learner"])))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Trained(folder, net.eval().to(device), facts["config"]["rate"], facts)


def configuration(
    artifacts: Path, recipes: Sequence[str], profile: Profile, init: str
) -> dict[str, Any]:
    """What determines a new run's weights, with its data's keys."""
    if not recipes:
        raise Changed("no recipe", "RECIPE", "names or .toml files")
    rates = [int(index.recipe["audio"]["rate"]) for index in load_indexes(artifacts, recipes)]
    config = {**profile.config(), "recipes": list(recipes), "rate": min(rates)}
    if init:
        config["init"] = _start(named(artifacts, init, MODEL), profile.arch, min(rates))
    return config


def _start(folder: Path, arch: str, rate: int) -> dict[str, str]:
    """The run to start from, and its weights' hash; refused when they do not fit the network."""
    facts = read_config(folder)["config"]
    shapes = [
        {name: tuple(t.shape) for name, t in make_net(*one).state_dict().items()}
        for one in ((arch, rate), (facts["arch"], facts["rate"]))
    ]
    if shapes[0] != shapes[1]:
        raise Changed(
            "a network of another shape to start from",
            folder,
            f"{arch} for {rate} Hz",
            f"{facts['arch']} for {facts['rate']} Hz",
            "give ARCH= as there; a spec net starts from one of its own rate, a unet from any",
        )
    return {"run": folder.name, "checkpoint": best_hash(folder)}


def train(
    artifacts: Path, config: Mapping[str, Any], name: str, ranks: Ranks, *, checkpoint: int = -1
) -> tuple[Path, engine.Result] | None:
    """Train to the end, from wherever the run is; None on all processes but the first.

    What cannot be trained from is found before there is a run.
    """
    indexes = load_indexes(artifacts, config["recipes"])
    settings = profile_of(config).settings
    parts = _parts(config, indexes, ranks)
    if not ranks.first:
        engine.fit(*parts, None, settings, ranks)
        return None
    data = {index.name: index.key for index in indexes}
    with opened(artifacts, MODEL, config, data, name=name, ranks=ranks.world) as run:
        if checkpoint >= 0:
            Checkpoints(run.folder).go_back(checkpoint)
            run.mark("unfinished")
        if config.get("init") and not Checkpoints(run.folder).all():
            _begin_from(parts[0], folder_of(artifacts, config["init"]["run"]), config["init"])
        return run.folder, engine.fit(*parts, run, settings, ranks)


def _parts(
    config: Mapping[str, Any], indexes: Sequence[Index], ranks: Ranks
) -> tuple[nn.Module, torch.optim.Optimizer, Loss, engine.Data, engine.Validate]:
    """What the engine is given; the first process's weights become those of all."""
    profile, rate = profile_of(config), int(config["rate"])
    torch.manual_seed(profile.settings.seed)
    net = make_net(profile.arch, rate).to(ranks.device)
    loss = make_loss(profile.loss, rate).to(ranks.device)
    data = Mixtures(
        indexes, profile.batch, seed=profile.settings.seed, online=profile.online, rate=rate,
        share=Share(ranks.rank, ranks.world),
        workers=MIXERS if ranks.device.type == "cuda" else 1,
    )  # fmt: skip
    validation = Validation(indexes, rate, loss) if ranks.first else engine.nothing
    optimizer = _optimizer(profile, net, frozen="init" in config)
    return net, optimizer, Objective(loss), data, validation


def _optimizer(profile: Profile, net: nn.Module, *, frozen: bool) -> torch.optim.Optimizer:
    """A net that was trained before keeps its encoder still for the first epoch."""
    encoder = encoder_parameters(net)
    held = {id(parameter) for parameter in encoder}
    groups: list[dict[str, Any]] = [
        {"params": encoder, "frozen": int(frozen)},
        {"params": [p for p in net.parameters() if id(p) not in held]},
    ]
    rate = profile.settings.rate
    if profile.optimizer == "adam":
        return torch.optim.Adam(groups, rate)
    return torch.optim.AdamW(groups, rate, betas=(0.9, 0.99), weight_decay=DECAY)


def _begin_from(net: nn.Module, folder: Path, init: Mapping[str, str]) -> None:
    other = trained(folder)
    if best_hash(folder) != init["checkpoint"]:
        raise Changed(
            "the run to start from has learnt more since", folder, do="name a new run with RUN="
        )
    net.load_state_dict(other.net.state_dict())


class Objective:
    """The loss of a step, and the gain in SI-SDR of its mixtures over doing nothing."""

    def __init__(self, loss: nn.Module) -> None:
        self.loss = loss

    def __call__(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        noisy, clean = batch["noisy"], batch["clean"]
        estimate = net(noisy)
        with torch.no_grad():
            gain = _gain(estimate.float(), noisy, clean)
        return self.loss(estimate, clean), {"si_sdr_gain": gain}


def _gain(estimate: Tensor, noisy: Tensor, clean: Tensor) -> Tensor:
    """dB, the mean over examples that hold both speech and noise; 0 when there are none."""
    counts = (clean.square().mean(-1) > QUIET**2) & ((noisy - clean).square().mean(-1) > QUIET**2)
    gains = _ratio(estimate, clean) - _ratio(noisy, clean)  # nan where there is silence
    return torch.where(counts, gains, 0.0).sum() / counts.sum().clamp(min=1)


def _ratio(wave: Tensor, clean: Tensor) -> Tensor:
    """SI-SDR in dB, for the progress line; scores are taken in float64 by metrics.py."""
    wave, clean = wave - wave.mean(-1, keepdim=True), clean - clean.mean(-1, keepdim=True)
    factor = (wave * clean).sum(-1, keepdim=True) / clean.square().sum(-1, keepdim=True)
    target = factor * clean
    error = (wave - target).square().sum(-1)
    return 10 * (target.square().sum(-1) / error.clamp(min=1e-12)).clamp(min=1e-10).log10()


class Validation:
    """Up to VALID mixtures of the validation splits, held in memory, drawn without favour."""

    def __init__(self, indexes: Sequence[Index], rate: int, loss: nn.Module) -> None:
        self.loss = loss
        each = max(1, VALID // len(indexes))
        self.batches = [batch for index in indexes for batch in _held(index, rate, each)]

    def __call__(self, net: nn.Module) -> dict[str, float]:
        device = next(net.parameters()).device
        losses, gains = [], []
        for noisy, clean in self.batches:
            estimate = net(torch.from_numpy(noisy).to(device)).float()
            size = len(noisy)
            losses.append(size * float(self.loss(estimate, torch.from_numpy(clean).to(device))))
            gains.append(si_sdr_gain(estimate.cpu().numpy(), noisy, clean))
        count = sum(len(noisy) for noisy, _ in self.batches)
        gain = float(np.nanmean(np.concatenate(gains)))
        return {"loss": sum(losses) / count, "si_sdr_gain": gain}


def _held(index: Index, rate: int, most: int) -> list[tuple[np.ndarray, np.ndarray]]:
    own = int(index.recipe["audio"]["rate"])
    names = ("noisy", "clean")
    kept: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for batch in some_pairs(index, "valid", most, HEARD):
        for name in names:
            kept[name].append(at_rate(batch[name], own, rate))
    if not kept["noisy"]:
        raise DataError(
            "nothing to validate with",
            index.folder,
            "mixtures in the split valid",
            0,
            "add recordings of more speakers",
        )
    noisy, clean = (np.concatenate(kept[name]) for name in names)
    return [(noisy[at : at + HEARD], clean[at : at + HEARD]) for at in range(0, len(noisy), HEARD)]
