"""What a tagger has to beat: it really learns, from groups that are whole, on one core.

Reads and writes nothing.
"""

import warnings
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler

from training.classes.baselines import thinned
from training.errors import RunError
from training.tagger import baselines as module
from training.tagger.baselines import FOLDS, NAMES, STRENGTHS, linear, often

Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def made(n: int = 240, skill: float = 2.0, seed: int = 0, wide: int = 12) -> Data:
    """Numbers, two tags that some of them tell of, groups of four."""
    random = np.random.default_rng(seed)
    tags = random.random((n, 2)) < [0.5, 0.25]
    x = random.normal(size=(n, wide))
    x[:, :2] += skill * tags
    return (100 + 7 * x).astype(np.float32), tags.astype(np.uint8), np.arange(n) // 4


def fitted(strength: float, x: np.ndarray, tag: np.ndarray, test: np.ndarray) -> np.ndarray:
    scale = StandardScaler().fit(x)
    model: Any = LogisticRegression(C=strength, max_iter=1000)
    found: np.ndarray = model.fit(scale.transform(x), tag).predict_proba(scale.transform(test))
    return found[:, 1]


def test_each_tag_as_often_as_it_is_given() -> None:
    tags = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0]], np.uint8)
    assert often(tags, 3).tolist() == [[1, 0, 0.25]] * 3


def test_what_can_be_learnt_is_learnt() -> None:
    x, tags, groups = made()
    test, truth, _ = made(seed=1)
    held = linear(x, tags, groups, test)
    assert held.shape == (240, 2)
    assert held.min() > 0
    assert held.max() < 1
    for k in range(2):
        chance = truth[:, k].mean()
        assert average_precision_score(truth[:, k], held[:, k]) > chance + 0.2
        assert held[:, k].mean() == pytest.approx(chance, abs=0.1)  # they are probabilities
    nothing = linear(np.roll(x, 7, axis=0), tags, groups, test)
    for k in range(2):
        chance = truth[:, k].mean()
        assert average_precision_score(truth[:, k], nothing[:, k]) < chance + 0.15


