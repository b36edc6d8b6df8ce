"""How good a denoiser is, and what it costs.

Reads and writes nothing. Does: SI-SDR in float64, PESQ and ESTOI by their packages, parameters
and multiplications.

Waves are (..., samples) float; the score has the shape (...). A score that cannot be told (no
speech, too short) is nan, never a made-up number.
"""

import warnings
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

Wave = npt.NDArray[Any]
PERCEPTUAL = {"pesq": "PESQ", "pystoi": "ESTOI"}  # package -> what it measures
PESQ_RATE = 16000  # Hz, the only rate of wide-band PESQ (ITU-T P.862.2)
EDGE = 1e-20  # energy that counts as none
CEILING = 100.0  # dB; what float32 rounding leaves of a perfect copy lies above this


def si_sdr(estimate: Wave, clean: Wave) -> np.ndarray:
    """Scale-invariant SDR in dB (Le Roux et al. 2019, arXiv 1811.02508), both without their mean,
    within +-CEILING; nan where the clean wave is silent."""
    estimate, clean = (_centred(wave) for wave in (estimate, clean))
    energy = (clean * clean).sum(-1)
    silent = energy <= EDGE
    factor = (estimate * clean).sum(-1) / np.where(silent, 1.0, energy)
    target = factor[..., None] * clean
    signal, error = (target * target).sum(-1), ((estimate - target) ** 2).sum(-1)
    return np.where(silent, np.nan, _decibels(signal, error))


def si_sdr_gain(estimate: Wave, noisy: Wave, clean: Wave) -> np.ndarray:
    """dB that the estimate lies above the input."""
    return si_sdr(estimate, clean) - si_sdr(noisy, clean)


def missing() -> list[str]:
    """A plain line for each perceptual score that cannot be had here."""
    lines = []
    for package, name in PERCEPTUAL.items():
        try:
            import_module(package)
        except ImportError:
            lines.append(f"{name} is left out: pip install {package} to have it")
    return lines


def pesq_wb(estimate: Wave, clean: Wave, rate: int) -> float:
    """Wide-band PESQ of one wave, 1.04 to 4.64 (ITU-T P.862.2)."""
    pesq = import_module("pesq")
    if rate != PESQ_RATE:
        estimate, clean = (soxr.resample(w, rate, PESQ_RATE) for w in (estimate, clean))
    try:
        return float(pesq.pesq(PESQ_RATE, np.float32(clean), np.float32(estimate), "wb"))
    except (pesq.NoUtterancesError, pesq.BufferTooShortError):
        return float("nan")


def estoi(estimate: Wave, clean: Wave, rate: int) -> float:
    """Extended STOI of one wave, 0 to 1 (Jensen and Taal 2016)."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            stoi = import_module("pystoi").stoi
            score = stoi(np.float64(clean), np.float64(estimate), rate, extended=True)
        except RuntimeWarning:  # fewer than 30 frames with speech
            return float("nan")
    return float(score) if np.any(clean) else float("nan")


def parameters(net: nn.Module) -> int:
    """Numbers that training sets."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def macs_per_second(net: nn.Module, rate: int, seconds: float = 4.0) -> float:
    """Multiply-adds in matrix products, convolutions and recurrences per second of sound."""
    wave, before = torch.zeros(1, round(rate * seconds)), net.training
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net.eval()(wave)
    net.train(before)
    return counter.get_total_flops() / 2 / seconds


def _centred(wave: Wave) -> np.ndarray:
    wave = wave.astype(np.float64)
    return wave - wave.mean(-1, keepdims=True)


def _decibels(signal: np.ndarray, error: np.ndarray) -> np.ndarray:
    """10 log10 of the ratio within +-CEILING; no signal at all is the worst there is."""
    floor = 10 ** (-CEILING / 10)
    bounded = np.maximum(error, signal * floor)
    bounded = np.where(bounded > 0, bounded, 1.0)
    return 10 * np.log10(np.maximum(signal / bounded, floor))
