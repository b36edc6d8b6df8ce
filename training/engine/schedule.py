"""Learning rates and stopping: functions of the step and of the scores so far, nothing else.

Reads and writes nothing. Nothing here has a state, so nothing can be lost when a run is stopped:
the checkpoint holds the step and the history, and every decision follows from them.
"""

import math
from collections.abc import Sequence

from training.engine.settings import Settings


def rate(settings: Settings, step: int, total: int, scores: Sequence[float]) -> float:
    """The learning rate of a step."""
    rising = min(settings.warmup, total // 5)  # a short run must not end while it still rises
    factor = warm_up(step, rising)
    if settings.schedule == "cosine":
        factor *= cosine(step, total, rising, settings.least)
    if settings.schedule == "plateau":
        factor *= plateau(scores, settings.patience, settings.factor)
    return settings.rate * factor


def given_up(settings: Settings, scores: Sequence[float]) -> bool:
    """Whether the scores have not become better for long enough."""
    return 0 < settings.stop <= stale(scores)


def warm_up(step: int, steps: int) -> float:
    """Factor of the rate: rises in equal parts to 1 over the first `steps`."""
    return min(1.0, (step + 1) / steps) if steps else 1.0


def cosine(step: int, total: int, first: int = 0, least: float = 0.0) -> float:
    """Factor of the rate: half a cosine from 1 at step `first` down to `least` at `total`."""
    past = min(1.0, max(0.0, (step - first) / max(1, total - first)))
    return least + (1.0 - least) * (1.0 + math.cos(math.pi * past)) / 2.0


def plateau(scores: Sequence[float], patience: int, factor: float) -> float:
    """Factor of the rate: times `factor` whenever `patience` scores in a row were no better.

    Higher scores are better.
    """
    best, bad, cuts = -math.inf, 0, 0
    for score in scores:
        best, bad = (score, 0) if score > best else (best, bad + 1)
        if bad == patience:
            bad, cuts = 0, cuts + 1
    return float(factor**cuts)


def best_of(scores: Sequence[float]) -> int:
    """Where the best score stands, the first among equals; -1 without scores."""
    return max(range(len(scores)), key=lambda i: (scores[i], -i), default=-1)


def stale(scores: Sequence[float]) -> int:
    """How many scores have come since the best."""
    return len(scores) - 1 - best_of(scores) if scores else 0


def affordable(left: float, step: float, score: float, at: int, steps: int) -> int:
    """How many more steps fit into `left` seconds.

    A step takes `step` seconds; scoring and saving take `score`, at the end of each epoch of
    `steps` steps and at the very end. `at` steps are done of the current epoch.
    """
    done = 0
    while True:
        rest = steps - at % steps
        cost = rest * step + score
        if cost > left:
            return done + max(0, min(rest, int((left - score) / step)))
        done, left, at = done + rest, left - cost, 0
