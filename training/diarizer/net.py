"""The diarizer's network: log-mel frames in, who speaks out.

Reads and writes nothing. Does: lets convolutions shorten the sequence, attention and convolutions
relate its frames, and two heads answer: which set of speakers is heard, and what a voice is like.

| profile    | width x blocks | a frame | parameters |
| original   | 256 x 4        | 100 ms  | 4.8 M      |
| optimized  | 128 x 3        | 150 ms  | 0.97 M     |
| ultra-fast | 64 x 2         | 200 ms  | 0.20 M     |

No place is numbered: what is near is known from convolutions alone, so that a window cut anywhere
means the same. Frames behind the end (`count`) are neither heard nor attended to.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = 4
WIDER = 2  # inside a feed-forward; a block has two of them
KERNEL = 15  # frames of a block's convolution
VOICE = 64  # numbers that a voice is described by
STEP = 5  # of the second shortening; the first does the rest
DEVIATION = 1e-2  # least deviation of a sequence, ln power: of silence


class Shorten(nn.Module):
    """A convolution that turns every `step` frames into one, centred on them."""

    def __init__(self, width: int, out: int, step: int) -> None:
        super().__init__()
        self.step = step
        self.conv = nn.Conv1d(width, out, 2 * step + 1, step)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, width) -> (batch, frames / step, out)"""
        before = (self.step + 1) // 2
        x = F.pad(x.transpose(1, 2), (before, self.step + 1 - before))
        return F.gelu(self.conv(x)).transpose(1, 2)


class FeedForward(nn.Sequential):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(width), nn.Linear(width, WIDER * width), nn.SiLU(), nn.Dropout(dropout),
            nn.Linear(WIDER * width, width), nn.Dropout(dropout),
        )  # fmt: skip


class Attention(nn.Module):
    """Every frame looks at all others that are heard."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.heads = HEADS  # TorchScript knows no globals
        self.norm = nn.LayerNorm(width)
        self.ask = nn.Linear(width, 3 * width)
        self.tell = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, heard: Tensor) -> Tensor:
        """(batch, frames, width); heard (batch, frames) bool"""
        batch, frames, width = x.shape
        asked = self.ask(self.norm(x)).reshape(batch, frames, 3, self.heads, width // self.heads)
        query, key, value = asked.permute(2, 0, 3, 1, 4).unbind(0)
        found = F.scaled_dot_product_attention(query, key, value, heard[:, None, None])
        told = self.tell(found.transpose(1, 2).reshape(batch, frames, width))
        return self.dropout(told)


class Near(nn.Module):
    """What the neighbours of a frame hold, each of its numbers on its own."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, 2 * width)
        self.conv = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2, groups=width)
        self.after = nn.LayerNorm(width)  # a batch norm would let examples see each other
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, heard: Tensor) -> Tensor:
        x = F.glu(self.gate(self.norm(x)), -1) * heard[..., None]
        x = F.silu(self.after(self.conv(x.transpose(1, 2)).transpose(1, 2)))
        return self.dropout(self.out(x))


class Block(nn.Module):
    """A conformer's (Gulati et al., Interspeech 2020)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.first, self.last = FeedForward(width, dropout), FeedForward(width, dropout)
        self.attention, self.near = Attention(width, dropout), Near(width, dropout)

    def forward(self, x: Tensor, heard: Tensor) -> Tensor:
        x = x + self.first(x) / 2
        x = x + self.attention(x, heard)
        x = x + self.near(x, heard)
        return x + self.last(x) / 2


class Diarizer(nn.Module):
    """`answers, voices = net(logmel, count)`"""

    def __init__(
        self, mels: int, width: int, blocks: int, shorter: int, answers: int, *,
        known: int = 0, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        if shorter % STEP or width % HEADS:
            raise ValueError(f"frames by {STEP}s and width by {HEADS}s; got {shorter}, {width}")
        self.shorter = shorter
        self.steps = (shorter // STEP, STEP)
        pairs = zip((mels, width), self.steps, strict=True)
        self.stem = nn.ModuleList(Shorten(of, width, step) for of, step in pairs)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.answer = nn.Linear(width, answers)
        self.voice = nn.Linear(width, VOICE)
        # Every voice that is learnt from, for training alone.
        self.known = nn.Parameter(torch.randn(known, VOICE)) if known else None

    def forward(self, logmel: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, frames, mels), ln power, and how many frames of each are recorded, (batch,).

        Returns (batch, frames / shorter, answers) and (batch, frames / shorter, VOICE).
        """
        x, heard = evened(logmel, count), recorded(logmel.shape[1], count)
        for number, shorten in enumerate(self.stem):
            step = self.steps[number]
            x, count = shorten(x), (count + step - 1) // step  # ONNX rounds towards 0
            heard = recorded(x.shape[1], count)
            x = x * heard[..., None]
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, heard)
        x = self.norm(x)
        return self.answer(x), self.voice(x)


def recorded(frames: int, count: Tensor) -> Tensor:
    """(batch, frames) bool: before the end of each."""
    return torch.arange(frames, device=count.device) < count[:, None]


def evened(logmel: Tensor, count: Tensor, least: float = DEVIATION) -> Tensor:
    """Every band about its mean, all of them over their deviation; 0 behind the end. So neither
    level nor microphone matter."""
    here = recorded(logmel.shape[1], count)[..., None]
    total = count.clamp(min=1)[:, None, None].to(logmel.dtype)
    mean = (logmel * here).sum(1, keepdim=True) / total
    apart = (logmel - mean) * here
    power = apart.square().sum((1, 2), keepdim=True) / (total * logmel.shape[2])
    return apart / power.sqrt().clamp(min=least)
