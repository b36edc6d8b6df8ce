"""Scores of a tagger, beside scikit-learn's, and intervals that cover what they should.

Reads and writes nothing.
"""

import json
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from training.errors import RunError
from training.tagger import scores as module
from training.tagger.scores import (
    DRAWS,
    MEASURES,
    by_track,
    checked,
    drawn,
    each,
    interval,
    measured,
    scores,
    told_apart,
)

TAGS = ["drums", "slow", "choir", "always", "never"]
THEIRS = {"pr_auc": metrics.average_precision_score, "roc_auc": metrics.roc_auc_score}


def made(
    n: int = 120, skill: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tags, probabilities and groups of four; all have the fourth tag, none the last one."""
    random = np.random.default_rng(seed)
    truth = random.random((n, 5)) < [0.5, 0.3, 0.1, 2, 0]
    logits = (random.normal(size=(n, 5)) + skill * truth).round(1)  # equal here and there
    return truth, 1 / (1 + np.exp(-logits)), np.arange(n) // 4


def theirs(name: str, truth: np.ndarray, held: np.ndarray) -> float:
    """The mean over the tags that can be told apart."""
    both = [k for k in range(truth.shape[1]) if 0 < truth[:, k].sum() < len(truth)]
    return float(np.mean([THEIRS[name](truth[:, k], held[:, k]) for k in both] or [0.0]))


def test_as_scikit_learn_scores() -> None:
    truth, held, groups = made()
    told = scores(truth, held, drawn(truth, held, groups), TAGS)
    keys = {"pr_auc": "average_precision", "roc_auc": "roc_auc"}
    for name, key in keys.items():
        assert told[name]["mean"] == pytest.approx(theirs(name, truth, held))
        for k, tag in enumerate(TAGS[:3]):
            expected = THEIRS[name](truth[:, k], held[:, k])
            assert told["tags"][tag][key] == pytest.approx(expected)
    assert [told["tags"][tag]["tracks"] for tag in TAGS] == truth.sum(0).tolist()
    assert measured(truth, held) == {name: told[name]["mean"] for name in MEASURES}
    json.dumps(told, allow_nan=False)


def test_tags_that_all_or_none_have_are_left_out() -> None:
    truth, held, groups = made()
    assert told_apart(truth).tolist() == [True, True, True, False, False]
    told = scores(truth, held, None, TAGS)
    for tag, tracks in (("always", 120), ("never", 0)):
        assert told["tags"][tag] == {"tracks": tracks, "average_precision": None, "roc_auc": None}
    for name in MEASURES:
        assert each(truth, held)[name][3:] == [None, None]
        alone = measured(truth[:, :3], held[:, :3])
        assert measured(truth, held)[name] == pytest.approx(alone[name], abs=1e-12)
        draws, without = (drawn(truth[:, :k], held[:, :k], groups)[name] for k in (5, 3))
        np.testing.assert_allclose(draws, without, atol=1e-12)


def test_without_a_tag_to_tell_apart_there_is_nothing_and_no_nan() -> None:
    truth, held, groups = made()
    with np.errstate(all="raise"):
        assert measured(truth[:, 3:], held[:, 3:]) == {"pr_auc": 0.0, "roc_auc": 0.0}
        draws = drawn(truth[:, 3:], held[:, 3:], groups)
    assert all((draws[name] == 0).all() for name in MEASURES)


# ---- patches of a track ------------------------------------------------------------------------


def test_patches_of_a_track_are_taken_together() -> None:
    sources = np.array([b"b", b"a", b"b", b"c", b"b"], "S32")
    tags = np.array([[1, 0], [0, 0], [1, 0], [1, 1], [1, 0]], np.uint8)
    held = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.6], [0.5, 0.5], [0.6, 0.5]])
    groups, mean, answers = by_track(sources, np.array([7, 8, 7, 9, 7]), tags, held)
    assert groups.tolist() == [8, 7, 9]  # as a, b and c
    assert mean.tolist() == [[0, 0], [1, 0], [1, 1]]
    assert answers == pytest.approx(np.array([[0.8, 0.2], [0.6, 0.4], [0.5, 0.5]]))
    numbers = by_track(np.array([3, 1, 3, 5, 3]), np.array([7, 8, 7, 9, 7]), tags, held)
    assert all(map(np.array_equal, numbers, (groups, mean, answers)))


def test_a_track_counts_once_however_long_it_is() -> None:
    """A long one of a hundred patches, wrong in all of them, is one track of ten."""
    sources = np.repeat(np.arange(10), [100, *[1] * 9])
    truth = (sources % 2 == 0)[:, None]
    held = np.where(sources == 0, 0.1, np.where(truth[:, 0], 0.9, 0.2))[:, None]
    _, mean, answers = by_track(sources, sources, truth, held)
    tracks = np.arange(10) % 2 == 0
    expected = metrics.roc_auc_score(tracks, np.where(np.arange(10) == 0, 0.1, 0.2 + 0.7 * tracks))
    assert measured(mean > 0.5, answers)["roc_auc"] == pytest.approx(expected) == 0.8


# ---- intervals ---------------------------------------------------------------------------------


def test_a_draw_takes_whole_groups_with_replacement() -> None:
    """Of two groups, each draw has one twice or both once: three values, 1 to 2 to 1."""
    random = np.random.default_rng(0)
    truth = random.random((40, 2)) < 0.4
    groups = np.repeat([5, 3], 20)
    held = random.random((40, 2)) + np.where(groups == 5, 0.6, -0.3)[:, None] * truth
    found = drawn(truth, held, groups)
    for name in MEASURES:
        one, two, both = (
            theirs(name, truth[rows], held[rows]) for rows in (groups == 5, groups == 3, groups > 0)
        )
        assert abs(one - two) > 0.1
        near = np.abs(found[name][:, None] - [one, two, both]) < 1e-12
        assert found[name].shape == (DRAWS,)
        assert near.any(1).all()
        assert near.mean(0) == pytest.approx([1 / 4, 1 / 4, 1 / 2], abs=0.05)


def test_a_draw_leaves_out_what_it_cannot_tell_apart() -> None:
    """The first tag is in one group alone: a draw of the other has no word on it."""
    truth = np.array([[1, 1], [0, 0], [0, 1], [0, 0]], bool)
    held = np.array([[0.3, 0.9], [0.7, 0.2], [0.1, 0.4], [0.2, 0.6]])
    groups = np.array([0, 0, 1, 1])
    found = drawn(truth, held, groups)
    assert set(found["roc_auc"].round(9)) == {
        round((0 + 1) / 2, 9),  # the first group twice
        round((2 / 3 + 3 / 4) / 2, 9),  # both
        0.0,  # the second one, of which the second tag alone is told apart, and wrong
    }
    assert set(found["pr_auc"].round(9)) == {
        round((1 / 2 + 1) / 2, 9),
        round((1 / 2 + (1 + 2 / 3) / 2) / 2, 9),
        round(1 / 2, 9),
    }


def test_a_draw_in_which_all_have_a_tag_has_no_precision_of_it() -> None:
    """By itself it would be 1, whatever was answered."""
    truth = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], bool)
    held = np.array([[0.1, 0.2], [0.2, 0.9], [0.9, 0.3], [0.8, 0.7]])
    found = drawn(truth, held, np.array([0, 0, 1, 1]))
    both = np.mean([metrics.average_precision_score(truth[:, k], held[:, k]) for k in (0, 1)])
    assert set(found["pr_auc"].round(9)) == {0.5, round(float(both), 9)}


def test_an_interval_is_as_wide_as_theory_says_and_follows_groups() -> None:
    """Of one tag, by the variance of a rank sum for independent tracks (Hanley and McNeil 1982)."""
    random = np.random.default_rng(1)
    truth = (random.random(600) < 0.5)[:, None]
    held = random.normal(size=(600, 1)) + 1.2 * truth
    found = {}
    for name, repeat in (("alone", 1), ("grouped", 9)):
        groups = np.repeat(np.arange(600), repeat)
        rows = [np.repeat(one, repeat, axis=0) for one in (truth, held)]
        mean = measured(*rows)["roc_auc"]
        found[name] = interval(mean, drawn(*rows, groups)["roc_auc"])
    area, n, m = found["alone"]["mean"], truth.sum(), (~truth).sum()
    assert area is not None
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (n - 1) * (q1 - area**2) + (m - 1) * (q2 - area**2)
    wide = 2 * 1.96 * np.sqrt(variance / (n * m))
    for told in found.values():  # nine copies of a track tell no more than it does
        low, high = told["low"], told["high"]
        assert low is not None
        assert high is not None
        assert low < area < high
        assert high - low == pytest.approx(wide, rel=0.15)


def test_an_interval_is_that_of_scikit_learn_on_drawn_groups() -> None:
    truth, held, groups = made(80)
    draws = drawn(truth, held, groups)
    random = np.random.default_rng(3)
    values: dict[str, list[float]] = {name: [] for name in MEASURES}
    for _ in range(150):
        taken = random.integers(0, 20, 20)
        rows = (taken[:, None] * 4 + np.arange(4)).reshape(-1)  # groups are four in a row
        for name in MEASURES:
            values[name].append(theirs(name, truth[rows], held[rows]))
    for name in MEASURES:
        told = interval(0.5, draws[name])
        low, high = np.quantile(values[name], (0.025, 0.975))
        assert told["low"] == pytest.approx(low, abs=0.03)
        assert told["high"] == pytest.approx(high, abs=0.03)


def test_bounds_leave_a_fortieth_out_at_either_end() -> None:
    told = interval(0.3, np.random.default_rng(0).permutation(1001) / 1000)
    assert told == {"mean": 0.3, "low": pytest.approx(0.025), "high": pytest.approx(0.975)}
    assert interval(0.3, None) == {"mean": 0.3, "low": None, "high": None}


def test_the_seed_and_nothing_else_determines_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, held, groups = made()
    first = drawn(truth, held, groups)
    again = drawn(truth, held, groups * 3 + 100)  # the same groups by other names
    other = drawn(truth, held, groups, seed=1)
    for name in MEASURES:
        assert np.array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])
    monkeypatch.setattr(module, "AT_ONCE", 250)  # in fewer parts
    wide = drawn(truth, held, groups)
    assert all(np.array_equal(first[name], wide[name]) for name in MEASURES)


def test_two_systems_are_drawn_alike() -> None:
    """What is 0.1 better for each track is better in every draw, so that differences are small."""
    truth, held, groups = made(200)
    better = held + 0.1 * truth
    one, two = (drawn(truth, answers, groups)["roc_auc"] for answers in (held, better))
    assert (two > one).mean() > 0.99
    assert np.std(two - one) < 0.5 * np.std(one)


def test_the_promise_of_95_percent_is_kept() -> None:
    """Over 60 worlds of which the truth is known: at most 8 of them may fail."""
    outside, known = 0, 0.760  # of scores that lie 1 apart in normal noise: Phi(1 / sqrt 2)
    for seed in range(60):
        random = np.random.default_rng(seed)
        truth = (random.random(120) < 0.5)[:, None]
        held = random.normal(size=(120, 1)) + truth
        draws = drawn(truth, held, np.arange(120))["roc_auc"]
        told = interval(0.0, draws)
        outside += not told["low"] <= known <= told["high"]  # type: ignore[operator]
    assert outside <= 8


# ---- what cannot be scored ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"held": np.zeros((4, 2))}, r"fit no tags; expected \(4, 3\), some of them; got \(4, 2\)"),
        ({"held": np.zeros((3, 3))}, "answers that fit no tags"),
        ({"groups": np.zeros(3)}, "answers that fit no tags"),
        (
            {"truth": np.zeros((0, 3), bool), "held": np.zeros((0, 3)), "groups": np.zeros(0)},
            "answers that fit no tags",
        ),
        ({"held": np.full((4, 3), np.nan)}, "answers that are no numbers"),
        ({"held": np.full((4, 3), -np.inf)}, "answers that are no numbers"),
    ],
)
def test_what_cannot_be_scored_is_refused(change: dict[str, Any], said: str) -> None:
    given = {"truth": np.zeros((4, 3), bool), "held": np.zeros((4, 3)), "groups": np.arange(4)}
    checked(given["truth"], given["held"], given["groups"])
    given |= change
    with pytest.raises(RunError, match=said):
        checked(given["truth"], given["held"], given["groups"])


def test_float32_answers_are_taken() -> None:
    truth, held, groups = made()
    whole = scores(truth, held, drawn(truth, held, groups), TAGS)
    some = held.astype(np.float32)
    told = scores(truth, some, drawn(truth, some, groups), TAGS)
    assert told["pr_auc"] == pytest.approx(whole["pr_auc"], abs=1e-6)
