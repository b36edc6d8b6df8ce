"""Scores of turns: known by hand, in agreement with pyannote.metrics, and fast.

Reads and writes nothing.
"""

import time
import warnings
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest

from training.diarizer.rttm import Turn
from training.diarizer.scores import (
    ALONE,
    TOGETHER,
    Errors,
    errors,
    jaccard,
    merged,
    named,
    overlapped,
    speakers,
    wrong,
)

TRUTH = [Turn(0, 10, "a"), Turn(8, 20, "b")]  # 22 s of speech, 2 s of both


def near(found: Errors, *wanted: float) -> bool:
    return bool(np.allclose(astuple(found), wanted))


def test_the_truth_by_other_names_is_perfect() -> None:
    found = [Turn(0, 10, "x"), Turn(8, 20, "y")]
    for collar in (0, 0.25):
        assert errors(TRUTH, found, collar).rate == 0
    assert near(errors(TRUTH, found), 22, 0, 0, 0)
    assert jaccard(TRUTH, found) == 0


def test_each_kind_of_error() -> None:
    assert near(errors(TRUTH, []), 22, 22, 0, 0)
    assert near(errors(TRUTH, [Turn(0, 30, "x")]), 22, 2, 10, 8)  # x is b: 12 s are right
    assert near(errors([], TRUTH), 0, 0, 22, 0)
    assert near(errors(TRUTH, [Turn(0, 20, "x"), Turn(0, 20, "y")]), 22, 0, 18, 0)
    assert near(errors(TRUTH, [Turn(0, 20, "x"), Turn(30, 31, "y")]), 22, 2, 1, 8)
    assert errors(TRUTH, []).rate == 1
    assert errors(TRUTH, [Turn(0, 30, "x")]).rate == pytest.approx(20 / 22)
    assert (errors([], TRUTH).rate, errors([], []).rate) == (1, 0)


def test_a_collar_lies_on_both_sides_of_each_boundary() -> None:
    """Boundaries 0, 8, 10, 20: left are 1 to 7 and 11 to 19, and of both 9, a moment."""
    assert near(errors(TRUTH, [], 1.0), 14, 14, 0, 0)
    assert near(errors(TRUTH, [Turn(1, 7, "x"), Turn(11, 19, "y")], 1.0), 14, 0, 0, 0)
    assert near(errors(TRUTH, [Turn(19, 22, "y")], 1.0), 14, 14, 1, 0)
    halves = [Turn(0, 5, "a"), Turn(5, 10, "a")]  # nothing begins at 5
    assert near(errors(halves, [], 1.0), 8, 8, 0, 0)


def test_names_are_matched_where_they_share_the_most() -> None:
    truth = [Turn(0, 5, "a"), Turn(5, 9, "b")]
    greedy = [Turn(0, 9, "x"), Turn(0, 5, "y")]  # x shares more with a, but y has only a
    assert near(errors(truth, greedy), 9, 0, 5, 0)


def test_overlap_in_buckets_is_all_there_is() -> None:
    found = [Turn(1, 9, "x"), Turn(9, 22, "y"), Turn(3, 4, "z")]
    parts = [errors(TRUTH, found, 0.25, bucket) for bucket in (ALONE, TOGETHER)]
    assert near(parts[0] + parts[1], *astuple(errors(TRUTH, found, 0.25)))
    assert parts[1].speech == pytest.approx(3)  # of 2 s of two the collars take 0.5
    assert (ALONE[1] + 1, ALONE[0]) == (TOGETHER[0], 0)


def test_jaccard_is_the_mean_over_true_speakers() -> None:
    assert jaccard(TRUTH, []) == 1
    assert jaccard(TRUTH, [Turn(0, 20, "x")]) == pytest.approx(1 - (12 / 20) / 2)
    assert (jaccard([], TRUTH), jaccard([], [])) == (1, 0)


def test_overlap_and_speakers() -> None:
    assert overlapped(TRUTH) == pytest.approx(2 / 20)
    assert overlapped([Turn(0, 10, "a"), Turn(5, 15, "a")]) == 0  # nobody talks to themself
    assert overlapped([]) == 0
    assert speakers([*TRUTH, Turn(30, 31, "a")]) == ["a", "b"]


def test_turns_that_touch_are_one() -> None:
    turns = [Turn(5, 7, "a"), Turn(0, 5, "a"), Turn(1, 2, "a"), Turn(6, 8, "b"), Turn(9, 10, "a")]
    assert merged(turns) == [Turn(0, 7, "a"), Turn(6, 8, "b"), Turn(9, 10, "a")]


