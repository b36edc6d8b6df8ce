"""What a tagger has to beat: how often each tag is given, and logistic regression on MFCCs.

Reads and writes nothing: it is given numbers of patches and their tags. Does: fits a logistic
regression for each tag on the training tracks, on one core; how strongly its weights are held is
what answers best for groups that were left out. The same learns from what another net sees, where
that net has no words for these tags.

Of more than MOST patches, as many of each group are learnt from.
"""

import warnings
from typing import Any

import numpy as np

from training.classes.baselines import thinned
from training.errors import RunError

OFTEN, MFCC = "how often", "MFCC + LR"
NAMES = (OFTEN, MFCC)
MOST = 4000  # patches learnt from
FOLDS = 3  # of the training groups, that C is chosen by
STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # C: the smaller, the closer to nothing the weights are held
STEPS = 300


def often(tags: np.ndarray, count: int) -> np.ndarray:
    """(count, tags): each tag with the share of the training patches that have it."""
    return np.tile(tags.mean(0), (count, 1))


def linear(
    x: np.ndarray, tags: np.ndarray, groups: np.ndarray, test: np.ndarray, seed: int = 0
) -> np.ndarray:
    """(m, tags) probabilities for `test` (m, numbers), learnt from x (n, numbers), tags (n, tags)
    and groups (n,)."""
    from threadpoolctl import threadpool_limits

    if not len(x) or not (np.isfinite(x).all() and np.isfinite(test).all()):
        raise RunError("nothing to fit a baseline on", "baselines", "finite numbers", x.shape)
    some = thinned(np.zeros(len(x), np.int64), groups, seed, MOST)
    x, tags, groups = x[some], tags[some].astype(np.bool_), groups[some]
    with threadpool_limits(1):
        folds = _folds(groups, seed)
        losses = [
            np.mean([_loss(tags[b], _fitted(c, x[a], tags[a], x[b])) for a, b in folds])
            for c in STRENGTHS
            if folds
        ]
        chosen = STRENGTHS[int(np.argmin(losses))] if losses else STRENGTHS[1]
        return _fitted(chosen, x, tags, test)


def _folds(groups: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places to fit on and to look at, no group in both; none where there are too few groups."""
    names, group = np.unique(groups, return_inverse=True)
    if len(names) < FOLDS:
        return []
    fold = np.random.Generator(np.random.Philox(seed)).permutation(len(names)) % FOLDS
    held = fold[group.reshape(-1)]
    return [(np.flatnonzero(held != k), np.flatnonzero(held == k)) for k in range(FOLDS)]


def _fitted(strength: float, x: np.ndarray, tags: np.ndarray, test: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler().fit(x)
    x, test = scale.transform(x), scale.transform(test)
    found = np.empty((len(test), tags.shape[1]))
    for k, tag in enumerate(tags.T):
        if tag.all() or not tag.any():  # nothing to tell apart
            found[:, k] = float(tag[0])
            continue
        model: Any = LogisticRegression(C=strength, max_iter=STEPS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where STEPS are too few: it is as good as it gets
            found[:, k] = model.fit(x, tag).predict_proba(test)[:, 1]
    return found


def _loss(truth: np.ndarray, held: np.ndarray) -> float:
    own = np.where(truth, held, 1 - held).clip(1e-6)
    return float(-np.log(own).mean())
