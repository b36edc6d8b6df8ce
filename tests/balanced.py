"""The loss of a step with classes, written with scipy; what weights of classes are held to.

Reads and writes nothing.
"""

from collections.abc import Sequence

import numpy as np
import pytest
import scipy.special

COUNTS = [[80, 15, 5], [7, 7, 7], [60, 40, 0]]  # examples of each class
BALANCES = [0.0, 0.5, 1.0]


def entropy(wanted: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return -(wanted * scipy.special.log_softmax(logits.astype(np.float64), -1)).sum(-1)


def assert_weights(weights: np.ndarray, counts: Sequence[int], balance: float) -> None:
    """1 on average over all examples, more for a class that has fewer."""
    labels = np.repeat(np.arange(len(counts)), counts)
    assert weights[labels].mean() == pytest.approx(1, abs=1e-6)
    assert np.isfinite(weights).all()
    most, next_ = counts[:2]
    assert weights[1] / weights[0] == pytest.approx((most / next_) ** balance, rel=1e-5)


def assert_rare_ones_count_more(plain: np.ndarray, weighed: np.ndarray) -> None:
    """Losses of two of each of three classes, which have 90, 9 and 1 examples."""
    np.testing.assert_allclose(weighed / plain, [100 / 3 / c for c in (90, 9, 1)] * 2, rtol=1e-5)
