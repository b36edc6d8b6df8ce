"""What a network has to beat: the majority, and scikit-learn on statistics of MFCCs.

Reads and writes nothing: it is given log-mel windows. Does: fits a random forest, gradient boosting
and a support vector machine on the train split, on one core, and lets them answer for the test
split. They get the same windows as a network, weights against unequal classes, and the settings
that were the best of those tried on real recordings: 40 coefficients with their extremes there gave
the support vector machine 5 points of macro-F1 more than 20 with means and deviations alone.

Of more than MOST windows, a part of each class is learned from, spread evenly over its groups.
"""

import math
import warnings
from typing import Any

import numpy as np

from training.classes.scores import LEAST
from training.errors import RunError

NAMES = ("majority", "random forest", "gradient boosting", "SVM")
COEFFICIENTS = 40
AT_ONCE = 256  # windows: 35 MB of 130 frames of 128 mels
MOST = 4000  # windows learned from: about a minute
TREES = 300
ROUNDS = 1500  # of boosting, over all classes, within these limits for each:
LEAST_ROUNDS, MOST_ROUNDS = 30, 100
PENALTIES = (1.0, 10.0, 100.0)  # C of the support vector machine
SHARPNESS = tuple(2.0 ** (i / 2) for i in range(-4, 9))  # of its softmax
FOLDS = 3  # of the train split, that both are chosen by

Model = Any  # of scikit-learn: fit, predict_proba or decision_function, classes_


