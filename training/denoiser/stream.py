"""Recordings of any length, rate and number of channels through a denoiser, block by block.

Reads: the recording it is given. Writes: the cleaned one, of the same length, rate and channels.
Does: resamples to the network's rate and back, a block at a time.

Memory does not grow with the length. Blocks give what the whole gives, within 1e-5 of full scale: a
spec net carries its state from block to block, a unet sees each block with as much around it as it
can look at. What lies above half the network's rate cannot be cleaned and is left out.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor

from training.denoiser.net import Denoiser
from training.denoiser.spec import SpecNet
from training.denoiser.unet import LEVEL_BLOCK, UNet
from training.recordings import blocks, opened, writing

WORK = 216 * LEVEL_BLOCK  # samples a unet cleans at once, 10 s at 22.05 kHz


class Carried:
    """A spec net over a stream: every hop goes through once, all channels side by side."""

    def __init__(self, net: SpecNet, channels: int) -> None:
        self.net, self.state = net, net.start(channels)
        self.rest = net.analysis.new_zeros((channels, 0))  # less than a hop
        self.late = net.hop  # of the first output: what came before the first sample
        self.taken = self.given = 0

    def push(self, block: Tensor) -> Tensor:
        """(channels, samples) in, as many as are ready out."""
        self.taken += block.shape[1]
        block = torch.cat([self.rest, block], 1)
        whole = block.shape[1] // self.net.hop * self.net.hop
        block, self.rest = block[:, :whole], block[:, whole:].clone()
        if not whole:
            return block
        out, self.state = self.net.step(block, self.state)
        skip, self.late = min(self.late, whole), max(0, self.late - whole)
        self.given += whole - skip
        return out[:, skip:]

    def finish(self) -> Tensor:
        """What is still inside."""
        missing = self.taken - self.given
        silence = self.rest.new_zeros((len(self.rest), 2 * self.net.hop - self.rest.shape[1]))
        return self.push(silence)[:, :missing]


class Overlapped:
    """A unet over a stream: blocks that overlap by what the net can see to either side."""

    def __init__(self, net: UNet, channels: int) -> None:
        self.net = net
        self.held = next(net.parameters()).new_zeros((channels, 0))
        self.before = 0  # of the held samples, those that are cleaned already

    def push(self, block: Tensor) -> Tensor:
        """(channels, samples) in, as many as are ready out."""
        self.held = torch.cat([self.held, block], 1)
        done = [self.held[:, :0]]
        while self.held.shape[1] >= self.before + WORK + self.net.context:
            done.append(self._clean(self.before + WORK + self.net.context, WORK))
            keep = min(self.before + WORK, self.net.context)  # whole level blocks, all of them
            self.held = self.held[:, self.before + WORK - keep :].clone()
            self.before = keep
        return torch.cat(done, 1)

    def finish(self) -> Tensor:
        """What is still inside."""
        return self._clean(self.held.shape[1], self.held.shape[1] - self.before)

    def _clean(self, until: int, count: int) -> Tensor:
        if not count:
            return self.held[:, :0]
        each = [self.net(channel[None, :until]) for channel in self.held]  # one at a time: memory
        return torch.cat(each)[:, self.before : self.before + count]


def denoise_blocks(
    net: Denoiser, net_rate: int, rate: int, channels: int, blocks: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """Cleaned blocks, (frames, channels) float32 as the given ones, together as long as those."""
    device = next(net.parameters()).device
    kind = Carried if isinstance(net, SpecNet) else Overlapped
    with torch.inference_mode():
        stream = kind(net, channels)  # type: ignore[arg-type]
    down = _Resampler(rate, net_rate, channels)
    up = _Resampler(net_rate, rate, channels)
    taken = given = 0

    def cleaned(block: np.ndarray, last: bool) -> np.ndarray:
        wave = torch.from_numpy(np.ascontiguousarray(down(block, last).T)).to(device)
        with torch.inference_mode():
            parts = [stream.push(wave)] + ([stream.finish()] if last else [])
        return up(torch.cat(parts, 1).cpu().numpy().T, last)

    net.eval()
    for block in blocks:
        taken += len(block)
        ready = cleaned(block, False)[: taken - given]
        given += len(ready)
        yield ready
    ready = cleaned(np.zeros((0, channels), np.float32), True)[: taken - given]
    yield np.pad(ready, ((0, taken - given - len(ready)), (0, 0)))  # two resamplings round


def denoise_file(
    net: Denoiser,
    net_rate: int,
    source: Path,
    target: Path,
    tick: Callable[[float], object] = lambda seconds: None,
) -> int:
    """Clean one recording; its format follows the target's name. Returns its frames.

    `tick` is told the seconds that each block adds.
    """
    with opened(source) as recording, writing(source, recording, target) as out:
        rate, channels = recording.samplerate, recording.channels
        sound = blocks(recording, source)
        for block in denoise_blocks(net, net_rate, rate, channels, sound):
            out.write(block)
            tick(len(block) / rate)
        return int(out.frames)


class _Resampler:
    """(frames, channels) at another rate; nothing at all where the rates are the same."""

    def __init__(self, rate: int, to: int, channels: int) -> None:
        same = rate == to
        self.stream = None if same else soxr.ResampleStream(rate, to, channels, "float32", "HQ")

    def __call__(self, block: np.ndarray, last: bool) -> np.ndarray:
        if self.stream is None:
            return block
        return self.stream.resample_chunk(np.ascontiguousarray(block), last)
