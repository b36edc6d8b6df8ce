"""A U-Net on the waveform that estimates the noise; the clean signal is the input less that noise.

Reads and writes nothing. Does: measures the level around every moment, divides by it, halves the
rate four times, looks far to both sides in a dilated bottleneck, doubles the rate four times.

Every output sample depends on the input less than `context` samples away and on nothing else, and
moves with it in steps of `LEVEL_BLOCK`. So a recording cut into overlapping blocks gives what the
whole gives, which a level taken over the whole recording would prevent.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (its usual name)

STRIDE = 16  # samples: four stages, each halving the rate
FLOOR = 1e-3  # level below which silence is not amplified further, -60 dBFS
LEVEL_BLOCK = 1024  # samples in one measurement of the level
LEVEL_SPAN = 33  # blocks in its moving mean: 1.5 s at 22.05 kHz
DILATIONS = (1, 2, 4, 8, 16, 32, 64, 128)  # at 1/16 of the rate: +-0.19 s at 22.05 kHz


def local_level(
    wave: Tensor, block: int = LEVEL_BLOCK, span: int = LEVEL_SPAN, floor: float = FLOOR
) -> Tensor:
    """Standard deviation around each sample: (batch, 1, samples) -> the same shape, >= floor."""
    samples = wave.shape[-1]
    fill = (0, -samples % block)
    sums = [F.pad(torch.ones_like(wave), fill), F.pad(wave, fill), F.pad(wave * wave, fill)]
    held = torch.cat(sums, 1)  # counted, so that what lies past the end weighs nothing
    held = F.avg_pool1d(held, block, block)
    held = F.avg_pool1d(held, span, 1, span // 2)
    count, mean, power = held[:, :1], held[:, 1:2], held[:, 2:]
    mean, power = mean / count, power / count
    level = (power - mean * mean).clamp(min=floor * floor).sqrt()
    level = F.interpolate(level, scale_factor=float(block), mode="linear")
    return level[..., :samples]


class Gated(nn.Module):
    """A 1x1 convolution whose second half gates the first (GLU, Dauphin et al. 2017)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(inputs, 2 * outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(self.mix(x), 1)


class Down(nn.Module):
    """Half the rate."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, 8, 2, 3)
        self.gate = Gated(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(F.gelu(self.conv(x)))


class Up(nn.Module):
    """Twice the rate; interpolation before the convolution leaves no checkerboard (Odena 2016)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.gate = Gated(inputs, inputs)
        self.conv = nn.Conv1d(inputs, outputs, 5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(self.gate(x), scale_factor=2.0, mode="linear")
        return F.gelu(self.conv(x))


class Dilated(nn.Module):
    """A residual block of a temporal convolution network (Luo and Mesgarani 2019), normalised over
    the channels of each moment alone."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Conv1d(channels, wide, 1)
        self.look = nn.Conv1d(wide, wide, 3, padding=dilation, dilation=dilation, groups=wide)
        self.narrow = nn.Conv1d(wide, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x.transpose(1, 2)).transpose(1, 2)
        y = F.gelu(self.look(F.gelu(self.widen(y))))
        return x + self.narrow(y)


class UNet(nn.Module):
    """(batch, samples) -> the same, for any number of samples. base 64: 12.1 M parameters."""

    def __init__(self, base: int = 64) -> None:
        super().__init__()
        widths = [base, 2 * base, 4 * base, 8 * base]
        half = base // 2
        self.stride = STRIDE
        reach = (sum(DILATIONS) + 8) * STRIDE  # samples; 8: the stages' own kernels, rounded up
        self.context = LEVEL_BLOCK * (LEVEL_SPAN // 2 + 2 + -(-reach // LEVEL_BLOCK))
        self.stem = nn.Conv1d(1, half, 15, 1, 7)  # the full rate passes around all stages
        self.down = nn.ModuleList(map(Down, [half, *widths[:-1]], widths))
        self.middle = nn.Sequential(*(Dilated(widths[-1], d) for d in DILATIONS))
        self.up = nn.ModuleList(map(Up, widths[::-1], [*widths[-2::-1], half]))
        self.head = nn.Sequential(Gated(2 * half, half), nn.Conv1d(half, 1, 7, 1, 3))
        with torch.no_grad():
            for weight in self.head[-1].parameters():
                weight.mul_(0.1)  # begins close to leaving the input as it is

    def forward(self, noisy: Tensor) -> Tensor:
        wave = noisy[:, None].float()
        level = local_level(wave)
        samples = wave.shape[-1]
        x = self.stem(F.pad(wave / level, (0, -samples % self.stride)))
        skips = [x]
        for down in self.down:
            x = down(x)
            skips.append(x)
        x = self.middle(x)
        for up in self.up:
            x = up(x + skips.pop())
        noise = self.head(torch.cat([x, skips.pop()], 1))[..., :samples].float()
        return (wave - level * noise)[:, 0]
