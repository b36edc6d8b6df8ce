"""From which likeness on two voices are one person's.

Reads: the validation split, once, after training. Does: describes the voices of both halves of each
sequence, compares all pairs, finds the threshold that tells people apart best. Writes:
``voices.json`` in the run's folder, with the hash of the weights that it was found for.

How alike the same voice is to itself depends on the net and on what it learnt from: nets that knew
a hundred real voices were seen to have 0.85, those of a few synthetic ones 0.6.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from training import durable
from training.data.index import DataError, load_indexes
from training.diarizer.infer import ALIKE, Listener
from training.diarizer.sequences import Row, read, rows
from training.diarizer.train import VOICES, Trained
from training.engine.checkpoint import best_hash
from training.run import say

LEAST = 2.0  # seconds that somebody has to speak in each half
FEWEST = 10  # pairs of either kind


def calibrated(run: Trained, artifacts: Path) -> Trained:
    """The run with its own threshold, if what it was validated with still stands."""
    if run.alike is not None:
        return run
    profile = run.profile
    try:
        indexes = load_indexes(artifacts, run.facts["config"]["recipes"])
        every = [
            row for index in indexes for row in rows(index, "valid", first=profile.once, given=True)
        ]
    except DataError as error:
        say(f"{run.folder.name}: voices are told apart as by any net ({error})")
        return run
    found = round(alike(Listener(run), every, profile.longest * profile.shorter), 4)
    told = {"alike": found, "checkpoint": best_hash(run.folder)}
    durable.write_json(run.folder / VOICES, told)
    return replace(run, alike=found)


def alike(listener: Listener, examples: Sequence[Row], longest: int) -> float:
    """The threshold with the fewest errors, of either kind alike; ALIKE where there is too little
    to find it by."""
    same: list[float] = []
    other: list[float] = []
    for row in examples:
        example = read(row, longest)
        logmel, activity = example["logmel"], example["activity"]
        whole = int(example["frames"])
        half = whole // 2 // listener.profile.shorter * listener.profile.shorter
        if not half:
            continue
        first, second = (
            _voices(listener, logmel[part], activity[part])
            for part in (slice(0, half), slice(half, 2 * half))
        )
        for a, voice in first.items():
            for b, again in second.items():
                (same if a == b else other).append(float(voice @ again))
    if min(len(same), len(other)) < FEWEST:
        return ALIKE
    return best_between(np.array(other), np.array(same))


def _voices(listener: Listener, logmel: np.ndarray, activity: np.ndarray) -> dict[int, np.ndarray]:
    """Column of the truth -> the description of who was found to be them."""
    said, voices = listener.told(
        torch.from_numpy(logmel.copy()).to(listener.device)[None], len(logmel)
    )
    shorter = listener.profile.shorter
    talking = activity[: len(said) * shorter].reshape(len(said), shorter, -1).mean(1) >= 0.5
    pairs = zip(*linear_sum_assignment(-(talking.T.astype(float) @ said)), strict=True)
    long = LEAST / (listener.frame / listener.rate)
    return {int(a): voices[b] for a, b in pairs if talking[:, a].sum() >= long}


def best_between(low: np.ndarray, high: np.ndarray) -> float:
    """Where to part two heaps of numbers so that the parts on the wrong sides sum to the least, in
    the middle of the gap."""
    edges = np.unique(np.concatenate([low, high]))
    wrong = [(low >= edge).mean() + (high < edge).mean() for edge in edges]
    at = int(np.argmin(wrong))
    return float((edges[max(at - 1, 0)] + edges[at]) / 2)
