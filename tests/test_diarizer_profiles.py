"""A diarizer's profiles: what the shipped three are beside each other.

Reads and writes nothing.
"""

import pytest

pytest.importorskip("torch")

from training.diarizer.profiles import PROFILES  # noqa: E402

SIZES = ("original", "optimized", "ultra-fast")


def test_every_size_is_smaller_and_sees_less() -> None:
    big, middle, small = (PROFILES[name] for name in SIZES)
    for a, b in ((big, middle), (middle, small)):
        assert a.width > b.width
        assert a.blocks > b.blocks
        assert a.shorter < b.shorter
        assert a.settings.epochs > b.settings.epochs
        assert a.longest * a.shorter >= b.longest * b.shorter
    assert [one.once for one in (big, middle, small)] == [False, False, True]


def test_a_minute_is_whole_frames_of_each() -> None:
    for one in PROFILES.values():
        assert 6000 % one.shorter == 0
        assert (one.head, one.speakers, one.overlap) == ("powerset", 4, 2)
        assert (one.answers, len(one.sets)) == (11, 11)
