"""The denoiser's networks by name, and their exports.

Writes: the ONNX and TorchScript files it is asked for. Does: makes a network for a sample rate,
names its encoder, exports it so that any length runs.

| name       | parameters | made for                                                |
| unet       | 12.1 M     | the waveform, looks 1 s to both sides, for a GPU        |
| unet-small | 1.2 M      | the same for a CPU                                      |
| spec       | 0.125 M    | the spectrum, causal: one block after the other, in 35 ms |
"""

import warnings
from pathlib import Path

import torch
from torch import nn

from training.denoiser_spec import SpecNet
from training.denoiser_unet import UNet

ARCHS = ("unet", "unet-small", "spec")
OPSET = 17  # ONNX operators; the first with layer normalisation
ENCODERS = ("stem.", "down.", "first.", "encode.", "to_bands.")

Denoiser = UNet | SpecNet


def make_net(arch: str, rate: int) -> Denoiser:
    """A network with fresh weights from torch's random state; ``rate`` in Hz."""
    if arch == "spec":
        return SpecNet(rate)
    if arch in ARCHS:
        return UNet(64 if arch == "unet" else 20)
    raise ValueError(f"unknown architecture {arch!r}: expected one of {', '.join(ARCHS)}")


def encoder_parameters(net: nn.Module) -> list[nn.Parameter]:
    """What listens, as opposed to what answers: frozen first when a trained net meets new data."""
    return [p for name, p in net.named_parameters() if name.startswith(ENCODERS)]


def export_script(net: Denoiser, path: Path) -> None:
    """TorchScript; a spec net keeps its `start` and `step`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(net.cpu().eval()).save(str(path))


def export_onnx(net: Denoiser, path: Path) -> None:
    """`noisy` (batch, samples) -> `clean`, both axes free. Needs the onnx package.

    By way of TorchScript: the exporter on torch.export (torch 2.13) cannot yet export a GRU over a
    free number of frames.
    """
    axes = {0: "batch", 1: "samples"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.cpu().eval(), (torch.randn(2, 5000),), str(path), dynamo=False,
            opset_version=OPSET, input_names=["noisy"], output_names=["clean"],
            dynamic_axes={"noisy": axes, "clean": axes},
        )  # fmt: skip
