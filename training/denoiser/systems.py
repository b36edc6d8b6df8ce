"""What can be heard side by side: anything that takes noisy waves and gives cleaned ones.

Reads and writes nothing. Does: makes a system of a network, or of whatever knows one rate alone;
changes rates; says what a system costs.
"""

import copy
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import soxr
import torch

from training.denoiser.metrics import Wave, macs_per_second, parameters
from training.denoiser.net import Denoiser

System = Callable[[Wave, int], Wave]  # (n, samples) float32 and their rate in Hz -> the same
COST_S = 4.0  # seconds of sound that a system's speed is measured on
COST_RUNS = 3


@dataclass(frozen=True)
class Resampled:
    """A system that knows one rate. What lies above half of it is gone from the answer."""

    work: Callable[[Wave], Wave]  # (n, samples) float32 at `rate` -> the same
    rate: int  # Hz
    warm: float = 0.0  # seconds: so much of a wave is heard before it, for what adapts slowly
    parameters: float = math.nan
    net: Denoiser | None = None

    def __call__(self, waves: Wave, rate: int) -> Wave:
        lead = min(waves.shape[1], round(self.warm * rate))
        heard = np.concatenate([waves[:, :lead], waves], 1)
        found = self.work(at_rate(heard, rate, self.rate))
        return at_rate(found, self.rate, rate, heard.shape[1])[:, lead:]


def at_rate(waves: Wave, rate: int, to: int, samples: int = 0) -> Wave:
    """(n, samples) float32 at another rate; cut or filled with silence to `samples`, if given."""
    if rate != to:
        waves = np.ascontiguousarray(soxr.resample(waves.T, rate, to, "HQ").T)
    samples = samples or waves.shape[1]
    return np.pad(waves[:, :samples], ((0, 0), (0, max(0, samples - waves.shape[1]))))


def identity(waves: Wave, rate: int) -> Wave:
    """Nothing done at all: what every system has to be better than."""
    return waves


def ours(net: Denoiser, net_rate: int) -> Resampled:
    """A network on whole waves, where it lies (CPU or GPU)."""

    def work(waves: Wave) -> Wave:
        net.eval()
        device = next(net.parameters()).device
        with torch.inference_mode():
            cleaned: Wave = net(torch.from_numpy(waves).to(device)).float().cpu().numpy()
        return cleaned

    return Resampled(work, net_rate, parameters=parameters(net), net=net)


def costs(system: System, rate: int) -> dict[str, float]:
    """`parameters`; `macs` for a second of sound; `rtf`, the seconds that one core works on a
    second of sound at `rate` Hz, resampling included. What cannot be told is nan."""
    found = {"parameters": math.nan, "macs": math.nan}
    if isinstance(system, Resampled):
        found["parameters"] = system.parameters
        system = replace(system, warm=0.0)
        if system.net is not None:
            net = copy.deepcopy(system.net).cpu()
            found["macs"] = macs_per_second(net, system.rate)
            system = ours(net, system.rate)
    random = np.random.Generator(np.random.Philox(0))
    wave = 0.1 * random.standard_normal((1, round(rate * COST_S)), np.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = [_seconds(system, wave, rate) for _ in range(COST_RUNS)]
    finally:
        torch.set_num_threads(threads)
    return {**found, "rtf": statistics.median(seconds) / COST_S}


def _seconds(system: System, wave: Wave, rate: int) -> float:
    begin = time.process_time()  # of this process alone, so that a busy machine tells the same
    system(wave, rate)
    return time.process_time() - begin
