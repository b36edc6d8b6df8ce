"""How good a tagger's answers are.

Reads and writes nothing: it is given tags and probabilities. Does: patches of a track taken
together; average precision and area under the ROC curve of each tag and their means over tags, with
intervals; what one system is ahead of another.

Tracks of one artist are alike, so an interval is drawn over groups: a bootstrap of DRAWS draws
takes whole groups with replacement and leaves 2.5 % out at either end. Means are over the tags that
some tracks have and some have not.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from training import ranking
from training.errors import RunError

Scores = dict[str, Any]  # JSON-able: what cannot be told is None
MEASURES = ("pr_auc", "roc_auc")
RANKS = {"pr_auc": ranking.average_precision, "roc_auc": ranking.roc_auc}
DRAWS = 1000
AT_ONCE = 100  # draws


def by_track(sources: np.ndarray, groups: np.ndarray, *arrays: np.ndarray) -> list[np.ndarray]:
    """Groups and means of each array over the patches of each track, in the order of sources."""
    _, first, place, counts = np.unique(
        sources, return_index=True, return_inverse=True, return_counts=True
    )
    found = [groups[first]]
    for array in arrays:
        sums = np.zeros((len(first), *array.shape[1:]))
        np.add.at(sums, place.reshape(-1), array)
        found.append(sums / counts[:, None])
    return found


def checked(truth: np.ndarray, probabilities: np.ndarray, groups: np.ndarray) -> None:
    """Refuses answers that cannot be scored."""
    if truth.shape != probabilities.shape or len(groups) != len(truth) or not len(truth):
        got = probabilities.shape
        raise RunError("answers that fit no tags", "scores", f"{truth.shape}, some of them", got)
    if not np.isfinite(probabilities).all():
        raise RunError("answers that are no numbers", "scores")


def each(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, list[float | None]]:
    """Measure -> its value for each tag; None for a tag that all tracks have, or none."""
    once = np.ones((1, len(truth)))
    found: dict[str, list[float | None]] = {}
    for name, rank in RANKS.items():
        values = [float(rank(truth[:, k], p, once)[0]) for k, p in enumerate(probabilities.T)]
        told = told_apart(truth)
        found[name] = [v if there else None for v, there in zip(values, told, strict=True)]
    return found


def told_apart(truth: np.ndarray) -> np.ndarray:
    """(tags,) which some have and some have not."""
    return np.asarray(truth.any(0) & ~truth.all(0))


def measured(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Both means over tags, without intervals; 0 where there is no tag to tell apart."""
    return {
        name: float(np.mean([v for v in values if v is not None] or [0.0]))
        for name, values in each(truth, probabilities).items()
    }


def drawn(
    truth: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, seed: int = 0
) -> dict[str, np.ndarray]:
    """Measure -> (DRAWS,) means over tags; same groups and seed, same draws."""
    _, group = np.unique(groups, return_inverse=True)
    count = int(group.max()) + 1
    random = np.random.Generator(np.random.Philox(seed))
    found: dict[str, list[np.ndarray]] = {name: [] for name in MEASURES}
    for _ in range(0, DRAWS, AT_ONCE):
        taken = random.multinomial(count, np.full(count, 1 / count), size=AT_ONCE)
        weights = taken[:, group.reshape(-1)]
        for name, rank in RANKS.items():
            tags = [rank(truth[:, k], p, weights) for k, p in enumerate(probabilities.T)]
            held = np.stack(tags, 1)
            there = np.isfinite(held)
            if name == "pr_auc":  # precision has no meaning either where all have the tag
                there &= _both(truth, weights)
            sums, counts = np.where(there, held, 0.0).sum(1), there.sum(1)
            found[name].append(sums / np.maximum(counts, 1))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _both(truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(draws, tags): whether a draw holds tracks with the tag and tracks without."""
    right = weights @ truth
    return np.asarray((right > 0) & (right < weights.sum(1, keepdims=True)))


def interval(mean: float, draws: np.ndarray | None) -> dict[str, float | None]:
    """Its bounds are not known of one group."""
    if draws is None:
        return {"mean": mean, "low": None, "high": None}
    low, high = np.quantile(draws, (0.025, 0.975))
    return {"mean": mean, "low": float(low), "high": float(high)}


def scores(
    truth: np.ndarray, probabilities: np.ndarray, draws: dict[str, np.ndarray] | None,
    tags: Sequence[str],
) -> Scores:  # fmt: skip
    """Of one system: truth (tracks, tags) bool, probabilities of the same shape, its draws."""
    found, mean = each(truth, probabilities), measured(truth, probabilities)
    return {
        **{name: interval(mean[name], draws[name] if draws else None) for name in MEASURES},
        "tags": {
            tag: {
                "tracks": int(truth[:, k].sum()),
                "average_precision": found["pr_auc"][k],
                "roc_auc": found["roc_auc"][k],
            }
            for k, tag in enumerate(tags)
        },
    }
