"""Trains one diarizer: from recipes and a profile to a finished run.

Reads: the recipes' indexes and shards, and the runs to start or to learn from when they are named.
Does: builds the network, its optimizer, the batches and the validation, and hands them to the
engine. Writes: the run's folder, through the engine.
"""

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from training import durable
from training.data.batches import Share
from training.data.index import Index, load_indexes
from training.diarizer.augment import Augment
from training.diarizer.loss import Objective
from training.diarizer.net import Diarizer
from training.diarizer.profiles import Profile, profile_of
from training.diarizer.sequences import Sequences, check, heard, voices
from training.diarizer.validation import Validation
from training.engine import torch_fit as engine
from training.engine.checkpoint import Checkpoints, best_hash, used, weights
from training.engine.torch_learner import Loss, tensors
from training.engine.torch_ranks import Ranks
from training.errors import Changed
from training.run import opened, read_config, read_state, say
from training.runs import named

MODEL = "diarizer"
DECAY = 0.01  # AdamW's
COST = "cost.json"
VOICES = "voices.json"


@dataclass(frozen=True)
class Trained:
    """A run's network, ready for use."""

    folder: Path
    net: Diarizer
    profile: Profile
    facts: dict[str, Any]
    alike: float | None = None  # cosine above which two voices are one person's; None: not found


def make_net(profile: Profile, mels: int, known: int = 0) -> Diarizer:
    return Diarizer(
        mels, profile.width, profile.blocks, profile.shorter, profile.answers, known=known
    )


def trained(folder: Path) -> Trained:
    """The best weights of a run, on the GPU where there is one."""
    facts = read_config(folder)
    config = facts["config"]
    profile = profile_of(config)
    net = make_net(profile, config["heard"]["feature"]["mels"], config["known"])
    net.load_state_dict(tensors(weights(used(folder)[1]["learner"])))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Trained(folder, net.eval().to(device), profile, facts, _alike(folder))


def _alike(folder: Path) -> float | None:
    """As it was found for these very weights."""
    told = durable.read_or(folder / VOICES, {}, say)
    return float(told["alike"]) if told.get("checkpoint") == best_hash(folder) else None


def configuration(
    artifacts: Path, recipes: Sequence[str], profile: Profile, init: str = "", teacher: str = ""
) -> dict[str, Any]:
    """What determines a new run's weights, with its data's keys."""
    if not recipes:
        raise Changed("no recipe", "RECIPE", "names or .toml files")
    indexes = load_indexes(artifacts, recipes)
    config = {
        **profile.config(), "recipes": list(recipes), "heard": _heard(indexes, profile),
        "known": len(voices(indexes)) if profile.voice else 0,
    }  # fmt: skip
    for key, run in (("init", init), ("teacher", teacher)):
        if run:
            folder = named(artifacts, run, MODEL)
            _check_alike(folder, config, key)
            if read_state(folder)["state"] != "finished":
                what = f"a run for {key.upper()}= that is not finished: it will have learnt more"
                raise Changed(what, folder, do=f"make resume RUN={folder.name}")
            config[key] = {"run": folder.name, "checkpoint": best_hash(folder)}
    return config


def _heard(indexes: Sequence[Index], profile: Profile) -> dict[str, Any]:
    """How sound becomes what the net is given: the same in all recipes."""
    found = []
    for index in indexes:
        check(index)
        columns = int(index.recipe["labels"]["speakers"])
        if columns != profile.speakers:
            what = "a recipe for another number of speakers"
            raise Changed(what, index.folder, f"labels.speakers = {profile.speakers}", columns)
        found.append(heard(index))
    for index, one in zip(indexes, found, strict=True):
        if one != found[0]:
            raise Changed("recipes that hear otherwise", index.folder, found[0], one)
    return found[0]


