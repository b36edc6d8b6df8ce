"""How good a classifier's answers are.

Reads and writes nothing: it is given labels and probabilities. Does: accuracy, F1, average
precision, calibration and confusions of one system, with intervals; what one system is ahead of
another; windows of one recording taken together; folds of a cross-validation put together.

Windows of one source are alike, so an interval is drawn over groups, not over windows: a bootstrap
of DRAWS draws takes whole groups with replacement and leaves 2.5 % out at either end.

Macro-F1 is the mean of F1 over the classes that occur among the labels or the predictions; each
draw of the bootstrap counts its own. Mean average precision is over the classes that have examples.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training import ranking
from training.errors import RunError

Scores = dict[str, Any]  # JSON-able: what cannot be told is None
Interval = dict[str, float | None]  # mean, low and high
MEASURES = ("accuracy", "macro_f1")
BINS = 15  # of the calibration (Guo et al. 2017), of equal width
LEAST = float(np.finfo(np.float64).eps)  # probability that a logarithm is taken of
DRAWS = 2000
AT_ONCE = 2_000_000  # counts that are drawn at a time: 16 MB
SLACK = 1e-3  # that a probability may lie outside of 0 and 1: of float16 and int8 networks


def scores(
    labels: np.ndarray,
    probabilities: np.ndarray,
    groups: np.ndarray,
    classes: Sequence[str],
    *,
    seed: int = 0,
) -> Scores:
    """Of one system: labels (n,) int, probabilities (n, classes) float, groups (n,) int64."""
    held = checked(labels, probabilities, groups, len(classes))
    found = held.argmax(1)
    size = len(classes)
    confusion = np.bincount(labels * size + found, minlength=size * size).reshape(size, size)
    right, actual, said = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    precisions = [average_precision(labels == i, held[:, i]) for i in range(size)]
    present = [value for value in precisions if value is not None]
    return {
        "examples": len(labels),
        "groups": len(np.unique(groups)),
        **_intervals([_counts(labels, found, groups, size)], seed),
        "mean_average_precision": float(np.mean(present)),
        "classes": {
            name: {
                "examples": int(actual[i]),
                "precision": _part(right[i], said[i]),
                "recall": _part(right[i], actual[i]),
                "f1": _part(2 * right[i], actual[i] + said[i]),
                "average_precision": precisions[i],
            }
            for i, name in enumerate(classes)
        },
        "confusion": confusion.tolist(),  # the truth down, the answer across
        **calibration(labels, held),
        "nll": float(-np.log(held[np.arange(len(labels)), labels].clip(LEAST)).mean()),
    }


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    return float((probabilities.argmax(1) == labels).mean())


def checked(
    labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, classes: int
) -> np.ndarray:
    """The probabilities in float64; refused where they cannot be scored."""
    shape, wanted = probabilities.shape, (len(labels), classes)
    if shape != wanted or len(groups) != len(labels) or not len(labels):
        raise RunError("answers that fit no labels", "scores", f"{wanted}, some of them", shape)
    if labels.min() < 0 or labels.max() >= classes:
        got = f"{labels.min()} to {labels.max()}"
        raise RunError("labels of no class", "scores", f"0 to {classes - 1}", got)
    held = probabilities.astype(np.float64)
    low, high = held.min(), held.max()
    if not (low >= -SLACK and high <= 1 + SLACK):  # nor is a NaN
        raise RunError("not probabilities", "scores", "0 to 1", f"{low} to {high}")
    return held.clip(0, 1)


def average_precision(truth: np.ndarray, score: np.ndarray) -> float | None:
    """Precision where each positive is found, on average; None without positives."""
    if not truth.any():
        return None
    return float(ranking.average_precision(truth, score, np.ones((1, len(truth))))[0])


def calibration(labels: np.ndarray, probabilities: np.ndarray) -> Scores:
    """Expected calibration error and its bins: how often an answer is right that is so sure."""
    top, right = probabilities.max(1), probabilities.argmax(1) == labels
    place = np.clip(np.ceil(top * BINS).astype(int) - 1, 0, BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    sure = np.bincount(place, top, BINS)
    true = np.bincount(place, right, BINS)
    bins = [
        {
            "low": i / BINS,
            "high": (i + 1) / BINS,
            "examples": int(counts[i]),
            "confidence": _part(sure[i], counts[i]),
            "accuracy": _part(true[i], counts[i]),
        }
        for i in range(BINS)
    ]
    return {"ece": float(np.abs(sure - true).sum() / len(labels)), "bins": bins}


def margin(
    labels: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    groups: np.ndarray,
    *,
    measure: str = "macro_f1",
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """How far `a` lies above `b`, both (n, classes) probabilities for the same examples: each draw
    takes the same groups for both. One is better where the whole interval lies above 0."""
    size = a.shape[1]
    pair = [
        _counts(labels, checked(labels, one, groups, size).argmax(1), groups, size)
        for one in (a, b)
    ]
    return _intervals(pair, seed, draws)[measure]


def by_recording(
    labels: np.ndarray, probabilities: np.ndarray, sources: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities and groups of whole recordings: the mean over the windows of each.
    Windows of one recording that are labelled otherwise stand apart."""
    _, source = np.unique(sources, return_inverse=True)
    keys = source.reshape(-1) * (int(labels.max(initial=0)) + 1) + labels
    _, first, place, counts = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    sums = np.zeros((len(first), probabilities.shape[1]))
    np.add.at(sums, place.reshape(-1), probabilities)
    return labels[first], sums / counts[:, None], groups[first]


