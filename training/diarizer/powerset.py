"""Who speaks at once, as one of so many classes.

Reads and writes nothing. Does: names every set of up to so many of the speakers as a class, turns
who speaks into classes and back, knows what becomes of classes when speakers change places.

Cross-entropy over such classes needs no threshold and cannot say more at once than it was told
(Plaquet and Bredin, Interspeech 2023).
"""

from dataclasses import dataclass, field
from itertools import combinations, permutations

import torch
from torch import Tensor


@dataclass(frozen=True)
class Powerset:
    """Classes for `speakers`, of whom at most `overlap` speak at once."""

    speakers: int = 4
    overlap: int = 2
    sets: tuple[tuple[int, ...], ...] = field(init=False)  # class -> who speaks

    def __post_init__(self) -> None:
        who = range(self.speakers)
        sets = [s for size in range(self.overlap + 1) for s in combinations(who, size)]
        object.__setattr__(self, "sets", tuple(sets))

    def __len__(self) -> int:
        return len(self.sets)

    def table(self) -> Tensor:
        """(classes, speakers) float32: 1 where the speaker is of the set."""
        found = torch.zeros(len(self), self.speakers)
        for row, members in zip(found, self.sets, strict=True):
            row[list(members)] = 1.0
        return found

    def orders(self) -> Tensor:
        """(orders, speakers): every order that speakers can stand in."""
        return torch.tensor(list(permutations(range(self.speakers))))

    def renamed(self) -> Tensor:
        """(orders, classes): the class that each becomes when speaker k is called order[k]."""
        place = {members: number for number, members in enumerate(self.sets)}
        return torch.tensor(
            [[place[tuple(sorted(order[k] for k in members))] for members in self.sets]
             for order in self.orders().tolist()]
        )  # fmt: skip

    def classes(self, talking: Tensor) -> Tensor:
        """(..., speakers) parts of a frame in which each speaks -> (...) classes: of those with
        half of it or more the `overlap` with the most, the first of equals."""
        most, who = torch.sort(talking, dim=-1, descending=True, stable=True)
        keep = (most >= 0.5) & (torch.arange(self.speakers, device=talking.device) < self.overlap)
        said = torch.zeros_like(talking).scatter(-1, who, keep.to(talking.dtype))
        weights = 2 ** torch.arange(self.speakers, device=talking.device)
        codes = [sum(1 << k for k in members) for members in self.sets]
        lookup = torch.zeros(1 << self.speakers, dtype=torch.long)
        lookup[torch.tensor(codes)] = torch.arange(len(self))
        return lookup.to(talking.device)[(said.long() * weights).sum(-1)]


def coarser(activity: Tensor, by: int) -> Tensor:
    """(batch, frames, speakers) -> (batch, frames / by, speakers): the part of each longer frame
    in which they speak; frames at the end that fill none are left out."""
    batch, frames, speakers = activity.shape
    whole = activity[:, : frames // by * by].float()
    return whole.reshape(batch, frames // by, by, speakers).mean(2)
