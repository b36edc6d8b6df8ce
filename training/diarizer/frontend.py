"""Sound to the log-mel frames that recipes store, inside the network's own files.

Reads and writes nothing. Does: a windowed Fourier transform as one convolution, Slaney's or HTK's
bands of librosa, the logarithm. So an export hears sound, and needs no library for it.
"""

from collections.abc import Mapping
from typing import Any

import librosa
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.errors import Changed


class LogMel(nn.Module):
    """`frames = LogMel(recipe["features"]["logmel"], rate)(wave)`"""

    waves: Tensor
    bands: Tensor

    def __init__(self, feature: Mapping[str, Any], rate: int) -> None:
        super().__init__()
        if feature["kind"] != "mel" or feature["log"] != "ln":
            raise Changed("not a log-mel", "features.logmel", 'kind = "mel", log = "ln"', feature)
        self.n_fft, self.hop, self.eps = feature["n_fft"], feature["hop"], float(feature["eps"])
        win = feature["win"] or self.n_fft
        left = (self.n_fft - win) // 2
        window = np.zeros(self.n_fft)
        window[left : left + win] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win) / win)  # Hann
        turns = np.outer(np.arange(self.n_fft // 2 + 1), np.arange(self.n_fft)) / self.n_fft
        waves = np.concatenate([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)]) * window
        bands = librosa.filters.mel(
            sr=rate, n_fft=self.n_fft, n_mels=feature["mels"], fmin=feature["fmin"],
            fmax=feature["fmax"] or None, htk=feature["scale"] == "htk",
            norm=None if feature["norm"] == "none" else feature["norm"], dtype=np.float64,
        )  # fmt: skip
        self.register_buffer("waves", torch.tensor(waves[:, None], dtype=torch.float32))
        self.register_buffer("bands", torch.tensor(bands.T, dtype=torch.float32))

    def forward(self, wave: Tensor) -> Tensor:
        """(batch, samples) -> (batch, samples / hop, mels), a frame's middle on its first sample;
        silence lies on both sides."""
        half = self.n_fft // 2
        found = F.conv1d(F.pad(wave, (half, half))[:, None], self.waves, stride=self.hop)
        real, imaginary = found.chunk(2, 1)
        power = (real.square() + imaginary.square()).transpose(1, 2) @ self.bands
        return (power + self.eps).log()[:, : wave.shape[1] // self.hop]
