"""Mixtures that a recipe does not store but plans: made to the bit as it would have stored them.

Reads: the examples and noise tracks that an index names, each hash checked. Does: the pipeline's
own arithmetic, written down a second time since training knows only what the index says. Writes
nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from training.data.batches import Batches
from training.data.index import Index
from training.data.noises import fit, tracks

READ = 32 << 20  # bytes of examples read at once where nothing is shuffled


def planned(index: Index, split: str, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The mixtures of every window, one after the other."""
    plan = ["noise_source", "noise_start", "scale", "gain"]
    windows = Batches(
        index,
        split,
        1,
        fields=[*fields, *plan],
        shuffle=False,
        buffer=READ,
        ahead=False,
    )
    with tracks(index, split) as track:
        for window in windows.epoch(0):
            row = {name: array[0] for name, array in window.items()}
            for i in np.flatnonzero(row["noise_kind"] >= 0):
                noise = fit(
                    track(row["noise_source"][i]), len(row["clean"]), int(row["noise_start"][i])
                )
                noisy, clean = _remade(row["clean"], noise, row["scale"][i], row["gain"][i])
                yield {
                    "noisy": noisy,
                    "clean": clean,
                    "source": row["source"],
                    "start": row["start"],
                    "requested": row["requested"][i],
                    "noise_kind": row["noise_kind"][i],
                }


def _remade(
    clean: np.ndarray, noise: np.ndarray, scale: np.float32, gain: np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """The pipeline's own arithmetic: noise in double precision, clean times a float32 gain."""
    added = noise * np.float64(scale)
    stored = clean.copy()
    if gain != 1.0:
        stored = clean * gain
        added *= float(gain)
    return (stored + added).astype(np.float32), stored
