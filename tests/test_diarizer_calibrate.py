"""From which likeness on two voices are one person's.

Reads and writes nothing. Examples are made up; a listener that knows them stands for a net.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from training.diarizer import calibrate  # noqa: E402
from training.diarizer.infer import ALIKE  # noqa: E402

FRAMES = 1200  # of 10 ms


def test_heaps_are_parted_where_the_fewest_are_on_the_wrong_side() -> None:
    low, high = np.array([0.1, 0.2, 0.3]), np.array([0.7, 0.9])
    assert calibrate.best_between(low, high) == pytest.approx(0.5)
    low, high = np.array([0.1, 0.2, 0.3, 0.8]), np.array([0.7, 0.9, 0.95])
    assert 0.3 < calibrate.best_between(low, high) <= 0.7
    # Of 100 that are unlike one lies high; that one must not cost half of the others.
    low = np.concatenate([np.linspace(0, 0.4, 99), [0.97]])
    assert calibrate.best_between(low, np.array([0.6, 0.98])) == pytest.approx(0.5)


class Net:
    """Hears who speaks, in any order; what two voices have in common is one direction."""

    profile = SimpleNamespace(shorter=10)
    frame, rate, device = 1600, 16000, "cpu"

    def __init__(self, truth: np.ndarray, like: float, other: float) -> None:
        self.truth, self.like, self.other = truth, like, other
        self.half, self.random = 0, np.random.default_rng(0)

    def told(self, logmel: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
        part = self.truth[self.half * count :][:count].reshape(-1, 10, 2).mean(1)
        self.half = 1 - self.half
        order = self.random.permutation(2)
        common = np.eye(4)[3] * np.sqrt(self.other)
        voices = np.eye(4)[:2] * np.sqrt(self.like - self.other) + common
        return part[:, order], voices[order]


def found(monkeypatch: pytest.MonkeyPatch, examples: int, *, short: bool = False) -> float:
    truth = np.zeros((FRAMES, 2), np.uint8)
    truth[:300, 0] = truth[300:600, 1] = truth[600:900, 0] = truth[900:, 1] = 1
    if short:  # 1.9 s of the second one in the first half
        truth[490:600, 1] = 0
    example = {"logmel": np.zeros((FRAMES, 4), np.float32), "activity": truth, "frames": FRAMES}
    monkeypatch.setattr(calibrate, "read", lambda row, longest: example)
    net: Any = Net(truth, 0.9, 0.4)
    return calibrate.alike(net, [SimpleNamespace()] * examples, FRAMES)  # type: ignore[list-item]


def test_the_threshold_lies_between_like_and_unlike_whatever_order_they_are_found_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert found(monkeypatch, 10) == pytest.approx(0.65, abs=0.01)


def test_too_little_to_find_it_by(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, 4) == ALIKE  # 8 pairs of each kind


def test_who_says_too_little_in_a_half_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first one's two halves, and their first with the other's second: 12 of each."""
    assert found(monkeypatch, 12, short=True) == pytest.approx(0.65, abs=0.01)
    assert found(monkeypatch, 9, short=True) == ALIKE
