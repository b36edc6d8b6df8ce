"""Other voices, other microphones, another order of time: what a batch is turned into before it is
learnt from.

Reads and writes nothing. Does: draws from torch's generator, which the engine sets anew at each
step, so that a run stopped anywhere draws the same again.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.engine.torch_learner import Batch

KNOTS = 6  # of a curve over the bands


@dataclass(frozen=True)
class Augment:
    """How much is changed; 0 is off."""

    warp: float = 0.05  # the bands are stretched by up to this: a longer or shorter vocal tract
    flip: float = 0.5  # part of the batches that run backwards; who speaks stays as true
    bands: int = 6  # at most so many in a row are silenced,
    times: int = 2  # so often
    tone: float = 0.7  # ln power, 3 dB: deviation of how each stretch of speech sounds
    part: float = 0.2  # least part of a sequence that is heard, cut out anywhere

    def __call__(self, batch: Batch) -> Batch:
        """Arrays of the batch's own are left as they are."""
        logmel, activity, count = batch["logmel"], batch["activity"], batch["frames"]
        logmel, activity, count = self._cut(logmel, activity, count)
        if self.tone:
            logmel = logmel + self.tone * tones(activity, logmel.shape[2])
        if self.warp:
            logmel = warped(logmel, 1 + self.warp * _even(len(logmel), logmel))
        if torch.rand(()) < self.flip:
            logmel, activity = backwards(logmel, count), backwards(activity, count)
        for _ in range(self.times if self.bands else 0):
            logmel = self._masked(logmel)
        return batch | {"logmel": logmel, "activity": activity, "frames": count}

    def _cut(self, logmel: Tensor, activity: Tensor, count: Tensor) -> tuple[Tensor, ...]:
        """All of a batch from the same frame on, equally long."""
        frames = logmel.shape[1]
        if not 0 < self.part < 1:
            return logmel, activity, count
        keep = int(frames * (self.part + (1 - self.part) * float(torch.rand(()))))
        keep = keep // 600 * 600 or max(60, keep // 60 * 60)  # whole frames of any model
        keep = min(keep, frames)
        least = int(count.min())
        first = int(torch.randint(max(1, min(frames - keep, least - 1) + 1), ()))
        span = slice(first, first + keep)
        return logmel[:, span], activity[:, span], (count - first).clamp(1, keep)

    def _masked(self, logmel: Tensor) -> Tensor:
        """Each example's mean over a few bands in a row."""
        batch, _, mels = logmel.shape
        place = torch.arange(mels, device=logmel.device)
        wide = torch.randint(self.bands + 1, (batch, 1)).to(place)
        first = (torch.rand(batch, 1).to(logmel.device) * (mels - wide + 1)).floor()
        hidden = (place >= first) & (place < first + wide)
        return torch.where(hidden[:, None], logmel.mean(1, keepdim=True), logmel)


def tones(activity: Tensor, mels: int) -> Tensor:
    """(batch, frames, mels): of every stretch in which the same people speak, a smooth curve over
    the bands with a deviation of 1; 0 where nobody speaks.

    Else speakers are told apart by their microphones and rooms, as long as each was recorded in
    one: that is easier than voices, and nothing where all sit in the same room.
    """
    batch, frames, _ = activity.shape
    change = (activity[:, 1:] != activity[:, :-1]).any(-1).long()
    stretch = nn.functional.pad(change.cumsum(1), (1, 0))
    knots = torch.randn(batch, int(stretch.max()) + 1, KNOTS).to(activity.device)
    curves = nn.functional.interpolate(knots, mels, mode="linear", align_corners=True)
    found = curves.gather(1, stretch[..., None].expand(batch, frames, mels))
    return found * (activity > 0).any(-1, keepdim=True)


def _even(count: int, like: Tensor) -> Tensor:
    return (2 * torch.rand(count) - 1).to(like.device)


def warped(logmel: Tensor, factor: Tensor) -> Tensor:
    """(batch, frames, mels), band m read at m times the example's factor, between two bands; what
    lies over the highest is the highest."""
    mels = logmel.shape[2]
    where = (torch.arange(mels, device=logmel.device) * factor[:, None]).clamp(max=mels - 1)
    low = where.floor().long().clamp(max=mels - 2)
    part = (where - low)[:, None]
    below = logmel.gather(2, low[:, None].expand(logmel.shape))
    above = logmel.gather(2, (low + 1)[:, None].expand(logmel.shape))
    return below + part * (above - below)


def backwards(x: Tensor, count: Tensor) -> Tensor:
    """(batch, frames, ...) from the last frame that is recorded to the first; the rest stays."""
    frames = torch.arange(x.shape[1], device=x.device)
    order = torch.where(frames < count[:, None], count[:, None] - 1 - frames, frames)
    return x.gather(1, order[..., None].expand(x.shape))
