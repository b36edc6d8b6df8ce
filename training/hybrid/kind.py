"""The hybrid, as what all classifiers share sees it.

Reads: shards, through what it calls. Writes nothing. Does: puts the hybrid's own functions
together.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.classes import report
from training.classes.kind import Answers, Kind, Planned, Set
from training.classes.moments import of_run
from training.classes.summary import Summary
from training.classes.table import table
from training.data.index import Index
from training.engine.keras_train import Config, Trained
from training.graph.answers import Asked
from training.graph.usage import TOLD
from training.graph.vector import Vector
from training.hybrid import MODEL, use
from training.hybrid.ablation import ablation, end, viewed
from training.hybrid.card import card
from training.hybrid.profiles import VARIANTS
from training.hybrid.train import best, train, variants
from training.hybrid.views import PIECE, VIEWS, Pieces, plain
from training.report import Report

AT_ONCE = 32  # examples that are viewed at once


def plan(root: Path, config: Config) -> list[Planned]:
    """The run with its variants, on each fold where it is of one."""
    each = of_run(root, config, "vector")
    return [one for own in each for one in variants({**config, **own})]


def answers(one: Trained, index: Index, part: np.ndarray) -> Answers:
    """Of examples as they are stored; of a whole model, of several views too."""
    names = [given.name for given in one.net.inputs]
    found = {"": Asked(index, part, names, plain, AT_ONCE)(one.net)}
    config = one.config
    if not config["variant"]:
        crop = (config["augment"] or {}).get("crop", 1.0)
        samples = round((crop if crop < 1 else PIECE) * config["samples"])
        front = Vector(config["heard"], "vector")
        for count in VIEWS:
            asked = Pieces(front, samples, count)
            found[viewed(count)] = Asked(index, part, names, asked, AT_ONCE)(one.net)
    return found


def beside(root_set: Set) -> Sequence[Set]:
    """The variants that were trained for all folds."""
    found, base = [], root_set.name.rpartition("/")[2]  # of hybrid/<run>
    for variant in VARIANTS:
        name, own = (f"{each}{end(variant)}" for each in (root_set.name, base))
        folders = tuple(_named(folder, base, own) for folder in root_set.folders)
        if variant and all((folder / "config.json").exists() for folder in folders):
            found.append(Set(name, folders))
    return found


def _named(folder: Path, old: str, new: str) -> Path:
    return folder.with_name(new + folder.name.removeprefix(old))


def heard(recipe: Mapping[str, Any], config: Config) -> list[Any]:
    """What makes the numbers that the net sees, as a recipe has it."""
    return [recipe["audio"], recipe["window"]["samples"], recipe["features"].get("vector")]


def told(one: Summary) -> str:
    """All systems beside each other, then what each part is worth."""
    more = ablation(one)
    return f"{table(one)}\n{more}\n" if more else table(one)


KIND = Kind(
    model=MODEL, train=train, trained=best, plan=plan, answers=answers, statistics=use.vectors,
    heard=heard, hearing=use.hearing, exported=use.exported, beside=beside, clip=use.whole,
    report=Report(report.PANELS, told, report.pictures, card, TOLD),
)  # fmt: skip