@pytest.mark.parametrize("strength", STRENGTHS)
def test_answers_are_those_of_scikit_learn_on_numbers_of_one_scale(
    strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, tags, groups = made()
    test = made(20, seed=1)[0]
    monkeypatch.setattr(module, "STRENGTHS", (strength,))
    found = linear(x, tags, groups, test)
    for k in range(2):
        np.testing.assert_allclose(found[:, k], fitted(strength, x, tags[:, k], test), atol=1e-4)


def test_tags_that_all_or_none_have_are_constant() -> None:
    x, tags, groups = made()
    wide = np.column_stack([tags[:, 0], np.ones(240), np.zeros(240)]).astype(np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = linear(x, wide, groups, x[:9])
    assert found[:, 1:].tolist() == [[1, 0]] * 9
    np.testing.assert_allclose(found[:, 0], linear(x, tags[:, :1], groups, x[:9])[:, 0], atol=0.1)


# ---- how strongly the weights are held ---------------------------------------------------------


class Fits:
    """What a logistic regression is fitted on while it is looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: list[tuple[float, np.ndarray, np.ndarray]] = []
        self.real = module._fitted
        monkeypatch.setattr(module, "_fitted", self)

    def __call__(
        self, strength: float, x: np.ndarray, tags: np.ndarray, test: np.ndarray
    ) -> np.ndarray:
        self.rows.append((strength, x, test))
        return self.real(strength, x, tags, test)


def test_no_group_is_on_both_sides_when_a_strength_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every number tells its row, so that rows and their groups can be found again."""
    fits = Fits(monkeypatch)
    x, tags, groups = made()
    x[:, 0] = np.arange(240)
    linear(x, tags, groups, x[:3])
    *tried, last = fits.rows
    assert len(tried) == FOLDS * len(STRENGTHS)
    assert len(last[1]) == 240
    for strength in STRENGTHS:
        sides = [(x[:, 0].astype(int), held[:, 0].astype(int))
                 for c, x, held in tried if c == strength]  # fmt: skip
        for learnt, left in sides:
            assert not set(groups[learnt]) & set(groups[left])
            assert sorted([*learnt, *left]) == list(range(240))
        assert sorted(np.concatenate([left for _, left in sides])) == list(range(240))


def test_the_strength_is_what_answers_best_for_groups_that_were_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of copies of few examples in wide noise, held weights; of plain ones, free ones. A choice by
    rows, copies of which stand on both sides, would leave them free both times."""
    random = np.random.default_rng(0)
    found = {}
    for name, skill, wide in (("plain", 4.0, 4), ("noise", 0.0, 60)):
        fits = Fits(monkeypatch)
        x, tags, _ = made(60, skill, wide=wide)
        x, tags = np.repeat(x, 5, axis=0), np.repeat(tags, 5, axis=0)
        linear(x, tags, np.repeat(np.arange(60), 5), random.normal(size=(2, wide)))
        found[name] = fits.rows[-1][0]
        monkeypatch.undo()
    assert found == {"plain": max(STRENGTHS), "noise": min(STRENGTHS)}


@pytest.mark.parametrize("count", [1, 2])
def test_of_too_few_groups_to_leave_one_out_it_learns_all_the_same(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = Fits(monkeypatch)
    x, tags, _ = made()
    linear(x, tags, np.arange(240) % count, x[:3])
    assert [strength for strength, *_ in fits.rows] == [STRENGTHS[1]]


def test_a_tag_that_a_fold_has_not_breaks_nothing() -> None:
    x, tags, groups = made()
    tags[:, 1] = groups == 5  # of one group alone
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = linear(x, tags, groups, x)
    assert np.isfinite(found).all()
    assert found[groups == 5, 1].mean() > found[groups != 5, 1].mean()


# ---- how it works ------------------------------------------------------------------------------


def test_the_seed_determines_all() -> None:
    x, tags, groups = made(60)
    first, again = (linear(x, tags, groups, x[:5], 3) for _ in range(2))
    assert np.array_equal(first, again)


def test_only_the_thinned_are_learnt_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many of each group, by the seed, and with their own tags."""
    monkeypatch.setattr(module, "MOST", 60)
    fits = Fits(monkeypatch)
    x, tags, groups = made()
    groups[:120] = 0  # half of it is one artist's
    x[:, 0] = np.arange(240)
    tags[:, 0] = np.arange(240) % 2
    found = linear(x, tags, groups, x[:9], 5)
    used = fits.rows[-1][1][:, 0].astype(int)
    assert used.tolist() == thinned(np.zeros(240), groups, 5, 60).tolist()
    assert len(used) == 60
    assert np.bincount(groups[used]).max() <= 2
    monkeypatch.setattr(module, "STRENGTHS", (fits.rows[-1][0],))
    few = linear(x[used], tags[used], groups[used], x[:9], 5)
    np.testing.assert_allclose(found, few, atol=1e-6)


def test_it_is_fitted_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def looked(*given: Any) -> np.ndarray:
        seen.extend(pool["num_threads"] for pool in threadpoolctl.threadpool_info())
        return np.zeros((len(given[3]), 2))

    monkeypatch.setattr(module, "_fitted", looked)
    with threadpoolctl.threadpool_limits(2):
        x, tags, groups = made(60)
        linear(x, tags, groups, x[:3])
    assert seen
    assert set(seen) == {1}


def test_what_is_no_number_is_refused() -> None:
    x, tags, groups = made(60)
    wrong = x.copy()
    wrong[3, 1] = np.nan
    for given, test in ((wrong, x), (x, wrong), (x[:0], x)):
        with pytest.raises(RunError, match="nothing to fit a baseline on; expected finite numbers"):
            linear(given, tags[: len(given)], groups[: len(given)], test)


def test_names_of_the_baselines_are_those_of_no_run() -> None:
    """A run's name has no spaces."""
    assert all(" " in name for name in NAMES)
