"""One account of a recording of any length, from windows that overlap by half.

Reads and writes nothing. Does: tells which speaker of a window is which of those heard before, by
who speaks in the part that both windows hear and by what the voices are like; averages there; says
yes or no frame by frame. Keeps the frames of one window, and one byte for each frame and speaker.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter
from scipy.optimize import linear_sum_assignment

from training.diarizer.rttm import Turn

LEAST = 0.3  # seconds that a voice must be heard for, to be known by it
TOGETHER = 0.5  # weight of who speaks when in the shared part, against how alike voices are


@dataclass
class Voice:
    """Somebody heard so far: the sum of the descriptions of their voice."""

    total: np.ndarray

    def like(self, other: np.ndarray) -> float:
        scale = np.linalg.norm(self.total) * np.linalg.norm(other)
        return float(self.total @ other / scale) if scale else 0.0


class Stitched:
    """`for window in windows: stitched.add(...)`, then `stitched.finish()`.

    `step` frames lie between the beginnings of two windows, `seconds` is a frame's length; voices
    whose cosine is under `alike` are two people's.
    """

    def __init__(self, step: int, seconds: float, *, alike: float, most: int = 0) -> None:
        self.step, self.seconds, self.alike, self.most = step, seconds, alike, most
        self.voices: list[Voice] = []
        self.shared = np.zeros((0, 0), np.float32)  # of the last window, what the next hears too
        self.said: list[np.ndarray] = []  # (step, speakers so far) bool

    def add(self, speaking: np.ndarray, voices: np.ndarray) -> None:
        """(frames, speakers) how likely each speaks, (speakers, numbers) their voices."""
        if self.most:
            speaking, voices = merged(speaking, voices, self.most)
        long = speaking.sum(0) * self.seconds >= LEAST
        names = self._names(speaking, voices, long)
        count = len(self.voices)
        placed = np.zeros((len(speaking), count), np.float32)
        for column, name in enumerate(names):
            if name >= 0:
                placed[:, name] = speaking[:, column]
        overlap = min(len(self.shared), len(placed))
        if overlap:
            before = np.zeros((overlap, count), np.float32)
            before[:, : self.shared.shape[1]] = self.shared[:overlap]
            placed[:overlap] = (placed[:overlap] + before) / 2
        self.said.append(decided(placed[: self.step]))
        self.shared = placed[self.step :]

    def _names(self, speaking: np.ndarray, voices: np.ndarray, long: np.ndarray) -> list[int]:
        """Which of all speakers each of a window's is. Who says next to nothing is somebody known:
        so little does not tell a voice."""
        score = self._scores(speaking, voices)
        found = [-1] * len(long)
        for column, name in zip(*linear_sum_assignment(-np.maximum(score, 0)), strict=True):
            if score[column, name] > 0:
                found[column] = int(name)
        for column in np.argsort(~long, kind="stable").tolist():
            full = 0 < self.most <= len(self.voices)
            if found[column] < 0 and (full or not long[column]):
                found[column] = self._likest(voices[column], taken=found)
            elif found[column] < 0:
                found[column] = len(self.voices)
                self.voices.append(Voice(np.zeros(len(voices[column]))))
            if found[column] >= 0 and long[column]:
                self.voices[found[column]].total += voices[column]
        return found

    def _scores(self, speaking: np.ndarray, voices: np.ndarray) -> np.ndarray:
        """(speakers of the window, speakers so far): how well each is each; 0 is a doubt."""
        score = np.zeros((speaking.shape[1], len(self.voices)))
        overlap = min(len(self.shared), len(speaking))
        for column, name in np.ndindex(score.shape):
            score[column, name] = self.voices[name].like(voices[column]) - self.alike
            if name < self.shared.shape[1]:
                a, b = speaking[:overlap, column], self.shared[:overlap, name]
                if min(a.sum(), b.sum()) * self.seconds >= LEAST:
                    both = np.minimum(a, b).sum() / np.maximum(a, b).sum()
                    score[column, name] += TOGETHER * (2 * both - 1)
        return score

    def _likest(self, voice: np.ndarray, taken: Sequence[int]) -> int:
        """Of those who are not in the window yet; -1 where there is nobody."""
        free = [k for k in range(len(self.voices)) if k not in taken]
        return max(free, key=lambda k: self.voices[k].like(voice), default=-1)

    def finish(self) -> np.ndarray:
        """(frames, speakers) bool."""
        self.said.append(decided(self.shared))
        whole = np.zeros((sum(map(len, self.said)), len(self.voices)), bool)
        at = 0
        for part in self.said:
            whole[at : at + len(part), : part.shape[1]] = part
            at += len(part)
        return whole


def merged(speaking: np.ndarray, voices: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` speakers of a window: who says least is taken for whom of those that stay they
    are most like, so that nothing that is said is lost."""
    order = np.argsort(-speaking.sum(0), kind="stable")
    kept, rest = order[:most], order[most:]
    alike = voices[rest] @ voices[kept].T
    said, like = speaking[:, kept].copy(), voices[kept].copy()
    for column, to in zip(rest.tolist(), alike.argmax(1).tolist(), strict=True):
        said[:, to] += speaking[:, column]
    return np.minimum(said, 1), like


def decided(speaking: np.ndarray) -> np.ndarray:
    """(frames, speakers) how likely each speaks -> bool: as many as are to be expected, the
    likeliest. To ask each for a half would lose speech of which only the speaker is in doubt."""
    count = np.floor(speaking.sum(1, keepdims=True) + 0.5)
    order = np.argsort(-speaking, axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    found: np.ndarray = rank < count
    return found


def turns(said: np.ndarray, seconds: float, end: float, smooth: float = 0.0) -> list[Turn]:
    """(frames, speakers) bool -> who speaks from when to when, up to `end`; gaps and turns shorter
    than half of `smooth` seconds are passed over. Speakers are numbered as they come."""
    width = 2 * int(smooth / seconds / 2) + 1
    clean = median_filter(said.astype(np.uint8), (width, 1), mode="nearest") if said.size else said
    starts = [int(np.argmax(column)) if column.any() else len(said) for column in clean.T]
    found = []
    for number, k in enumerate(sorted(range(len(starts)), key=lambda k: (starts[k], k)), 1):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], clean[:, k], [0]]).astype(np.int8)))
        for a, b in edges.reshape(-1, 2).tolist():
            start, stop = a * seconds, min(b * seconds, end)
            if start < stop:
                found.append(Turn(start, stop, f"speaker{number}"))
    return sorted(found)
