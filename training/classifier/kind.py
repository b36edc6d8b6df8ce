"""The noise classifier, as what all classifiers share sees it.

Reads: shards, through what it calls. Writes nothing. Does: puts the classifier's own functions
together.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from training.classes import course, report
from training.classes.baselines import statistics
from training.classes.kind import Answers, Kind, Planned
from training.classes.moments import of_run
from training.classes.table import table
from training.classifier import MODEL, use
from training.classifier.card import card
from training.classifier.train import best, train
from training.data.index import SPLITS, Index
from training.data.tf_data import Examples
from training.durable import hash_of
from training.engine.keras_train import Config, Trained
from training.graph.answers import Asked, softmax
from training.graph.usage import TOLD
from training.report import Report

AT_ONCE = 256  # examples whose statistics are taken at once


def plan(root: Path, config: Config) -> list[Planned]:
    """The run itself, or one for each fold."""
    return [
        Planned(
            course.of_fold("", own["fold"]),
            {**config, **own, "teachers": _same(config, own["fold"])},
        )
        for own in of_run(root, config, config["features"])
    ]


def _same(config: Config, fold: list[int]) -> list[list[str]]:
    """The teachers of a fold."""
    if fold == config["fold"]:
        return list(config["teachers"])
    old, new = (course.of_fold("", (of[0], of[1])) for of in (config["fold"], fold))
    paths = [Path(path) for path, _ in config["teachers"]]
    moved = [p.parent.with_name(p.parent.name.replace(old, new)) / p.name for p in paths]
    return [[str(path), hash_of(path)] for path in moved]


def answers(one: Trained, index: Index, part: np.ndarray) -> Answers:
    return {"": softmax(Asked(index, part, [one.config["features"]])(one.net))}


def looked(config: Config, index: Index, part: np.ndarray) -> np.ndarray:
    """What baselines learn from: statistics of the log-mel windows that the net is given."""
    field = config["features"]
    examples = Examples(index, SPLITS, AT_ONCE, fields=(field,), chosen=part, shuffle=False)
    return np.concatenate([statistics(batch[field].numpy()) for batch in examples.epoch(0)])


def heard(recipe: Mapping[str, Any], config: Config) -> list[Any]:
    """What makes the numbers that the net sees, as a recipe has it."""
    window = {name: recipe["window"][name] for name in ("samples", "edges")}
    return [recipe["audio"], window, recipe["features"].get(config["features"])]


KIND = Kind(
    model=MODEL, train=train, trained=best, plan=plan, answers=answers, statistics=looked,
    heard=heard, hearing=use.hearing, exported=use.exported,
    report=Report(report.PANELS, table, report.pictures, card, TOLD),
)  # fmt: skip
