"""Average precision and the area under the ROC curve: scikit-learn's, for many weightings at once.

Reads and writes nothing.
"""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics

from training.ranking import average_precision, roc_auc

Rank = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
BOTH = pytest.mark.parametrize(
    ("rank", "theirs"),
    [
        (average_precision, metrics.average_precision_score),
        (roc_auc, metrics.roc_auc_score),
    ],
)


def made(n: int, seed: int, places: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Truth and scores that tell something of it, many of them equal where they have few places."""
    random = np.random.default_rng(seed)
    truth = random.random(n) < 0.3
    truth[:2] = [True, False]
    return truth, (random.normal(size=n) + truth).round(places)


@BOTH
@pytest.mark.parametrize("places", [0, 1, 12])
@pytest.mark.parametrize("n", [2, 3, 20, 300])
def test_as_scikit_learn_ranks(rank: Rank, theirs: Rank, places: int, n: int) -> None:
    for seed in range(5):
        truth, score = made(n, seed, places)
        (found,) = rank(truth, score, np.ones((1, n)))
        assert found == pytest.approx(theirs(truth, score), abs=1e-12)


@BOTH
@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_every_weighting_is_that_of_scikit_learn(rank: Rank, theirs: Rank, kind: type) -> None:
    truth, score = made(60, 1)
    weights = np.random.default_rng(2).multinomial(60, np.full(60, 1 / 60), size=40)
    weights = weights.astype(kind) * (1 if kind is np.int64 else 0.37)
    found = rank(truth, score, weights)
    assert found.shape == (40,)
    for one, held in zip(found, weights, strict=True):
        there = held > 0
        expected = theirs(truth[there], score[there], sample_weight=held[there])
        assert one == pytest.approx(expected, abs=1e-12)
    assert len(set(found.round(9))) > 30


@BOTH
def test_a_weight_is_so_many_copies(rank: Rank, theirs: Rank) -> None:
    truth, score = made(40, 3)
    copies = np.random.default_rng(4).integers(0, 4, 40)
    (weighed,) = rank(truth, score, copies[None])
    rows = np.repeat(np.arange(40), copies)
    (copied,) = rank(truth[rows], score[rows], np.ones((1, len(rows))))
    assert weighed == pytest.approx(copied, abs=1e-12)


@BOTH
def test_the_order_of_examples_says_nothing(rank: Rank, theirs: Rank) -> None:
    truth, score = made(50, 5, places=0)
    weights = np.random.default_rng(6).random((3, 50))
    mixed = np.random.default_rng(7).permutation(50)
    found = rank(truth[mixed], score[mixed], weights[:, mixed])
    np.testing.assert_allclose(found, rank(truth, score, weights), atol=1e-12)


def test_known_values() -> None:
    truth, once = np.array([True, False, True, False]), np.ones((1, 4))
    falling, rising = np.array([4.0, 3.0, 2.0, 1.0]), np.array([1.0, 2.0, 3.0, 4.0])
    assert average_precision(truth, falling, once) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(truth, rising, once) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert roc_auc(truth, falling, once) == pytest.approx(3 / 4)
    assert roc_auc(truth, rising, once) == pytest.approx(1 / 4)
    best = np.where(truth, 1.0, 0.0)
    assert average_precision(truth, best, once) == roc_auc(truth, best, once) == 1.0
    assert roc_auc(truth, -best, once) == 0.0


def test_of_equal_scores_nothing_is_known() -> None:
    truth, once = np.array([True, False, False, False]), np.ones((1, 4))
    assert average_precision(truth, np.full(4, 0.3), once) == pytest.approx(1 / 4)
    assert roc_auc(truth, np.full(4, 0.3), once) == pytest.approx(1 / 2)


def test_there_is_no_number_where_nothing_can_be_ranked() -> None:
    """Not in these draws; in those beside them there is."""
    truth, score = np.array([True, True, False]), np.array([0.2, 0.6, 0.4])
    draws = np.array([[1, 1, 0], [0, 0, 2], [1, 1, 1], [0, 0, 0]])
    with np.errstate(all="raise"):
        assert np.isnan(average_precision(truth, score, draws)).tolist() == [False, True, False,
                                                                             True]  # fmt: skip
        assert np.isnan(roc_auc(truth, score, draws)).tolist() == [True, True, False, True]
    assert average_precision(truth, score, draws)[0] == 1.0  # all are positives
    assert np.isnan(average_precision(truth & False, score, draws)).all()
    assert np.isnan(roc_auc(truth | True, score, draws)).all()


def test_float32_scores_are_ranked_as_they_are() -> None:
    """Two that differ in their last bit differ."""
    low = np.float32(0.1)
    score = np.array([low, np.nextafter(low, np.float32(1))], np.float32)
    (found,) = roc_auc(np.array([True, False]), score, np.ones((1, 2)))
    assert found == 0.0