def drawn(seed: int, seconds: float = 60.0) -> tuple[list[Turn], list[Turn]]:
    """A recording, and an account of it that is in part right."""
    random = np.random.default_rng(seed)

    def some(count: int, names: int, shift: float = 0.0) -> list[Turn]:
        starts = random.uniform(0, seconds, count)
        lengths = random.gamma(2.0, seconds / 30, count)
        who = random.integers(0, max(names, 1), count)
        return [
            Turn(float(a), float(a + b + 0.01), f"{'rh'[shift > 0]}{c}")
            for a, b, c in zip(starts, lengths, who, strict=True)
        ]

    truth = merged(some(int(random.integers(1, 25)), int(random.integers(1, 6))))
    off = float(random.choice([0.1, 0.6, 3.0]))
    noise = [random.uniform(-off, off, 2) for _ in truth]
    heard = [
        Turn(max(0.0, turn.start + a), turn.end + b, f"h{turn.speaker}")
        for turn, (a, b) in zip(truth, noise, strict=True)
        if random.random() < 0.8 and turn.end + b > max(0.0, turn.start + a) + 0.01
    ]
    return truth, merged([*heard, *some(int(random.integers(0, 6)), int(random.integers(1, 6)), 1)])


def annotation(turns: Sequence[Turn]) -> Any:
    core = pytest.importorskip("pyannote.core")
    held = core.Annotation()
    for number, turn in enumerate(turns):
        held[core.Segment(turn.start, turn.end), number] = turn.speaker
    return held


KNOWN = [  # what pyannote.metrics 4.2.0 says of drawn(0) to drawn(7): DER, with collar, JER
    (0.176122, 0.107291, 0.179515),
    (0.613656, 0.560407, 0.260445),
    (0.42968, 0.403877, 0.179016),
    (0.472525, 0.467539, 0.231243),
    (0.602303, 0.568266, 0.564593),
    (0.847867, 0.849118, 0.699415),
    (0.381322, 0.292486, 0.254474),
    (0.475761, 0.466845, 0.303913),
]


@pytest.mark.parametrize("seed", range(len(KNOWN)))
def test_scores_are_those_that_pyannote_gave(seed: int) -> None:
    truth, found = drawn(seed)
    rates = [errors(truth, found, collar).rate for collar in (0.0, 0.25)]
    np.testing.assert_allclose([*rates, jaccard(truth, found)], KNOWN[seed], atol=1e-6)


@pytest.mark.parametrize("part", range(5))
def test_scores_are_those_of_pyannote(part: int) -> None:
    metrics = pytest.importorskip("pyannote.metrics.diarization")
    parts = ("total", "missed detection", "false alarm", "confusion")
    for seed in range(100 * part, 100 * part + 100):
        truth, found = drawn(seed)
        reference, hypothesis = annotation(truth), annotation(found)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has to guess where the recording ends
            for collar in (0.0, 0.25):
                theirs = metrics.DiarizationErrorRate(collar=2 * collar, skip_overlap=False)
                told = theirs(reference, hypothesis, detailed=True)
                ours = errors(truth, found, collar)
                np.testing.assert_allclose(astuple(ours), [told[k] for k in parts], atol=1e-6)
                assert ours.rate == pytest.approx(told[theirs.name], abs=1e-9)
            theirs = metrics.JaccardErrorRate(collar=0.0, skip_overlap=False)
            assert jaccard(truth, found) == pytest.approx(theirs(reference, hypothesis), abs=1e-9)


def test_an_hour_is_scored_in_a_moment() -> None:
    random = np.random.default_rng(0)
    starts = np.sort(random.uniform(0, 3600, 2000))
    truth, found = (
        [Turn(float(a + s), float(a + s + 2), str(i % 8)) for i, a in enumerate(starts)]
        for s in (0.0, 0.6)
    )
    begin = time.process_time()
    for collar in (0.0, 0.25):
        assert 0 < errors(truth, found, collar).rate < 1
    jaccard(truth, found)
    assert time.process_time() - begin < 1.0  # 0.06 s on a quiet core


def test_who_is_who_and_where_it_is_wrong() -> None:
    found = [Turn(0, 9, "x"), Turn(8, 21, "y"), Turn(25, 26, "z")]
    assert named(TRUTH, found) == {"x": "a", "y": "b"}
    assert wrong(TRUTH, found) == [(9, 10), (20, 21), (25, 26)]
    assert wrong(TRUTH, TRUTH) == []
    assert (named([], found), named(TRUTH, [])) == ({}, {})
    assert wrong(TRUTH, []) == [(0, 20)]
