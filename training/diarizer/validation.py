"""What an epoch of a diarizer is judged by.

Reads: the validation splits, once. Does: asks the network for sequences held in memory, counts the
frames in which it is wrong. Writes nothing.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import nn

from training.data.batches import drawn
from training.data.index import DataError, Index
from training.diarizer.loss import Orders, speaking
from training.diarizer.net import recorded
from training.diarizer.powerset import coarser
from training.diarizer.profiles import Profile
from training.diarizer.sequences import read, rows, stacked
from training.diarizer.stitch import decided
from training.engine.torch_learner import moved

HEARD = 8  # sequences at once
VALID = 48  # sequences that an epoch is judged by, over all recipes; 46 MB of a minute each


class Validation:
    """Up to VALID sequences of the validation splits, held in memory, drawn without favour."""

    def __init__(self, indexes: Sequence[Index], profile: Profile, orders: Orders) -> None:
        self.orders, self.profile = orders, profile
        longest = profile.longest * profile.shorter
        self.batches = []
        for index in indexes:
            every = rows(index, "valid", first=profile.once, given=True)
            kept = np.flatnonzero(drawn(len(every), max(1, VALID // len(indexes))))
            examples = [read(every[place], longest) for place in kept]
            parts = [examples[at : at + HEARD] for at in range(0, len(examples), HEARD)]
            self.batches += [stacked(part) for part in parts]
        if not self.batches:
            where = ", ".join(str(index.folder) for index in indexes)
            do = "add recordings of more speakers"
            wanted = "a split valid with labels that were given"
            raise DataError("nothing to validate with", where, wanted, "none", do)

    def __call__(self, net: nn.Module) -> dict[str, float]:
        device = next(net.parameters()).device
        losses, wrong, speech = 0.0, 0.0, 0.0
        for batch in self.batches:
            held = moved(batch, device)
            answers = net(held["logmel"], held["frames"])[0].float()
            talking = coarser(held["activity"], self.profile.shorter)
            ends = -(-held["frames"] // self.profile.shorter)
            heard = recorded(answers.shape[1], ends).float()
            loss = self.orders.least(answers, self.orders.wanted(talking), heard)
            losses += float(loss) * len(held["frames"])
            said, truth = speaking(answers, self.profile.head, self.profile.sets), talking >= 0.5
            for one, true, end in zip(said.cpu().numpy(), truth, ends.tolist(), strict=True):
                errors, spoken = frame_errors(true[:end].cpu().numpy(), decided(one[:end]))
                wrong, speech = wrong + errors, speech + spoken
        count = sum(len(batch["frames"]) for batch in self.batches)
        return {"speech": losses / count, "der": wrong / max(speech, 1.0)}


def frame_errors(truth: np.ndarray, said: np.ndarray) -> tuple[float, float]:
    """(frames wrong, frames of speech) of (frames, speakers) bool tables, with the names that make
    the fewest errors: the diarization error rate without a collar, for choosing an epoch."""
    both = truth.T.astype(np.float64) @ said.astype(np.float64)
    a, b = linear_sum_assignment(-both)
    most = np.maximum(truth.sum(1), said.sum(1)).sum()  # of each frame: missed, false or confused
    return float(most - both[a, b].sum()), float(truth.sum())
