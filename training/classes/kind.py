"""What one kind of classifier adds to what all of them share.

Reads and writes nothing. Does: names the functions that a model's own room provides.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from training.data.index import Index
from training.engine.keras_fit import Result
from training.engine.keras_train import Config, Trained
from training.report import Report

# What is added to a run's name -> (examples, classes) probabilities. The run's own answer has "".
Answers = Mapping[str, np.ndarray]
Heard = Callable[[np.ndarray], np.ndarray]  # windows (n, samples) -> probabilities (n, classes)


class Planned(NamedTuple):
    """One of the runs that a training consists of."""

    end: str  # what is added to the training's name
    config: Config
    told: bool = True  # whether it is what the training is about, or only compared with it
    words: str = ""  # what it is, where that says more than its fold


@dataclass(frozen=True)
class Kind:
    """A kind of classifier."""

    model: str  # its runs are in artifacts/runs/<model>
    train: Callable[[Path, Config, str, int], tuple[Path, Result] | None]
    trained: Callable[[Path], Trained]
    # The runs that are trained with one of this configuration, in these artifacts.
    plan: Callable[[Path, Config], Sequence[Planned]]
    answers: Callable[[Trained, Index, np.ndarray], Answers]  # for the positions in a mask
    statistics: Callable[[Config, Index, np.ndarray], np.ndarray]  # what baselines look at
    heard: Callable[[Mapping[str, Any], Config], Any]  # what of a recipe makes a net's numbers
    hearing: Callable[[Path], tuple[Heard, Mapping[str, Any], list[str]]]  # and recipe, classes
    exported: Callable[[Path, Path], dict[str, Any]]  # a run's folder, artifacts -> what was made
    report: Report
    beside: Callable[["Set"], Sequence["Set"]] = lambda one: ()  # what it is measured beside
    clip: Callable[[Trained], keras.Model] = lambda one: one.net  # the net for one whole example


@dataclass(frozen=True)
class Set:
    """A run, or the runs of all folds under one name."""

    name: str
    folders: tuple[Path, ...]  # by fold

    @property
    def folder(self) -> Path:
        """Where what was measured goes."""
        one = self.folders[0]
        return one if len(self.folders) == 1 else one.with_name(f"{self.name}-folds")
