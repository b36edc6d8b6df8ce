"""A small network on the short-time spectrum: a complex mask, causal in time.

Reads and writes nothing. Does: compresses the spectrum, takes neighbouring bins together, mixes
bands by attention and remembers by GRUs, and puts a complex factor on every bin. The shape follows
what FastEnhancer (arXiv 2509.21867) found best for its size; the details are ours.

All memory is carried in a state, so `step` over blocks of whole hops is `forward` over the whole,
one hop later. The DFT is a matrix product, which every exporter and accelerator can do; at these
sizes it costs 1 ms per second of sound.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (its usual name)

POWER = 0.3  # of the magnitudes the network sees; loudness grows about so
TINY = 1e-12  # power added so that gradients stay finite; -120 dB


def fft_size(rate: int) -> int:
    """About 33 ms: 512 at 16 kHz, 768 at 22.05 kHz, 1536 at 44.1 and 48 kHz."""
    return 256 * max(1, round(0.0335 * rate / 256))


def dft_bases(size: int) -> tuple[Tensor, Tensor]:
    """(samples, bins re+im) and its inverse, each with the root of a Hann window: with half
    overlap the two windows together add up to one."""
    n = torch.arange(size, dtype=torch.float64)
    window = torch.sin(math.pi * n / size)[:, None]
    angle = 2 * math.pi / size * n[:, None] * torch.arange(size // 2 + 1, dtype=torch.float64)
    analysis = torch.cat([angle.cos(), -angle.sin()], 1) * window
    weight = torch.full((size // 2 + 1,), 2.0 / size, dtype=torch.float64)
    weight[0] = weight[-1] = 1.0 / size  # these two bins have no mirror image
    synthesis = (torch.cat([angle.cos() * weight, -angle.sin() * weight], 1) * window).T
    return analysis.float().contiguous(), synthesis.float().contiguous()


class Bins(nn.Module):
    """A residual convolution along frequency. Normalised within the frame; the path beside it
    keeps how loud the frame is."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.conv = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.silu(self.conv(self.norm(x)))


