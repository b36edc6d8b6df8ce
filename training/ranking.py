"""How well scores put what is true before what is not: two measures, for many weightings at once.

Reads and writes nothing: it is given arrays. Does: average precision and the area under the ROC
curve. A weighting counts each example so many times, as a draw of a bootstrap does; equal scores
count as one step.
"""

import numpy as np


def average_precision(truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Precision where each positive is found, on average; NaN without positives.

    truth (n,) bool, score (n,), weights (draws, n) -> (draws,).
    """
    right, seen = _counted(truth, score, weights)
    found = np.diff(right, prepend=0.0, axis=1)
    return _part((found * _part(right, seen, 0.0)).sum(1), right[:, -1])


def roc_auc(truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How often a positive scores higher than a negative, half for equal ones; NaN without both."""
    right, seen = _counted(truth, score, weights)
    wrong = seen - right
    found = np.diff(right, prepend=0.0, axis=1)
    # Of each step's positives: all negatives that come later, and half of its own.
    own = np.diff(wrong, prepend=0.0, axis=1)
    above = (found * (wrong[:, -1:] - wrong + own / 2)).sum(1)
    return _part(above, right[:, -1] * wrong[:, -1])


def _counted(
    truth: np.ndarray, score: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(draws, steps): positives and examples down to each different score, the highest first."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    held = weights[:, order].astype(np.float64)
    right = np.cumsum(held * truth[order], axis=1)[:, ends]
    return right, np.cumsum(held, axis=1)[:, ends]


def _part(some: np.ndarray, whole: np.ndarray, without: float = np.nan) -> np.ndarray:
    return np.divide(some, whole, out=np.full(some.shape, without), where=whole > 0)
