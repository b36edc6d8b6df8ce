"""Sound that has given spectra, for trying models on that take sound where none was kept.

Reads and writes nothing. Does: turns log-mel frames back into waves. Mel bands and the lost phases
leave it rough: a file's worth of noise in the same colours, never heard by anyone.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from training.graph.frontend import LogMel


def sounded(features: np.ndarray, front: LogMel) -> np.ndarray:
    """(clips, frames, mels) as stored -> (clips, samples) float32 of such spectra."""
    told, n_fft = front.feature, front.feature["n_fft"]
    power = _power(features.astype(np.float64), told) @ _spread(front.bank)
    random = np.random.Generator(np.random.Philox(0))
    phases = np.exp(2j * np.pi * random.random(power.shape))
    frames = np.fft.irfft(np.sqrt(power) * phases, n_fft) * front.window
    size = (features.shape[1] - 1) * told["hop"] + n_fft
    wave, weight = np.zeros((len(features), size)), np.full(size, 1e-9)
    for i in range(features.shape[1]):
        part = slice(i * told["hop"], i * told["hop"] + n_fft)
        wave[:, part] += frames[:, i]
        weight[part] += front.window**2
    # Frames of independent phases add up to less than their own level.
    wave *= np.sqrt(weight.mean() / np.square(front.window).mean())
    middle = (wave / weight)[:, n_fft // 2 : n_fft // 2 + front.samples]
    short = front.samples - middle.shape[1]
    return np.pad(middle, ((0, 0), (0, max(0, short)))).clip(-1, 1).astype(np.float32)


def _spread(bank: np.ndarray) -> np.ndarray:
    """(mels, bins): a band's power goes evenly to its bins."""
    shares = bank.T / np.maximum(bank.sum(0), 1e-12)[:, None]
    return np.asarray(shares / np.maximum(bank.sum(1), 1e-12)[None])


def _power(features: np.ndarray, told: Mapping[str, Any]) -> np.ndarray:
    """The recipe's logarithm undone."""
    if told["log"] == "ln":
        return np.maximum(np.exp(features) - told["eps"], 0.0)
    if told["log"] == "log10_1p":
        return np.maximum(10**features - 1, 0.0) / told["c"]
    return np.asarray(10 ** (features / 10) * (abs(told["ref"]) or 1.0))
