"""Groups of what sounds alike: embeddings into as many as may be, then how many there are.

Reads and writes nothing. Does:

- grouped: average linkage by the angle between embeddings, cut into `most` groups. That takes
  memory by the square of their number, so more than BLOCK are grouped in blocks, in order, into
  FINE groups each, and then those by their means.
- refined: each group as one Gaussian with all its covariances; the cheapest way through the
  speech, where a change of speaker costs CHANGE (Viterbi); and while one Gaussian tells of two
  groups nearly as well as two do, they are one. How well is counted by step of speech, so that a
  long recording has no more speakers than a short one.

ALIKE and CHANGE were chosen on conversations that no figure in the README is of.
"""

import itertools

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

BLOCK = 2000  # embeddings grouped at once: 16 MB of distances, 25 minutes of speech
FINE = 32  # groups of a block
ROUNDS = 3  # times that steps are dealt anew; later ones move next to nothing
CHANGE = 12.0  # nats; what a change of speaker costs: few turns are shorter than half a second
PAUSED = 0.3  # of that where there is a pause: others like to speak there
ALIKE = 1.6  # nats a step; half as much again and two speakers of three are one
PRIOR = 10.0  # steps of the whole recording that each Gaussian is made of beside its own
FLOOR = 0.01  # of the variance: a sound that never changes has none


def grouped(points: np.ndarray, most: int) -> np.ndarray:
    """(points,) the group of each, from 0; one group unless there are two points for each."""
    if len(points) > BLOCK:
        parts = [grouped(points[at : at + BLOCK], FINE) for at in range(0, len(points), BLOCK)]
        firsts = np.cumsum([0, *(part.max() + 1 for part in parts)])
        fine = np.concatenate([part + first for part, first in zip(parts, firsts, strict=False)])
        directions = _unit(points)
        means = np.array([directions[fine == k].mean(axis=0) for k in range(firsts[-1])])
        return grouped(means, most)[fine]
    count = min(most, len(points) // 2)
    if count < 2:
        return np.zeros(len(points), int)
    apart = pdist(_unit(points), "sqeuclidean")  # twice 1 - cosine
    found: np.ndarray = fcluster(linkage(apart, "average"), count, "maxclust") - 1
    return found


def _unit(points: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(points, axis=1, keepdims=True)
    found: np.ndarray = points / np.maximum(length, 1e-12)
    return found


def refined(rows: np.ndarray, who: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(steps,) the speaker of each row (steps, numbers), from groups who (steps,); `near` says
    whether a step follows the one before it without a pause."""
    whole = _sums(rows)
    who = _dealt(rows, who, near, whole)
    who = _merged(rows, who, whole)
    return _dealt(rows, who, near, whole)


class _Sums:
    """Count, sums and products of some rows: what a Gaussian is made of."""

    def __init__(self, count: int, total: np.ndarray, products: np.ndarray) -> None:
        self.count, self.total, self.products = count, total, products

    def __add__(self, other: "_Sums") -> "_Sums":
        products = self.products + other.products
        return _Sums(self.count + other.count, self.total + other.total, products)

    def mean(self) -> np.ndarray:
        return self.total / self.count

    def covariance(self) -> np.ndarray:
        mean = self.mean()
        found: np.ndarray = self.products / self.count - np.outer(mean, mean)
        return found

    def held(self, whole: "_Sums") -> np.ndarray:
        """The covariance, drawn towards that of all: few rows say little."""
        base = whole.covariance() + FLOOR * np.eye(len(self.total))
        found: np.ndarray = (self.count * self.covariance() + PRIOR * base) / (self.count + PRIOR)
        return found


def _sums(rows: np.ndarray) -> _Sums:
    wide = rows.astype(np.float64)
    return _Sums(len(rows), wide.sum(axis=0), wide.T @ wide)


def _dealt(rows: np.ndarray, who: np.ndarray, near: np.ndarray, whole: _Sums) -> np.ndarray:
    """Every step given to whom it fits best, with few changes; names from 0, none without steps."""
    for _ in range(ROUNDS):
        names, who = np.unique(who, return_inverse=True)
        if len(names) < 2:
            break
        found = _path(
            np.stack([_fit(rows, rows[who == k], whole) for k in range(len(names))]), near
        )
        if np.array_equal(found, who):
            break
        who = found
    return np.unique(who, return_inverse=True)[1]


def _fit(rows: np.ndarray, own: np.ndarray, whole: _Sums) -> np.ndarray:
    """(steps,) log-likelihood of each row in the Gaussian of the rows `own`, but for a constant."""
    told = _sums(own)
    root = np.linalg.cholesky(told.held(whole))
    white = np.linalg.inv(root).astype(np.float32)
    apart = (rows - told.mean().astype(np.float32)) @ white.T
    found: np.ndarray = -0.5 * np.einsum("sn,sn->s", apart, apart) - np.log(np.diag(root)).sum()
    return found


def _path(fits: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(steps,) the best way through fits (speakers, steps)."""
    costs = np.where(near, CHANGE, PAUSED * CHANGE)
    stay = np.arange(len(fits))
    came = np.empty((fits.shape[1], len(fits)), np.uint8)
    best = np.zeros(len(fits))
    for step, fit in enumerate(fits.T):
        leader = best.argmax()
        other = best[leader] - costs[step]
        came[step] = np.where(best >= other, stay, leader)
        best = np.maximum(best, other) + fit
        best -= best[leader]  # small numbers stay exact in ten hours
    found = np.empty(len(came), int)
    at = int(best.argmax())
    for step in range(len(came) - 1, -1, -1):
        found[step] = at
        at = int(came[step, at])
    return found


def _merged(rows: np.ndarray, who: np.ndarray, whole: _Sums) -> np.ndarray:
    """Groups that sound alike are one, the most alike first."""
    held = {k: _sums(rows[who == k]) for k in np.unique(who).tolist()}
    while len(held) > 1:
        loss = {
            (one, other): _loss(held[one], held[other], whole)
            for one, other in itertools.combinations(held, 2)
        }
        one, other = min(loss, key=lambda pair: (loss[pair], pair))
        if loss[one, other] >= ALIKE:
            break
        held[one] += held.pop(other)
        who = np.where(who == other, one, who)
    return who


def _loss(one: _Sums, other: _Sums, whole: _Sums) -> float:
    """Nats a step by which two Gaussians tell more than one of both."""
    both = one + other
    wide = [s.count * float(np.linalg.slogdet(s.held(whole))[1]) for s in (both, one, other)]
    return 0.5 * (wide[0] - wide[1] - wide[2]) / both.count
