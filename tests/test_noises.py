"""Noise tracks for training: whose, which split's, how many in memory.

Reads and writes only in pytest's own folders.
"""

import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.dsp import mix
from tests import noisy
from tests.noisy import Made
from training.data.index import DataError
from training.data.noises import Noises, fit, tracks

ALL = 1 << 30  # bytes


def generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def drawn(noises: Noises, count: int, group: int = 1, n: int = 512) -> Counter[int]:
    """Half period -> how often it was drawn."""
    found: Counter[int] = Counter()
    for i in range(count):
        wave = noises.draw(n, group, generator(7, i))
        assert wave is not None
        assert wave.shape == (n,)
        assert wave.dtype == np.float32
        found[noisy.halves(wave)] += 1
    return found


def test_each_kind_is_as_likely_and_so_is_each_track_of_it(tmp_path: Path) -> None:
    made = [Made(2 * i + 3, kind=0) for i in range(6)] + [Made(21, kind=1), Made(23, kind=1)]
    found = drawn(Noises(noisy.index(tmp_path, made), ALL, generator(0)), 1200)
    assert sum(found[half] for half in (21, 23)) == pytest.approx(600, abs=70)  # 4 deviations
    assert min(found[half] for half in (21, 23)) > 230
    assert set(found) == {track.half for track in made}
    assert min(found[2 * i + 3] for i in range(6)) > 60  # of 100


def test_no_track_of_another_split(tmp_path: Path) -> None:
    made = [Made(5), Made(7)] + [Made(h, split=s) for s, h in (("valid", 11), ("test", 13))]
    found = drawn(Noises(noisy.index(tmp_path, made), ALL, generator(0)), 200)
    assert set(found) == {5, 7}


def test_nobody_is_mixed_with_their_own_voice(tmp_path: Path) -> None:
    made = [Made(5, 2, (1, 2, 3, 4)), Made(7, 2, (2, 3)), Made(9, 2, (4, 1)), Made(11, 1, (3,))]
    noises = Noises(noisy.index(tmp_path, made), ALL, generator(0))
    for group, may in ((1, {7, 11}), (2, {9, 11}), (3, {9}), (4, {7, 11}), (5, {5, 7, 9, 11})):
        assert set(drawn(noises, 100, group)) == may
    alone = noisy.index(tmp_path / "alone", [Made(5, 2, (1,))])
    assert Noises(alone, ALL, generator(0)).draw(99, 1, generator(1)) is None


def test_begins_anywhere_and_repeats_what_is_short(tmp_path: Path) -> None:
    noises = Noises(noisy.index(tmp_path, [Made(5, length=100)]), ALL, generator(0))
    starts = set()
    for i in range(200):
        wave = noises.draw(1000, 1, generator(3, i))
        assert wave is not None
        np.testing.assert_array_equal(wave[:900], wave[100:])
        np.testing.assert_allclose(np.abs(wave), 0.5, atol=1e-6)
        starts.add(tuple(np.flatnonzero(np.diff(wave[:12]))))
    assert len(starts) >= 5  # all that a period of ten can be told apart by


def test_noise_in_memory_is_bounded_and_changes(tmp_path: Path) -> None:
    made = [Made(2 * i + 3) for i in range(30)]
    index = noisy.index(tmp_path, made)
    room = 10 * sum(field.nbytes for field in index.noise_fields)
    seen = set()
    for epoch in range(8):
        tracemalloc.start()
        noises = Noises(index, room, generator(epoch))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert sum(part.nbytes for part in noises.samples) <= room
        assert peak < room + (256 << 10)
        assert not noises.whole
        found = set(drawn(noises, 300))
        assert len(found) == 10
        assert found == set(drawn(Noises(index, room, generator(epoch)), 300))
        seen |= found
    assert len(seen) > 25
    assert Noises(index, 3 * room, generator(0)).whole
    one = noisy.index(tmp_path / "one", made, shard=30)  # a shard that does not fit
    found = [set(drawn(Noises(one, 0, generator(epoch)), 20)) for epoch in range(20)]
    assert {len(tracks) for tracks in found} == {1}
    assert len(set.union(*found)) > 8


def test_a_split_without_noise_is_refused_by_name(tmp_path: Path) -> None:
    index = noisy.index(tmp_path, [Made(5, split="test")], name="poor")
    with pytest.raises(DataError, match=r"no noise for the train split of poor"):
        Noises(index, ALL, generator(0))


def test_damaged_noise_is_refused(tmp_path: Path) -> None:
    index = noisy.index(tmp_path, [Made(5)])
    path = tmp_path / "noise-train-0.h5"
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"noise-train-0\.h5.*other bytes"):
        Noises(index, ALL, generator(0))


def test_tracks_by_their_id(tmp_path: Path) -> None:
    made = [Made(5), Made(7, length=90), Made(9), Made(11), Made(13, split="test")]
    with tracks(noisy.index(tmp_path, made), "train") as track:
        for one in made[:4]:
            found = track(f"{one.half:032x}".encode())
            np.testing.assert_array_equal(found, one.wave(one.length))
        with pytest.raises(DataError, match="no shard holds"):
            track(f"{13:032x}".encode())


@pytest.mark.parametrize("size", [1, 7, 100])
def test_fit_is_the_pipelines_to_the_bit(size: int) -> None:
    noise = generator(size).standard_normal(size).astype(np.float32) + np.float32(0.3)
    for n in (1, size, 250):
        for start in (0, size // 2, size - 1):
            assert fit(noise, n, start).tobytes() == mix.fit(noise, n, start).tobytes()
