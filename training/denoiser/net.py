"""The denoiser's networks by name.

Reads and writes nothing. Does: makes a network for a sample rate, names its encoder.

| name       | parameters | made for                                                |
| unet       | 12.1 M     | the waveform, looks 1 s to both sides, for a GPU        |
| unet-small | 1.2 M      | the same for a CPU                                      |
| spec       | 0.17 M     | the spectrum, causal: one block after the other, in 35 ms |
| spec-large | 0.67 M     | the same, for long training on many voices              |
"""

from torch import nn

from training.denoiser.spec import SpecNet
from training.denoiser.unet import UNet

ARCHS = ("unet", "unet-small", "spec", "spec-large")
ENCODERS = ("stem.", "down.", "first.", "norm.", "memories.0.")

Denoiser = UNet | SpecNet


def make_net(arch: str, rate: int) -> Denoiser:
    """A network with fresh weights from torch's random state; ``rate`` in Hz."""
    if arch.startswith("spec") and arch in ARCHS:
        return SpecNet(rate, 80 if arch == "spec" else 192)
    if arch in ARCHS:
        return UNet(64 if arch == "unet" else 20)
    raise ValueError(f"unknown architecture {arch!r}: expected one of {', '.join(ARCHS)}")


def encoder_parameters(net: nn.Module) -> list[nn.Parameter]:
    """What listens, as opposed to what answers: frozen first when a trained net meets new data."""
    return [p for name, p in net.named_parameters() if name.startswith(ENCODERS)]
