"""Answers that listen to nothing: how wrong they are, and that a seed decides.

Reads and writes nothing.
"""

import numpy as np
import pytest

from training.diarizer import baselines
from training.diarizer.rttm import Turn
from training.diarizer.scores import errors, overlapped, speakers

TRUTH = [Turn(1, 10, "a"), Turn(8, 20, "b"), Turn(25, 30, "a")]


def test_everything_is_one_speaker() -> None:
    assert baselines.everything(30.0) == [Turn(0, 30, "1")]
    assert baselines.everything(0.0) == []
    found = errors(TRUTH, baselines.everything(30.0))
    assert (found.missed, found.false) == (2, 6)


def test_speech_as_one_speaker_misses_only_who_speaks_as_well() -> None:
    assert baselines.speech(TRUTH) == [Turn(1, 20, "1"), Turn(25, 30, "1")]
    found = errors(TRUTH, baselines.speech(TRUTH))
    assert (found.missed, found.false, found.confused) == (2, 0, 10)
    assert baselines.speech([]) == []


def test_random_turns_follow_one_another_within_the_recording() -> None:
    counts = set()
    for seed in range(30):
        found = baselines.random(60.0, seed)
        assert overlapped(found) == 0
        assert all(0 <= a < b <= 60 for a, b, _ in found)
        assert all(x.end <= y.start for x, y in zip(found, found[1:], strict=False))
        assert all(x.speaker != y.speaker for x, y in zip(found, found[1:], strict=False))
        counts.add(len(speakers(found)))
    assert counts == {2, 3, 4}
    lengths = [turn.end - turn.start for turn in baselines.random(30_000.0, 1)]
    assert np.mean(lengths) == pytest.approx(baselines.MEAN, rel=0.1)


def test_a_seed_and_a_name_decide() -> None:
    one = baselines.baselines("a", 60.0, TRUTH)
    assert tuple(one) == baselines.NAMES
    assert one == baselines.baselines("a", 60.0, TRUTH)
    for other in (("b", 60.0, TRUTH, 0), ("a", 60.0, TRUTH, 1)):
        assert one[baselines.RANDOM] != baselines.baselines(*other)[baselines.RANDOM]
    assert one[baselines.RANDOM] == baselines.baselines("a", 60.0, [])[baselines.RANDOM]