def _check_alike(folder: Path, config: Mapping[str, Any], key: str) -> None:
    """Refuses a run whose weights or answers do not fit."""
    facts = read_config(folder)["config"]
    names = ["heard", "head", "speakers", "overlap"]
    names += ["width", "blocks", "shorter"] if key == "init" else []
    for name in names:
        if facts[name] != config[name]:
            raise Changed(
                f"a {'run to start' if key == 'init' else 'teacher to learn'} from of another "
                f"{name}", folder, config[name], facts[name],
            )  # fmt: skip


def train(
    artifacts: Path, config: Mapping[str, Any], name: str, ranks: Ranks, *, checkpoint: int = -1
) -> tuple[Path, engine.Result] | None:
    """Train to the end, from wherever the run is; None on all processes but the first.

    What cannot be trained from is found before there is a run.
    """
    began = time.monotonic()
    indexes = load_indexes(artifacts, config["recipes"])
    settings = profile_of(config).settings
    parts = _parts(artifacts, config, indexes, ranks)
    if not ranks.first:
        engine.fit(*parts, None, settings, ranks)
        return None
    data = {index.name: index.key for index in indexes}
    with opened(artifacts, MODEL, config, data, name=name, ranks=ranks.world) as run:
        if checkpoint >= 0:
            Checkpoints(run.folder).go_back(checkpoint)
            run.mark("unfinished")
        if config.get("init") and not Checkpoints(run.folder).all():
            _begin_from(parts[0], _same(artifacts, config["init"]).net)
        start = time.monotonic() - began
        result = engine.fit(*parts, run, settings, ranks)
        if result.speed:  # something was learnt
            noted(run.folder, start)
        return run.folder, result


def _parts(
    artifacts: Path, config: Mapping[str, Any], indexes: Sequence[Index], ranks: Ranks
) -> tuple[nn.Module, torch.optim.Optimizer, Loss, engine.Data, engine.Validate]:
    """What the engine is given; the first process's weights become those of all."""
    profile = profile_of(config)
    torch.manual_seed(profile.settings.seed)
    known = voices(indexes) if config["known"] else np.zeros(0, np.int64)
    net = make_net(profile, config["heard"]["feature"]["mels"], len(known)).to(ranks.device)
    longest = profile.longest * profile.shorter
    data = Sequences(
        indexes, profile.batch, longest=longest, first=profile.once, seed=profile.settings.seed,
        share=Share(ranks.rank, ranks.world),
    )  # fmt: skip
    teacher = None
    if config.get("teacher"):
        other = _same(artifacts, config["teacher"]).net.to(ranks.device).requires_grad_(False)
        teacher = (other, profile.taught)
    loss = Objective(
        profile.head, profile.sets, known=torch.from_numpy(known).to(ranks.device),
        voice=profile.voice, teacher=teacher,
        augment=None if profile.augment is None else Augment(**profile.augment),
    )  # fmt: skip
    validation = Validation(indexes, profile, loss.orders) if ranks.first else engine.nothing
    optimizer = torch.optim.AdamW(
        net.parameters(), profile.settings.rate, betas=(0.9, 0.98), weight_decay=DECAY
    )
    return net, optimizer, loss, data, validation


def _same(artifacts: Path, told: Mapping[str, str]) -> Trained:
    """The run that was named when this one began, if it still is what it was."""
    folder = named(artifacts, told["run"], MODEL)
    if best_hash(folder) != told["checkpoint"]:
        raise Changed("the run learnt from has learnt more since", folder, do="name a new RUN=")
    return trained(folder)


def _begin_from(net: nn.Module, other: Diarizer) -> None:
    """Another run's weights, but for the voices that it knew."""
    held = {k: v for k, v in other.state_dict().items() if k != "known"}
    net.load_state_dict({**net.state_dict(), **held})


def noted(folder: Path, start: float) -> None:
    """After training: the most memory that it took, and how long it was until the first step."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated()  # that of the GPU is what is scarce
    durable.write_json(folder / COST, {"peak": peak, "start": round(start, 3)})