def pooled(folds: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The test examples of all folds, one after another, with the `fold` that each comes of."""
    names = [sorted(fold) for fold in folds]
    if not folds or any(one != names[0] for one in names):
        raise RunError("folds that do not fit together", "scores", "the same arrays", names)
    held = {name: np.concatenate([fold[name] for fold in folds]) for name in names[0]}
    counts = [len(fold["labels"]) for fold in folds]
    return {**held, "fold": np.repeat(np.arange(len(folds)), counts)}


def measured(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Accuracy and macro-F1, without intervals."""
    alone = np.zeros(len(labels), np.int64)
    size = probabilities.shape[1]
    found = checked(labels, probabilities, alone, size).argmax(1)
    sums = _counts(labels, found, alone, size)
    return {name: float(_value(name, sums)[0]) for name in MEASURES}


def _counts(labels: np.ndarray, found: np.ndarray, groups: np.ndarray, size: int) -> np.ndarray:
    """(groups, 3, classes): in each group, how often a class was right, true, and said."""
    _, place = np.unique(groups, return_inverse=True)
    most, right = int(place.max()) + 1, labels == found
    cells = [place[right] * size + labels[right], place * size + labels, place * size + found]
    held = [np.bincount(cell, minlength=most * size).reshape(most, size) for cell in cells]
    return np.stack(held, 1).astype(np.float64)


def _intervals(systems: Sequence[np.ndarray], seed: int, draws: int = DRAWS) -> dict[str, Interval]:
    """Of one system's measures, or of the first one's less the second one's."""
    groups = len(systems[0])
    told: dict[str, Interval] = {}
    drawn = _drawn(systems, seed, draws) if groups > 1 else None
    for name in MEASURES:
        mean = _less([_value(name, counts.sum(0, keepdims=True)) for counts in systems])
        told[name] = {"mean": float(mean[0]), "low": None, "high": None}
        if drawn:
            low, high = np.quantile(_less(drawn[name]), (0.025, 0.975))
            told[name] |= {"low": float(low), "high": float(high)}
    return told


def _drawn(systems: Sequence[np.ndarray], seed: int, draws: int) -> dict[str, list[np.ndarray]]:
    """Measure -> for each system, its value in each draw."""
    groups = len(systems[0])
    random = np.random.Generator(np.random.Philox(seed))
    even = np.full(groups, 1 / groups)
    parts: dict[str, list[list[np.ndarray]]] = {name: [[] for _ in systems] for name in MEASURES}
    step = max(1, AT_ONCE // groups)
    for begin in range(0, draws, step):
        taken = random.multinomial(groups, even, size=min(step, draws - begin)).astype(np.float64)
        for i, counts in enumerate(systems):
            sums = (taken @ counts.reshape(groups, -1)).reshape(len(taken), *counts.shape[1:])
            for name in MEASURES:
                parts[name][i].append(_value(name, sums))
    return {name: [np.concatenate(part) for part in held] for name, held in parts.items()}


def _value(measure: str, sums: np.ndarray) -> np.ndarray:
    """(draws, 3, classes) -> (draws,)."""
    right, actual, said = sums[:, 0], sums[:, 1], sums[:, 2]
    if measure == "accuracy":
        return np.asarray(right.sum(1) / actual.sum(1))
    either = actual + said
    return np.asarray((2 * right / np.maximum(either, 1)).sum(1) / (either > 0).sum(1))


def _less(values: Sequence[np.ndarray]) -> np.ndarray:
    return values[0] - values[1] if len(values) > 1 else values[0]


def _part(some: float, whole: float) -> float | None:
    return float(some / whole) if whole else None
