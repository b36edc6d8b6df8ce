"""What the denoiser is trained to make small.

Reads and writes nothing. Each loss is a module: (estimate, clean), both (batch, samples), to one
number in float32 whatever the precision around it.

A spectral term is always taken from the waveform that leaves the network, never from a spectrum
before its synthesis, and on frames four times as dense as they are long: what a mask makes that no
waveform can have is gone before it is judged (Wisdom et al. 2018, arXiv 1811.08521). The usual
consistency penalty would then be zero; its weight stands with the complex term.

`composite-sdr` adds the error in dB. Compressed magnitudes alone forgive an error of 5 % of the
energy, which is nothing at 0 dB and ruins an input of 20 dB.

But for `mse`, both waves are first brought to where the clean one has the level 1: a quiet example
counts as a loud one, and the waveform's term is as large as the spectral ones, which guards what is
hardly noisy. At equal steps that gained 1.2 dB of SI-SDR over plain waves on the demo corpus (one
seed each).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (its usual name)

from training.denoiser.spec import fft_size

LOSSES = ("mse", "composite", "composite-sdr", "mrstft")
POWER = 0.3  # magnitudes are compared compressed, so that quiet bins count
TINY = 1e-7  # power added under a root: gradients stay below 1000; -70 dB of a bin's scale
WAVE, MAGNITUDE, COMPLEX, CONSISTENCY = 0.2, 0.3, 0.2, 0.3  # FastEnhancer, arXiv 2509.21867
QUIETEST = 0.01  # level that is still brought to 1: silence with noise must not outweigh speech
LEAST = 10.0  # norm of a spectrum that divides; that of a second of speech is near 3000
SDR = 0.2  # per dB, in composite-sdr: what decides; the spectral terms refine
DEEPEST = 3e-4  # error that is as good as none, -35 dB of the clean wave: no example runs away
# FFT, hop and window in samples at 16 to 24 kHz: Yamamoto et al. 2020, arXiv 1910.11480
RESOLUTIONS = ((512, 50, 240), (1024, 120, 600), (2048, 240, 1200))


class Mse(nn.Module):
    """Mean squared error: what a plain regression would use."""

    def forward(self, estimate: Tensor, clean: Tensor) -> Tensor:
        return F.mse_loss(estimate.float(), clean.float())


class Composite(nn.Module):
    """The waveform, the compressed magnitudes and the compressed spectrum."""

    window: Tensor

    def __init__(self, rate: int, sdr: float = 0.0) -> None:
        super().__init__()
        self.size, self.sdr = fft_size(rate), sdr
        self.register_buffer("window", torch.hann_window(self.size), persistent=False)

    def forward(self, estimate: Tensor, clean: Tensor) -> Tensor:
        estimate, clean = _levelled(estimate.float(), clean.float())
        (size_a, spectrum_a), (size_b, spectrum_b) = map(self.compressed, (estimate, clean))
        complex_error = (spectrum_a - spectrum_b).abs().square().mean() / 2  # of re and im alike
        total = (
            WAVE * F.l1_loss(estimate, clean)
            + MAGNITUDE * F.mse_loss(size_a, size_b)
            + (COMPLEX + CONSISTENCY) * complex_error
        )
        return total + self.sdr * _error_db(estimate, clean) if self.sdr else total

    def compressed(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Magnitude**POWER, and the spectrum with those magnitudes and its own phase."""
        spectrum = _stft(wave, self.size, self.size // 4, self.window)
        size = _magnitude(spectrum)
        return size.pow(POWER), spectrum * size.pow(POWER - 1)


class MultiResolution(nn.Module):
    """The waveform, and at each resolution spectral convergence and log magnitude, halved."""

    def __init__(self) -> None:
        super().__init__()
        for i, (_, _, length) in enumerate(RESOLUTIONS):
            self.register_buffer(f"window{i}", torch.hann_window(length), persistent=False)

    def forward(self, estimate: Tensor, clean: Tensor) -> Tensor:
        estimate, clean = _levelled(estimate.float(), clean.float())
        total = F.l1_loss(estimate, clean)
        for i, (size, hop, _) in enumerate(RESOLUTIONS):
            window = getattr(self, f"window{i}")
            a, b = (_magnitude(_stft(wave, size, hop, window)) for wave in (estimate, clean))
            distance = torch.linalg.vector_norm(a - b, dim=(1, 2))
            whole = torch.linalg.vector_norm(b, dim=(1, 2)).clamp(min=LEAST)
            convergence = (distance / whole).mean()
            total = total + (convergence + F.l1_loss(a.log(), b.log())) / (2 * len(RESOLUTIONS))
        return total


def make_loss(name: str, rate: int) -> nn.Module:
    """One of LOSSES for waveforms at ``rate`` Hz."""
    if name not in LOSSES:
        raise ValueError(f"unknown loss {name!r}: expected one of {', '.join(LOSSES)}")
    if name.startswith("composite"):
        return Composite(rate, SDR if name == "composite-sdr" else 0.0)
    return Mse() if name == "mse" else MultiResolution()


def _levelled(estimate: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    level = clean.square().mean(-1, keepdim=True).sqrt().clamp(min=QUIETEST)
    return estimate / level, clean / level


def _error_db(estimate: Tensor, clean: Tensor) -> Tensor:
    """Mean over the examples of the error in dB, soft at DEEPEST; the clean waves have level 1."""
    return 10 * ((estimate - clean).square().mean(-1) + DEEPEST).log10().mean()


def _magnitude(spectrum: Tensor) -> Tensor:
    return (spectrum.real.square() + spectrum.imag.square() + TINY).sqrt()


def _stft(wave: Tensor, size: int, hop: int, window: Tensor) -> Tensor:
    """(batch, bins, frames); silence around, so that any length has frames."""
    return torch.stft(
        wave, size, hop, len(window), window, center=True, pad_mode="constant", return_complex=True
    )
