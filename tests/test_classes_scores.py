"""Scores of a classifier, beside scikit-learn's, and intervals that cover what they should."""

import json
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from training.classes.scores import (
    average_precision,
    by_recording,
    calibration,
    margin,
    measured,
    pooled,
    scores,
)
from training.errors import RunError

CLASSES = ["alarm", "rain", "wind", "engine", "bird"]


def made(
    n: int = 200, classes: int = 4, skill: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities and groups of five; the last class never is the truth."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    logits = random.normal(size=(n, classes + 1))
    logits[np.arange(n), labels] += skill
    logits = logits.round(1)  # so that scores are equal here and there
    held = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return labels, held, (np.arange(n) // 5).astype(np.int64)


def test_as_scikit_learn_scores() -> None:
    labels, held, groups = made()
    told = scores(labels, held, groups, CLASSES)
    found = held.argmax(1)
    assert told["examples"] == 200
    assert told["groups"] == 40
    assert told["accuracy"]["mean"] == pytest.approx(metrics.accuracy_score(labels, found))
    assert told["macro_f1"]["mean"] == pytest.approx(
        metrics.f1_score(labels, found, average="macro")
    )
    assert told["confusion"] == metrics.confusion_matrix(labels, found, labels=range(5)).tolist()
    assert told["nll"] == pytest.approx(metrics.log_loss(labels, held, labels=range(5)))
    parts = metrics.precision_recall_fscore_support(labels, found, labels=range(5), zero_division=0)
    for i, name in enumerate(CLASSES[:4]):
        one = told["classes"][name]
        assert [one[k] for k in ("precision", "recall", "f1", "examples")] == pytest.approx(
            [part[i] for part in parts]
        )
        expected = metrics.average_precision_score(labels == i, held[:, i])
        assert one["average_precision"] == pytest.approx(expected)
    expected = [told["classes"][name]["average_precision"] for name in CLASSES[:4]]
    assert told["mean_average_precision"] == pytest.approx(np.mean(expected))
    json.dumps(told, allow_nan=False)


def test_a_class_counts_where_it_is_true_or_said() -> None:
    labels = np.array([0, 0, 1, 1])
    groups = np.arange(4)
    never = np.eye(5)[[0, 0, 1, 0]]
    told = scores(labels, never, groups, CLASSES)
    assert told["macro_f1"]["mean"] == pytest.approx((0.8 + 2 / 3) / 2)
    absent = {"examples": 0, "precision": None, "recall": None, "f1": None,
              "average_precision": None}  # fmt: skip
    assert told["classes"]["wind"] == absent
    said = scores(labels, np.eye(5)[[0, 0, 1, 2]], groups, CLASSES)
    assert said["macro_f1"]["mean"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert said["classes"]["wind"] == absent | {"precision": 0.0, "f1": 0.0}


def test_average_precision_takes_equal_scores_as_one_step() -> None:
    truth = np.array([True, False, True, False, False])
    for score in ([0.5] * 5, [0.1, 0.9, 0.1, 0.1, 0.0], [0.9, 0.1, 0.8, 0.2, 0.2]):
        expected = metrics.average_precision_score(truth, score)
        assert average_precision(truth, np.array(score)) == pytest.approx(expected)
    assert average_precision(truth & False, np.zeros(5)) is None


def test_calibration_of_known_bins() -> None:
    held = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [1.0, 0.0]])
    told = calibration(np.array([0, 1, 1, 0]), held)
    assert len(told["bins"]) == 15
    filled = {i: one for i, one in enumerate(told["bins"]) if one["examples"]}
    assert list(filled) == [8, 13, 14]  # 0.6 is the upper edge of the ninth
    assert filled[8]["high"] == pytest.approx(0.6)
    assert filled[13]["accuracy"] == 0.5
    assert filled[13]["confidence"] == pytest.approx(0.9)
    assert told["ece"] == pytest.approx((2 * 0.4 + 1 * 0.4 + 0) / 4)
    assert told["bins"][0] | {"low": 0, "high": 0} == {
        "low": 0, "high": 0, "examples": 0, "confidence": None, "accuracy": None
    }  # fmt: skip


def test_calibration_tells_the_calibrated_from_the_sure() -> None:
    random = np.random.default_rng(0)
    top = random.uniform(0.5, 1, 20_000)
    labels = (random.uniform(size=len(top)) > top).astype(int)
    true = np.stack([top, 1 - top], 1)
    assert calibration(labels, true)["ece"] < 0.015
    sure = np.stack([np.full(len(top), 0.99), np.full(len(top), 0.01)], 1)
    assert calibration(labels, sure)["ece"] == pytest.approx(0.99 - 0.75, abs=0.01)


def test_an_interval_is_as_wide_as_theory_says_and_follows_groups() -> None:
    random = np.random.default_rng(1)
    right = random.uniform(size=900) < 0.8
    labels = np.zeros(900, int)
    held = np.eye(2)[np.where(right, 0, 1)]
    alone = scores(labels, held, np.arange(900), "ab")["accuracy"]
    wide = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 900)
    assert alone["high"] - alone["mean"] == pytest.approx(wide, rel=0.1)
    assert alone["mean"] - alone["low"] == pytest.approx(wide, rel=0.1)
    held = np.eye(2)[np.where(right[np.arange(900) // 9], 0, 1)]  # nine alike in each group
    grouped = scores(labels, held, np.arange(900) // 9, "ab")["accuracy"]
    assert grouped["high"] - grouped["low"] == pytest.approx(3 * (2 * wide), rel=0.3)
    one = scores(labels, held, np.zeros(900), "ab")
    assert one["accuracy"]["low"] is one["macro_f1"]["high"] is None
    assert one["accuracy"]["mean"] == grouped["mean"]


def test_an_interval_of_macro_f1_is_that_of_scikit_learn_on_drawn_groups() -> None:
    labels, held, groups = made(100)
    told = scores(labels, held, groups, CLASSES)["macro_f1"]
    random = np.random.default_rng(3)
    values = []
    for _ in range(400):
        drawn = random.integers(0, 20, 20)
        rows = (drawn[:, None] * 5 + np.arange(5)).reshape(-1)  # groups are five in a row
        values.append(metrics.f1_score(labels[rows], held[rows].argmax(1), average="macro"))
    low, high = np.quantile(values, (0.025, 0.975))
    assert told["low"] == pytest.approx(low, abs=0.02)
    assert told["high"] == pytest.approx(high, abs=0.02)


def test_the_seed_and_nothing_else_determines_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, held, groups = made()
    first = scores(labels, held, groups, CLASSES)
    assert scores(labels, held, groups, CLASSES) == first
    other = scores(labels, held, groups, CLASSES, seed=1)
    assert other["accuracy"]["mean"] == first["accuracy"]["mean"]
    assert other["macro_f1"] != first["macro_f1"]
    monkeypatch.setattr("training.classes.scores.AT_ONCE", 100)  # in many parts
    assert scores(labels, held, groups, CLASSES) == first


def test_a_margin_is_paired() -> None:
    labels, held, groups = made(300)
    better = held.copy()
    wrong = np.flatnonzero(held.argmax(1) != labels)[::4]
    better[wrong] = np.eye(5)[labels[wrong]]
    for measure, scored in (
        ("accuracy", metrics.accuracy_score),
        ("macro_f1", lambda y, p: metrics.f1_score(y, p, average="macro")),
    ):
        gap = margin(labels, better, held, groups, measure=measure)
        expected = scored(labels, better.argmax(1)) - scored(labels, held.argmax(1))
        assert gap["mean"] == pytest.approx(expected)
        assert 0 < gap["low"] < gap["mean"] < gap["high"]  # type: ignore[operator]
        back = margin(labels, held, better, groups, measure=measure)
        assert back["low"] == pytest.approx(-gap["high"])  # type: ignore[operator]
        apart = scores(labels, held, groups, CLASSES)[measure]
        assert gap["high"] - gap["low"] < apart["high"] - apart["low"]  # type: ignore[operator]
    assert margin(labels, held, held, groups) == {"mean": 0, "low": 0, "high": 0}
    few = margin(labels, better, held, groups, draws=3)
    assert few["mean"] == margin(labels, better, held, groups)["mean"]
    assert margin(labels, better, held, groups * 0)["low"] is None


def test_two_that_are_equally_good_are_seldom_told_apart() -> None:
    """The promise of 95 %, over 60 worlds: at most 8 of them may fail."""
    outside = 0
    for seed in range(60):
        labels, _, groups = made(150, seed=seed)
        random = np.random.default_rng(seed)
        hit = random.uniform(size=(2, 150)) < 0.7
        one, two = (np.eye(5)[np.where(h, labels, (labels + 1) % 4)] for h in hit)
        gap = margin(labels, one, two, groups, measure="accuracy", draws=400)
        outside += not gap["low"] <= 0 <= gap["high"]  # type: ignore[operator]
    assert outside <= 8


def test_windows_of_a_recording_are_taken_together() -> None:
    sources = np.array([b"b", b"a", b"b", b"c", b"b"], "S32")
    labels = np.array([1, 0, 1, 1, 0])  # a window of b that is labelled otherwise
    held = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.5, 0.5], [0.6, 0.4]])
    y, means, groups = by_recording(labels, held, sources, np.array([7, 8, 7, 9, 7]))
    found = sorted(zip(groups.tolist(), y.tolist(), means.tolist(), strict=True))
    alone = [(8, 0, [0.8, 0.2]), (9, 1, [0.5, 0.5])]
    assert found == [(7, 0, [0.6, 0.4]), (7, 1, pytest.approx([0.6, 0.4])), *alone]
    numbers = by_recording(labels, held, np.array([3, 1, 3, 5, 3]), np.array([7, 8, 7, 9, 7]))
    assert all(map(np.array_equal, numbers, (y, means, groups)))


def test_folds_are_put_one_after_another() -> None:
    folds = [
        {"labels": np.array([0, 1]), "mine": np.eye(2)},
        {"labels": np.array([1]), "mine": np.array([[0.2, 0.8]])},
    ]
    held = pooled(folds)
    assert held["labels"].tolist() == [0, 1, 1]
    assert held["mine"].tolist() == [[1, 0], [0, 1], [0.2, 0.8]]
    assert held["fold"].tolist() == [0, 0, 1]
    with pytest.raises(RunError, match="folds that do not fit together"):
        pooled([folds[0], {"labels": np.array([1])}])
    with pytest.raises(RunError, match="folds that do not fit together"):
        pooled([])


def test_measured_without_intervals() -> None:
    labels, held, groups = made()
    told = scores(labels, held, groups, CLASSES)
    assert measured(labels, held) == {
        name: told[name]["mean"] for name in ("accuracy", "macro_f1")
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"held": np.full((4, 3), 1.5)}, "not probabilities"),
        ({"held": np.full((4, 3), -0.1)}, "not probabilities"),
        ({"held": np.full((4, 3), np.nan)}, "not probabilities"),
        ({"held": np.full((4, 2), 0.5)}, "answers that fit no labels"),
        ({"groups": np.zeros(3)}, "answers that fit no labels"),
        ({"labels": np.array([0, 1, 3, 0])}, "labels of no class"),
        ({"labels": np.array([0, 1, -1, 0])}, "labels of no class"),
        ({"labels": np.zeros(0, int), "held": np.zeros((0, 3)), "groups": np.zeros(0)}, "fit no"),
    ],
)
def test_what_cannot_be_scored_is_refused(change: dict[str, Any], message: str) -> None:
    given = {"labels": np.zeros(4, int), "held": np.full((4, 3), 1 / 3), "groups": np.arange(4)}
    given |= change
    with pytest.raises(RunError, match=message):
        scores(given["labels"], given["held"], given["groups"], "abc")


def test_float16_and_float32_answers_are_taken() -> None:
    labels, held, groups = made()
    whole = scores(labels, held, groups, CLASSES)
    for kind in (np.float32, np.float16):
        told = scores(labels.astype(np.int32), held.astype(kind), groups, CLASSES)
        assert told["nll"] == pytest.approx(whole["nll"], rel=1e-3)
    over = np.array([[1.0004, 0.0], [-0.0003, 1.0]])
    assert scores(np.array([0, 1]), over, np.arange(2), "ab")["nll"] == 0
