"""How good a denoiser is, and what it costs.

Reads and writes nothing. Does: SI-SDR and segmental SNR in float64, PESQ and ESTOI by their
packages, a bootstrap interval, parameters, multiplications and speed.

Waves are (..., samples) float; the score has the shape (...). A score that cannot be told (no
speech, too short) is nan, never a made-up number.
"""

import statistics
import time
import warnings
from collections.abc import Callable
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
    return np.where(silent, np.nan, _decibels(signal, error, CEILING))


def si_sdr_gain(estimate: Wave, noisy: Wave, clean: Wave) -> np.ndarray:
    """dB that the estimate lies above the input."""
    return si_sdr(estimate, clean) - si_sdr(noisy, clean)


def segmental_snr(estimate: Wave, clean: Wave, rate: int) -> np.ndarray:
    """Mean over 30 ms frames of the SNR within -10 to 35 dB (Hansen and Pellom 1998); frames
    50 dB below the loudest are left out; nan where there is none."""
    length = round(0.030 * rate)
    frames = clean.shape[-1] // length
    if frames == 0:
        return np.full(clean.shape[:-1], np.nan)
    shape = (*clean.shape[:-1], frames, length)
    a, b = (np.float64(w[..., : frames * length]).reshape(shape) for w in (estimate, clean))
    signal, error = (b * b).sum(-1), ((a - b) ** 2).sum(-1)
    active = (signal > 1e-5 * signal.max(-1, keepdims=True)) & (signal > EDGE)
    scores = np.clip(_decibels(signal, error, CEILING), -10, 35)
    count = active.sum(-1)
    total = np.where(active, scores, 0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


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


def interval(scores: Wave, seed: int = 0, draws: int = 2000) -> tuple[float, float, float]:
    """Mean and its 95 % bootstrap interval over files, leaving nan out."""
    scores = np.asarray(scores, np.float64).ravel()
    scores = scores[~np.isnan(scores)]
    if not len(scores):
        return float("nan"), float("nan"), float("nan")
    random = np.random.Generator(np.random.Philox(seed))
    means = [scores[random.integers(0, len(scores), len(scores))].mean() for _ in range(draws)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(scores.mean()), float(low), float(high)


def parameters(net: nn.Module) -> int:
    """Numbers that training sets."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def macs_per_second(net: nn.Module, rate: int, seconds: float = 4.0) -> float:
    """Multiply-adds in matrix products, convolutions and recurrences per second of sound."""
    wave = torch.zeros(1, round(rate * seconds))
    with _evaluating(net), FlopCounterMode(display=False) as counter:
        net(wave)
    return counter.get_total_flops() / 2 / seconds


def real_time_factor(net: nn.Module, rate: int, seconds: float = 10.0, runs: int = 3) -> float:
    """Seconds that one core works on one second of sound: the median of a few runs."""
    wave = torch.randn(1, round(rate * seconds), generator=torch.Generator().manual_seed(0)) * 0.1
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _evaluating(net):
            return statistics.median(_seconds(lambda: net(wave)) for _ in range(runs)) / seconds
    finally:
        torch.set_num_threads(threads)


class _evaluating:  # noqa: N801  (used as a word)
    """No gradients, no dropout; the mode is as before afterwards."""

    def __init__(self, net: nn.Module) -> None:
        self.net, self.was, self.quiet = net, net.training, torch.no_grad()

    def __enter__(self) -> None:
        self.net.eval()
        self.quiet.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.quiet.__exit__(*error)
        self.net.train(self.was)


def _seconds(work: Callable[[], Any]) -> float:
    begin = time.process_time()  # of this process alone, so that a busy machine tells the same
    work()
    return time.process_time() - begin


def _centred(wave: Wave) -> np.ndarray:
    wave = wave.astype(np.float64)
    return wave - wave.mean(-1, keepdims=True)


def _decibels(signal: np.ndarray, error: np.ndarray, ceiling: float) -> np.ndarray:
    """10 log10 of the ratio within +-ceiling; no signal at all is the worst there is."""
    floor = 10 ** (-ceiling / 10)
    bounded = np.maximum(error, signal * floor)
    bounded = np.where(bounded > 0, bounded, 1.0)
    return 10 * np.log10(np.maximum(signal / bounded, floor))
