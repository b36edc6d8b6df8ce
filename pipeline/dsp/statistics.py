"""Means and deviations of the train split, for training to normalise with.

Reads and writes nothing. Does: sums one shard's fields, and joins the sums of all shards in their
order, so that the result does not depend on who finished first.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.recipe import Recipe


def sums(arrays: Mapping[str, np.ndarray], recipe: Recipe) -> dict[str, list[Any]]:
    """name -> [count, sums, sums of squares] in float64: per band of a spectrum (recorded frames
    only), per number of a vector, over all samples of a wave."""
    found: dict[str, list[Any]] = {}
    for name in recipe.output.fields:
        if arrays[name].dtype != np.float32:
            continue
        width = arrays[name].shape[-1] if name in recipe.features else 1
        count, total, squares = 0, np.zeros(width), np.zeros(width)
        for row, valid in zip(arrays[name], arrays["valid"], strict=True):
            wide = _recorded(row, name, int(valid), recipe).astype(np.float64).reshape(-1, width)
            count += len(wide)
            total += wide.sum(axis=0)
            squares += np.square(wide).sum(axis=0)
        found[name] = [count, total.tolist(), squares.tolist()]
    return found


def _recorded(row: np.ndarray, name: str, valid: int, recipe: Recipe) -> np.ndarray:
    if recipe.window.pad == "repeat" or (row.ndim == 1 and name in recipe.features):
        return row
    step = recipe.features[name].hop if name in recipe.features else 1
    return row[: max(1, -(-valid // step))]


def joined(receipts: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean and deviation over the train split, from the shards' sums in the shards' order."""
    totals: dict[str, list[Any]] = {}
    for receipt in receipts:
        for name, (count, total, squares) in receipt["sums"].items():
            old = totals.setdefault(name, [0, [0.0] * len(total), [0.0] * len(total)])
            old[0] += count
            old[1] = [a + b for a, b in zip(old[1], total, strict=True)]
            old[2] = [a + b for a, b in zip(old[2], squares, strict=True)]
    found = {}
    for name, (count, total, squares) in totals.items():
        mean = [t / count for t in total]
        pairs = zip(squares, mean, strict=True)
        deviation = [math.sqrt(max(0.0, s / count - m * m)) for s, m in pairs]
        found[name] = {"count": count, "mean": mean, "deviation": deviation}
    return found