def baselines(
    train: tuple[np.ndarray, np.ndarray],
    test: np.ndarray,
    classes: int,
    seed: int = 0,
    *,
    groups: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Name -> probabilities (m, classes). `train` is log-mels (n, frames, mels) in dB and labels
    (n,), `test` log-mels (m, frames, mels); either may be their `statistics`. `groups` (n,) of the
    windows of train, which without them stand alone."""
    x, held = (one if one.ndim == 2 else statistics(one) for one in (train[0], test))
    labels = train[1].astype(np.int64)
    if not len(x) or not (np.isfinite(x).all() and np.isfinite(held).all()):
        raise RunError("nothing to fit the baselines on", "baselines", "finite windows", x.shape)
    groups = np.arange(len(x)) if groups is None else groups
    counts = np.bincount(labels, minlength=classes)
    often = np.tile(counts / counts.sum(), (len(held), 1))
    if (counts > 0).sum() < 2:
        return dict.fromkeys(NAMES, often)
    some = thinned(labels, groups, seed, MOST)
    x, labels, groups = x[some], labels[some], groups[some]
    answers = [often, *(_answer(one, x, labels, held, classes) for one in _trees(labels, seed))]
    return dict(zip(NAMES, [*answers, _svm(x, labels, groups, held, classes, seed)], strict=True))


def statistics(logmel: np.ndarray) -> np.ndarray:
    """(n, frames, mels) dB -> (n, 7 x coefficients) float32: mean, deviation, least, most and
    median of each MFCC over the frames, mean and deviation of its steps from frame to frame."""
    from scipy.fft import dct

    parts = []
    for begin in range(0, len(logmel), AT_ONCE):
        block = logmel[begin : begin + AT_ONCE].astype(np.float64)
        mfcc = dct(block, type=2, norm="ortho", axis=2)[:, :, :COEFFICIENTS]
        steps = np.diff(mfcc, axis=1) if mfcc.shape[1] > 1 else np.zeros_like(mfcc)
        told = [mfcc.mean(1), mfcc.std(1), mfcc.min(1), mfcc.max(1), np.median(mfcc, 1)]
        parts.append(np.concatenate([*told, steps.mean(1), steps.std(1)], 1))
    wide = 7 * min(COEFFICIENTS, logmel.shape[2])
    return np.concatenate([np.zeros((0, wide)), *parts]).astype(np.float32)


def thinned(labels: np.ndarray, groups: np.ndarray, seed: int, most: int) -> np.ndarray:
    """Places of about `most` examples, in order: the same part of each class, and of its groups
    first one window each, then a second one, drawn by the seed."""
    if len(labels) <= most:
        return np.arange(len(labels))
    drawn = np.random.Generator(np.random.Philox(seed)).permutation(len(labels))
    kept = []
    for label in np.unique(labels):
        own = drawn[labels[drawn] == label]
        _, place, counts = np.unique(groups[own], return_inverse=True, return_counts=True)
        order = np.argsort(place.reshape(-1), kind="stable")  # group by group
        turn = np.arange(len(own)) - np.repeat(np.cumsum(counts) - counts, counts)
        part = math.ceil(len(own) * most / len(labels))
        kept.append(own[order][np.argsort(turn, kind="stable")[:part]])
    return np.sort(np.concatenate(kept))


def _trees(labels: np.ndarray, seed: int) -> tuple[Model, Model]:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

    forest = RandomForestClassifier(
        TREES, min_samples_leaf=2, class_weight="balanced_subsample", n_jobs=1, random_state=seed
    )
    rounds = int(np.clip(ROUNDS // len(np.unique(labels)), LEAST_ROUNDS, MOST_ROUNDS))
    boosted = HistGradientBoostingClassifier(
        max_iter=rounds,
        max_bins=32,  # as good as 255 here, and five times as quick
        max_leaf_nodes=8,
        min_samples_leaf=5,
        max_features=0.1,
        early_stopping=False,
        class_weight="balanced",
        random_state=seed,
    )
    return forest, boosted


def _answer(
    model: Model, x: np.ndarray, labels: np.ndarray, test: np.ndarray, classes: int
) -> np.ndarray:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return _spread(model.fit(x, labels).predict_proba(test), model.classes_, classes)


def _svm(
    x: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    test: np.ndarray,
    classes: int,
    seed: int,
) -> np.ndarray:
    """Softmax of the decisions; how sharp, and C, are what makes groups that were left out most
    likely."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        folds = _folds(x, labels, groups, seed)
        tried: list[tuple[float, float, float]] = []
        for penalty in PENALTIES if folds else ():
            found = [_decisions(penalty, x[a], labels[a], x[b], classes) for a, b in folds]
            left, truth = np.concatenate(found), np.concatenate([labels[b] for _, b in folds])
            tried += [(_loss(truth, _softmax(k * left)), penalty, k) for k in SHARPNESS]
        _, penalty, sharp = min(tried, default=(0.0, PENALTIES[1], 1.0))
        return _softmax(sharp * _decisions(penalty, x, labels, test, classes))


def _folds(
    x: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places to fit on and to look at, no group in both; none where there is too little."""
    from sklearn.model_selection import StratifiedGroupKFold

    enough = np.bincount(labels).max() >= FOLDS and len(np.unique(groups)) >= FOLDS
    if not enough:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes smaller than FOLDS: they are left out at times
        folds = list(
            StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(x, labels, groups)
        )
    usable = all(len(np.unique(labels[fit])) > 1 for fit, _ in folds)
    return folds if usable else []


def _decisions(
    penalty: float, x: np.ndarray, labels: np.ndarray, test: np.ndarray, classes: int
) -> np.ndarray:
    """(m, classes), each class against the rest; -inf for one that was not learned."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    model = make_pipeline(StandardScaler(), SVC(C=penalty, class_weight="balanced"))
    found = model.fit(x, labels).decision_function(test)
    found = np.stack([-found, found], 1) if found.ndim == 1 else found  # of two classes
    return _spread(found, model.classes_, classes, -np.inf)


def _spread(found: np.ndarray, known: np.ndarray, classes: int, without: float = 0.0) -> np.ndarray:
    """Answers for the `known` classes among those for all."""
    held = np.full((len(found), classes), without)
    held[:, known] = found
    return held


def _softmax(decisions: np.ndarray) -> np.ndarray:
    powers = np.exp(decisions - decisions.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def _loss(labels: np.ndarray, held: np.ndarray) -> float:
    return float(-np.log(held[np.arange(len(labels)), labels].clip(LEAST)).mean())