class Memory(nn.Module):
    """What came before (a GRU in each band, one for all), then what the other bands do."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_time, self.norm_bands = nn.LayerNorm(width), nn.LayerNorm(width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.after = nn.Linear(width, width)
        self.ask = nn.Linear(width, 3 * width)
        self.answer = nn.Linear(width, width)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, frames, bands, width), (1, batch * bands, width) -> the same two."""
        batch, frames, bands, width = x.shape
        y = self.norm_time(x).transpose(1, 2).reshape(-1, frames, width)
        y, hidden = self.gru(y, hidden)
        x = x + self.after(y).reshape(batch, bands, frames, width).transpose(1, 2)
        asked = self.ask(self.norm_bands(x)).reshape(-1, bands, 3, self.heads, width // self.heads)
        query, key, value = asked.permute(2, 0, 3, 1, 4).unbind(0)
        found = F.scaled_dot_product_attention(query, key, value)
        found = found.transpose(1, 2).reshape(batch, frames, bands, width)
        return x + self.answer(found), hidden


class SpecNet(nn.Module):
    """(batch, samples) -> the same, for any number of samples."""

    analysis: Tensor
    synthesis: Tensor

    def __init__(
        self, rate: int, width: int = 48, bands: int = 32, memories: int = 3, heads: int = 4
    ) -> None:
        super().__init__()
        self.size, self.power, self.tiny = fft_size(rate), POWER, TINY
        self.hop = self.size // 2
        self.width, self.bands = width, bands
        stride = 4 if self.size <= 1024 else 8  # bins taken together
        groups = self.hop // stride
        for name, basis in zip(("analysis", "synthesis"), dft_bases(self.size), strict=True):
            self.register_buffer(name, basis, persistent=False)
        self.first = nn.Conv1d(2, width, 2 * stride, stride, stride // 2)
        self.encode = nn.ModuleList(Bins(width) for _ in range(2))
        self.to_bands = nn.Linear(groups, bands)
        self.place = nn.Parameter(0.1 * torch.randn(bands, width))  # which band is which
        self.memories = nn.ModuleList(Memory(width, heads) for _ in range(memories))
        self.from_bands = nn.Linear(bands, groups)
        self.merge = nn.ModuleList(nn.Conv1d(2 * width, width, 1) for _ in range(2))
        self.decode = nn.ModuleList(Bins(width) for _ in range(2))
        self.last = nn.ConvTranspose1d(width, 2, 2 * stride, stride, stride // 2)
        with torch.no_grad():  # begins close to leaving the input as it is: the mask is 1 + 0i
            self.last.weight.mul_(0.02)
            self.last.bias[0], self.last.bias[1] = 1.0, 0.0  # type: ignore[index]

    @torch.jit.export
    def start(self, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """The state before the first sample: silence."""
        like = self.analysis
        hidden = like.new_zeros((len(self.memories), batch * self.bands, self.width))
        return like.new_zeros((batch, self.hop)), like.new_zeros((batch, self.hop)), hidden

    @torch.jit.export
    def step(
        self, block: Tensor, state: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Whole hops in, as many out: those that end one hop earlier."""
        past, tail, hidden = state
        batch = block.shape[0]
        hops = torch.cat([past, block], 1).reshape(batch, -1, self.hop)
        frames = torch.cat([hops[:, :-1], hops[:, 1:]], 2)
        spectrum = torch.matmul(frames, self.analysis)
        real, imag = spectrum.chunk(2, 2)
        gain, hidden = self.gain(real, imag, hidden)
        a, b = gain[:, :, 0], gain[:, :, 1]
        spectrum = torch.cat([real * a - imag * b, real * b + imag * a], 2)
        frames = torch.matmul(spectrum, self.synthesis)
        tails = torch.cat([tail[:, None], frames[:, :, self.hop :]], 1)
        out = (frames[:, :, : self.hop] + tails[:, :-1]).reshape(batch, -1)
        return out, (hops[:, -1], tails[:, -1], hidden)

    def gain(self, real: Tensor, imag: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, frames, bins) twice -> (batch, frames, 2, bins). The mask is put on the
        compressed spectrum, so on the plain one its size is raised to 1 / POWER."""
        batch, frames = real.shape[0], real.shape[1]
        x = torch.stack([real, imag], 2)
        x = x * (real * real + imag * imag + self.tiny).pow((self.power - 1) / 2)[:, :, None]
        x = self.first(x[..., :-1].reshape(batch * frames, 2, self.hop))
        skips = [x]
        for layer in self.encode:
            x = layer(x)
            skips.append(x)
        y = self.to_bands(x).transpose(1, 2).reshape(batch, frames, self.bands, self.width)
        y = y + self.place
        held = []
        for i, memory in enumerate(self.memories):
            y, h = memory(y, hidden[i : i + 1])
            held.append(h)
        y = y.reshape(batch * frames, self.bands, self.width).transpose(1, 2)
        x = x + self.from_bands(y)
        for merge, layer in zip(self.merge, self.decode):  # noqa: B905  (TorchScript has no strict)
            x = layer(merge(torch.cat([x, skips.pop()], 1)))
        mask = self.last(x).reshape(batch, frames, 2, self.hop).float()
        mask = torch.cat([mask, mask[..., -1:]], 3)  # the highest bin shares its neighbour's
        size = (mask * mask).sum(2, keepdim=True) + self.tiny
        return mask * size.pow((1 / self.power - 1) / 2), torch.cat(held)

    def forward(self, noisy: Tensor) -> Tensor:
        samples = noisy.shape[-1]
        block = F.pad(noisy, (0, self.hop + -samples % self.hop))
        out, _ = self.step(block, self.start(noisy.shape[0]))
        return out[:, self.hop : self.hop + samples]
