"""What the diarizer learns from: who speaks, in whatever order, and whose voice it is.

Reads and writes nothing. Does: cross-entropy over sets of speakers, or over each speaker alone, in
the order of speakers that fits best; the same against another net's answers; a voice's description
against those of all voices that are learnt from.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.diarizer.augment import Augment
from training.diarizer.net import recorded
from training.diarizer.powerset import Powerset, coarser
from training.engine.torch_learner import Batch

HEADS = ("powerset", "pit-bce")
FRAME = 5  # stored frames (50 ms) in which nets of different frames are compared
SCALE = 20.0  # of cosines between voices, before the softmax


class Orders(nn.Module):
    """The loss of every order that the speakers can stand in."""

    places: Tensor

    def __init__(self, head: str, sets: Powerset) -> None:
        super().__init__()
        self.head, self.sets = head, sets
        # (orders, answers): where the answer that is wanted stands in each order
        places = sets.orders() if head == "pit-bce" else sets.renamed()
        self.register_buffer("places", places, persistent=False)

    def wanted(self, talking: Tensor) -> Tensor:
        """(batch, frames, answers): what a perfect net would say, speakers in the given order."""
        if self.head == "pit-bce":
            return (talking >= 0.5).float()
        return F.one_hot(self.sets.classes(talking), len(self.sets)).float()

    def each(self, answers: Tensor, wanted: Tensor, heard: Tensor) -> Tensor:
        """(orders, batch): the mean over the frames that are heard."""
        if self.head == "pit-bce":
            # softplus(x) - x y, summed over speakers: the first term knows no order
            plain, fit = F.softplus(answers).sum(-1), answers
        else:
            plain, fit = torch.zeros_like(answers[..., 0]), F.log_softmax(answers, -1)
        joint = torch.einsum("bta,btc->bac", fit * heard[..., None], wanted)  # said, wanted
        columns = torch.arange(joint.shape[2], device=joint.device)
        gained = joint[:, self.places, columns].sum(-1)  # (batch, orders)
        return ((plain * heard).sum(1)[:, None] - gained).T / heard.sum(1)

    def least(self, answers: Tensor, wanted: Tensor, heard: Tensor) -> Tensor:
        """Of each example in the order that fits it best, the mean over examples."""
        return self.each(answers, wanted, heard).min(0).values.mean()


def speaking(answers: Tensor, head: str, sets: Powerset) -> Tensor:
    """(batch, frames, speakers): how likely it is that each speaks."""
    if head == "pit-bce":
        return answers.float().sigmoid()
    return answers.float().softmax(-1) @ sets.table().to(answers.device)


class Objective:
    """The loss of a step. `teacher` is another net, with its share of the loss."""

    def __init__(
        self, head: str, sets: Powerset, *, known: Tensor, voice: float,
        teacher: tuple[nn.Module, float] | None = None, augment: Augment | None = None,
    ) -> None:  # fmt: skip
        self.augment = augment
        self.orders, self.known, self.weight = Orders(head, sets).to(known.device), known, voice
        self.teacher = teacher

    def __call__(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        if self.augment and net.training:
            batch = self.augment(batch)
        answers, voices = net(batch["logmel"], batch["frames"])
        with torch.autocast(answers.device.type, enabled=False):  # sums of thousands of frames
            return self._losses(net, batch, answers.float(), voices.float())

    def _losses(
        self, net: nn.Module, batch: Batch, answers: Tensor, voices: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        shorter, count = net_of(net).shorter, batch["frames"]
        talking = coarser(batch["activity"], shorter)
        heard = recorded(answers.shape[1], -(-count // shorter)).float()
        loss = self.orders.least(answers, self.orders.wanted(talking), heard)
        told = {"speech": loss.detach()}
        if self.teacher:
            taught = self._taught(batch, answers, heard, shorter)
            share = self.teacher[1]
            told["taught"] = taught.detach()
            loss = (1 - share) * loss + share * taught
        if "voices" in batch and self.weight:
            voice = self._voice(net, voices, talking, heard, batch["voices"])
            told["voice"] = voice.detach()
            loss = loss + self.weight * voice
        else:  # processes that share gradients wait for those of every weight
            loss = loss + 0 * voices.sum()
            loss = loss if net_of(net).known is None else loss + 0 * net_of(net).known.sum()
        return loss, told

    def _taught(self, batch: Batch, answers: Tensor, heard: Tensor, shorter: int) -> Tensor:
        """The loss against what the teacher answers, in whatever order."""
        assert self.teacher is not None
        orders = self.orders
        with torch.no_grad():
            net = self.teacher[0]
            said = net(batch["logmel"], batch["frames"])[0].float()
            said = said.sigmoid() if orders.head == "pit-bce" else said.softmax(-1)
            said = regridded(said, net_of(net).shorter, shorter)[:, : answers.shape[1]]
            said = F.pad(said, (0, 0, 0, answers.shape[1] - said.shape[1]))
        return orders.least(answers, said, heard)

    def _voice(
        self, net: nn.Module, voices: Tensor, talking: Tensor, heard: Tensor, who: Tensor
    ) -> Tensor:
        """Of every frame in which one speaks alone: which of all voices it is."""
        alone = (talking >= 0.5) & ((talking > 0).sum(-1, keepdim=True) == 1)
        place = torch.searchsorted(self.known, who).clamp(max=len(self.known) - 1)
        counts = alone & (self.known[place] == who)[:, None] & (heard > 0)[..., None]
        frame, column = counts.flatten(0, 1).nonzero(as_tuple=True)
        found = F.normalize(voices.flatten(0, 1)[frame], dim=-1)
        table = F.normalize(net_of(net).known, dim=-1)
        wanted = place[:, None].expand(counts.shape).flatten(0, 1)[frame, column]
        losses = F.cross_entropy(SCALE * found @ table.T, wanted, reduction="sum")
        return losses / max(1, len(frame))


def net_of(net: nn.Module) -> Any:
    """The network itself, whatever wraps it."""
    return getattr(net, "module", net)


def regridded(said: Tensor, shorter: int, to: int) -> Tensor:
    """(batch, frames, answers) of frames `shorter` long, in frames `to` long: means of what lies
    inside."""
    fine = said.repeat_interleave(shorter // FRAME, 1)
    return coarser(fine, to // FRAME)
