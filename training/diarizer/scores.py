"""How far somebody's account of who spoke when is from the truth.

Reads and writes nothing. Does: diarization error rate with what it is made of, Jaccard error rate,
how much is spoken by several at once. Times are exact, not frames: turns are cut where anything
begins or ends.

A collar is what md-eval calls so: so many seconds before and after each boundary of the truth are
not scored. pyannote.metrics gives the name to both sides together, twice as much.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from training.diarizer.rttm import Turn

ALL = (0, 1 << 30)  # speakers at once: any number
ALONE, TOGETHER = (0, 1), (2, 1 << 30)  # buckets that every moment is in one of


@dataclass(frozen=True)
class Errors:
    """Seconds, summed over recordings; each of several who speak at the same time counts."""

    speech: float = 0.0  # of all speakers in the truth
    missed: float = 0.0
    false: float = 0.0
    confused: float = 0.0  # said to be another one

    def __add__(self, other: "Errors") -> "Errors":
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Errors(*(one + another for one, another in pairs))

    @property
    def rate(self) -> float:
        """DER: 0 is perfect, 1 is what saying nothing costs, more is possible."""
        wrong = self.missed + self.false + self.confused
        return wrong / self.speech if self.speech else float(wrong > 0)


@dataclass(frozen=True)
class Pieces:
    """A recording, cut where anything begins or ends."""

    start: np.ndarray  # (pieces,) seconds
    length: np.ndarray  # (pieces,) seconds
    truth: np.ndarray  # (speakers, pieces) who speaks in it, truly
    found: np.ndarray  # (speakers, pieces) and as was found


def errors(truth: Sequence[Turn], found: Sequence[Turn], collar: float = 0.0,
           overlap: tuple[int, int] = ALL) -> Errors:  # fmt: skip
    """Of one recording, with the names that make the fewest errors. `overlap`: only where the truth
    has so many speakers at once, least and most."""
    cut = _pieces(truth, found, collar)
    count, said = cut.truth.sum(0), cut.found.sum(0)
    correct = np.zeros(len(cut.length))
    for i, j in _matched(cut):
        correct += cut.truth[i] & cut.found[j]
    length = cut.length * ((count >= overlap[0]) & (count <= overlap[1]))
    both = np.minimum(count, said)
    return Errors(
        float(length @ count), float(length @ (count - both)), float(length @ (said - both)),
        float(length @ (both - correct)),
    )  # fmt: skip


def jaccard(truth: Sequence[Turn], found: Sequence[Turn]) -> float:
    """JER (DIHARD II, 2019): of each true speaker 1 - intersection / union with the one who is
    matched to them, the mean over speakers. They are matched as for the DER."""
    cut = _pieces(truth, found, 0.0)
    if not len(cut.truth):
        return float(len(cut.found) > 0)
    shared = [
        float(cut.length @ (one & other) / (cut.length @ (one | other)))
        for one, other in ((cut.truth[i], cut.found[j]) for i, j in _matched(cut))
    ]
    return 1 - sum(shared) / len(cut.truth)


def overlapped(truth: Sequence[Turn]) -> float:
    """The part of the time with speech in which several speak."""
    cut = _pieces(truth, [], 0.0)
    count = cut.truth.sum(0)
    speech = float(cut.length @ (count > 0))
    return float(cut.length @ (count > 1)) / speech if speech else 0.0


def named(truth: Sequence[Turn], found: Sequence[Turn]) -> dict[str, str]:
    """Who was found -> who that is in truth; whoever is nobody is left out."""
    true, said = speakers(truth), speakers(found)
    return {said[j]: true[i] for i, j in _matched(_pieces(truth, found, 0.0))}


def wrong(truth: Sequence[Turn], found: Sequence[Turn]) -> list[tuple[float, float]]:
    """Where anything is missed, false or confused: start and end in seconds."""
    cut = _pieces(truth, found, 0.0)
    right = np.zeros(len(cut.length), int)
    for i, j in _matched(cut):
        right += cut.truth[i] & cut.found[j]
    off = (cut.truth.sum(0) > right) | (cut.found.sum(0) > right)
    spans = zip(cut.start[off].tolist(), (cut.start + cut.length)[off].tolist(), strict=True)
    return [(turn.start, turn.end) for turn in merged(Turn(*span, "") for span in spans)]


def speakers(turns: Iterable[Turn]) -> list[str]:
    return sorted({turn.speaker for turn in turns})


def merged(turns: Iterable[Turn]) -> list[Turn]:
    """Turns of one speaker that touch are one: nothing begins where they meet."""
    found: list[Turn] = []
    for turn in sorted(turns, key=lambda turn: (turn.speaker, turn.start)):
        last = found[-1] if found else None
        if last and last.speaker == turn.speaker and turn.start <= last.end:
            found[-1] = Turn(last.start, max(last.end, turn.end), turn.speaker)
        else:
            found.append(turn)
    return sorted(found)


def _matched(cut: Pieces) -> list[tuple[int, int]]:
    """Who is who: one to one, so that they share the most time."""
    both = (cut.truth * cut.length) @ cut.found.T.astype(float)
    rows, columns = linear_sum_assignment(-both)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if both[i, j] > 0]


def _pieces(truth: Sequence[Turn], found: Sequence[Turn], collar: float) -> Pieces:
    bounds = np.array([time for turn in merged(truth) for time in turn[:2]])
    times = np.array([time for turn in (*truth, *found) for time in turn[:2]])
    near = np.stack([bounds - collar, bounds + collar]) if collar else np.zeros((2, 0))
    edges = np.unique(np.concatenate([times, *near]))
    if not len(edges):
        return Pieces(np.zeros(0), np.zeros(0), *(np.zeros((0, 0), bool),) * 2)
    scored = ~_covered(edges, *near)
    who = [
        np.array(
            [
                _covered(edges, *np.array([turn[:2] for turn in turns if turn.speaker == name]).T)
                for name in speakers(turns)
            ],
            bool,
        ).reshape(-1, len(scored))[:, scored]
        for turns in (truth, found)
    ]
    return Pieces(edges[:-1][scored], np.diff(edges)[scored], *who)


def _covered(edges: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(pieces,) those between edges that any of the spans holds; spans begin and end at edges."""
    steps = np.zeros(len(edges), int)
    np.add.at(steps, np.searchsorted(edges, starts), 1)
    np.add.at(steps, np.searchsorted(edges, ends), -1)
    return steps.cumsum()[:-1] > 0
