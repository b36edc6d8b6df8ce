"""The denoiser's batches: what they hold, and that only the epoch and the place decide it.

Reads and writes only in pytest's own folders.
"""

import threading
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from tests import corpus, here, noisy
from tests.noisy import Made
from training.data import torch_data
from training.data.batches import Share
from training.data.index import DataError, Index, load_index
from training.data.mixing import Online
from training.data.noises import Noises
from training.data.torch_data import Mixtures, pairs

# Some have to be turned down, and the test split has no second voice to make babble of.
LOUD = here.changed(corpus.MIX, mix__values=[-20.0, 10.0], mix__noises=["white", "babble"])
TEXTS = {
    "stored": here.changed(LOUD, name="stored"),
    "plan": here.changed(LOUD, name="plan", mix__materialise=False, output__fields=["clean"]),
    "level": here.changed(
        corpus.MIX,
        name="level", mix__kind="level", mix__values=[0.001, 0.3], audio__rate=16000,
        window__samples=8192, window__hop=8192,
    ),
    "tiny-classes": corpus.CLASSES,
}  # fmt: skip


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Index]:
    root = tmp_path_factory.mktemp("mixtures")
    data = corpus.small_corpus(root / "data", 20)
    here.features(data, root / "artifacts", corpus.recipes(root, *TEXTS.values()))
    return {name: load_index(root / "artifacts" / name) for name in TEXTS}


def test_a_plan_is_mixed_to_the_bit_as_it_would_have_been_stored(indexes: dict[str, Index]) -> None:
    for split in ("train", "test"):
        stored = list(pairs(indexes["stored"], split, 4))
        mixed = list(pairs(indexes["plan"], split, 4))
        assert len(stored) == len(mixed) > 1
        kinds = {kind for batch in stored for kind in batch["noise_kind"]}
        assert kinds == ({0, 1} if split == "train" else {0})
        exact = sum(len(batch["noisy"]) for batch in stored)
        assert torch_data.count(indexes["stored"], split) == exact
        assert (torch_data.count(indexes["plan"], split) == exact) == (split == "train")
        for a, b in zip(stored, mixed, strict=True):
            assert set(a) == set(b)
            for name in a:
                assert a[name].dtype == b[name].dtype
                assert a[name].tobytes() == b[name].tobytes()


ONLINE = Online(room=1 << 20)  # holds all noise
PARTLY = Online(room=100 << 10)
PLAIN = Online(alone=0, untouched=0, speed=(1, 1), colour=0, gain=(0, 0), room=1 << 20)


def epoch(
    indexes: dict[str, Index], names: str, number: int = 0, first: int = 0, **more: Any
) -> list[dict[str, np.ndarray]]:
    told: dict[str, Any] = {"batch": 4, "online": ONLINE, "rate": 8000, "seed": 1} | more
    mixtures = Mixtures([indexes[name] for name in names.split()], **told)
    found = list(mixtures.epoch(number, first))
    assert len(found) == mixtures.steps - first
    return found


def same(a: list[dict[str, np.ndarray]], b: list[dict[str, np.ndarray]]) -> bool:
    assert len(a) == len(b) > 0
    return all(
        x.keys() == y.keys() and all(x[n].tobytes() == y[n].tobytes() for n in x)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("names", ["stored", "stored level"])
@pytest.mark.parametrize("online", [None, ONLINE, PARTLY])
def test_goes_on_exactly_from_any_step(
    indexes: dict[str, Index], names: str, online: Online | None
) -> None:
    whole = epoch(indexes, names, 3, online=online)
    assert len(whole) > 5
    for first in range(len(whole)):
        workers = 1 + first % 3
        assert same(epoch(indexes, names, 3, first, online=online, workers=workers), whole[first:])


@pytest.mark.parametrize("online", [None, ONLINE])
def test_two_ranks_share_every_global_batch(
    indexes: dict[str, Index], online: Online | None
) -> None:
    alone = epoch(indexes, "stored level", 2, online=online, batch=4)
    ranks = [
        epoch(indexes, "stored level", 2, online=online, batch=2, share=Share(rank, 2))
        for rank in range(2)
    ]
    joined = [{n: np.concatenate([a[n], b[n]]) for n in a} for a, b in zip(*ranks, strict=True)]
    assert same(joined, alone)


def test_batches_hold_pairs_at_one_rate(indexes: dict[str, Index]) -> None:
    for online in (None, ONLINE):
        for rate, n in ((8000, 4096), (16000, 8192), (0, None)):
            for batch in epoch(indexes, "stored level", online=online, rate=rate):
                assert set(batch) == {"noisy", "clean", "source"}
                assert batch["source"].shape == (4,)
                for name in ("noisy", "clean"):
                    assert batch[name].dtype == np.float32
                    assert batch[name].shape in ({(4, n)} if n else {(4, 4096), (4, 8192)})


def test_other_rates_are_resampled(indexes: dict[str, Index]) -> None:
    for name in ("noisy", "clean"):
        low, high = (epoch(indexes, "level", online=None, rate=rate) for rate in (8000, 16000))
        for a, b in zip(low, high, strict=True):
            for one, two in zip(a[name], b[name], strict=True):
                np.testing.assert_array_equal(one, soxr.resample(two, 16000, 8000, "HQ"))


def test_the_snr_is_kept_whatever_else_is_changed(indexes: dict[str, Index]) -> None:
    mix = {**indexes["plan"].recipe["mix"], "values": [5.0, 5.0]}
    index = replace(indexes["plan"], recipe={**indexes["plan"].recipe, "mix": mix})
    online = Online(below=0, above=0, alone=0, untouched=0)
    for rate in (4000, 8000, 22050):
        for batch in Mixtures([index], 4, online=online, rate=rate).epoch(0):
            for mixture, clean in zip(batch["noisy"], batch["clean"], strict=True):
                assert snr(mixture, clean, rate) == pytest.approx(5.0, abs=0.02)


def snr(mixture: np.ndarray, clean: np.ndarray, rate: int) -> float:
    """Over the 100 ms within 40 dB of the loudest, in dB."""
    size = round(rate / 10)
    wide = clean.astype(np.float64)
    blocks = [wide[at : at + size] for at in range(0, len(wide), size)]
    most = max((block**2).mean() for block in blocks)
    active = np.concatenate([block for block in blocks if (block**2).mean() >= 1e-4 * most])
    return float(10 * np.log10((active**2).mean() / ((mixture - wide) ** 2).mean()))


def test_speed_changes_the_clean_sound_alone(indexes: dict[str, Index], tmp_path: Path) -> None:
    online = replace(PLAIN, speed=(1.25, 1.25))
    stored = [row for batch in pairs(indexes["plan"], "train") for row in batch["clean"]]
    faster = {soxr.resample(row, 125, 100, "HQ").tobytes() for row in stored}
    untouched = [
        row for batch in epoch(indexes, "plan", online=online, batch=1) for row in batch["clean"]
        if np.abs(batch["noisy"]).max() < 0.9999
    ]  # fmt: skip
    assert len(untouched) > 4
    for row in untouched:
        assert row[: round(4096 / 1.25)].tobytes() in faster
        assert not row[round(4096 / 1.25) :].any()
    square = noisy.index(tmp_path, [Made(25)], [1] * 8)
    for batch in Mixtures([square], 4, online=online).epoch(0):
        assert {noisy.halves(row) for row in batch["noisy"]} == {25}


@pytest.mark.parametrize("rate", [4000, 16000])
def test_noise_is_resampled_too(tmp_path: Path, rate: int) -> None:
    index = noisy.index(tmp_path, [Made(40)], [1] * 8)
    for batch in Mixtures([index], 4, online=PLAIN, rate=rate).epoch(0):
        assert batch["noisy"].shape == (4, noisy.N * rate // noisy.RATE)
        for row in batch["noisy"]:
            slow = soxr.resample(row, rate, noisy.RATE, "HQ")
            assert noisy.halves(slow) == pytest.approx(40, abs=1)


def test_a_recipe_named_twice_is_mixed_in_two_ways(indexes: dict[str, Index]) -> None:
    found = [row.tobytes() for b in epoch(indexes, "plan plan") for row in b["noisy"]]
    assert len(set(found)) == len(found) == 8 * len(epoch(indexes, "plan"))


def test_recipes_share_the_memory(
    indexes: dict[str, Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []

    class Watched(Noises):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            held.append(sum(part.nbytes for part in self.samples))

    monkeypatch.setattr(torch_data, "Noises", Watched)
    mixtures = Mixtures([indexes["stored"], indexes["level"]], 4, online=PARTLY)
    list(mixtures.epoch(0))
    assert len(held) == 2
    assert PARTLY.room / 2 < sum(held) <= PARTLY.room
    sizes = [4 * 4096, 4 * 8192]
    shuffled = sum(p.room * size for p, size in zip(mixtures.parts, sizes, strict=True))
    assert 0.99 * torch_data.SHUFFLED < shuffled <= torch_data.SHUFFLED


def test_stored_batches_are_the_stored_mixtures_once_each(indexes: dict[str, Index]) -> None:
    def rows(batches: Iterable[dict[str, np.ndarray]]) -> list[tuple[bytes, ...]]:
        names = ("source", "clean", "noisy")
        columns = [[b[name] for name in names] for b in batches]
        return [tuple(v.tobytes() for v in row) for c in columns for row in zip(*c, strict=True)]

    stored = rows(pairs(indexes["stored"], "train"))
    found = rows(epoch(indexes, "stored", online=None))
    assert len(found) == len(set(found)) > len(stored) - 4
    assert set(found) <= set(stored)


def test_online_batches_hold_each_stored_clean_with_new_noise(indexes: dict[str, Index]) -> None:
    stored = {row.tobytes() for batch in pairs(indexes["plan"], "train") for row in batch["clean"]}
    noises = set()
    for number in range(2):
        for batch in epoch(indexes, "plan", number, online=PLAIN):
            for mixture, clean in zip(batch["noisy"], batch["clean"], strict=True):
                assert clean.tobytes() in stored or np.abs(mixture).max() > 0.9999  # turned down
                noises.add((mixture - clean).tobytes())
    assert len(noises) == 2 * 4 * len(epoch(indexes, "plan"))


def test_an_epoch_is_the_same_again_and_another_is_not(indexes: dict[str, Index]) -> None:
    one = epoch(indexes, "stored level", 1)
    assert same(one, epoch(indexes, "stored level", 1))
    for other in (epoch(indexes, "stored level", 2), epoch(indexes, "stored level", 1, seed=2)):
        assert not {row.tobytes() for b in one for row in b["noisy"]} & {
            row.tobytes() for b in other for row in b["noisy"]
        }


def test_what_was_used_before_changes_nothing(indexes: dict[str, Index]) -> None:
    for online in (ONLINE, PARTLY):
        mixtures = Mixtures([indexes["stored"]], 4, online=online)
        third = list(Mixtures([indexes["stored"]], 4, online=online).epoch(3))
        for number in (0, 1):
            next(mixtures.epoch(number))
        assert same(list(mixtures.epoch(3)), third)


@pytest.mark.parametrize("online", [None, ONLINE])
def test_threads_change_no_bit(indexes: dict[str, Index], online: Online | None) -> None:
    one = epoch(indexes, "stored level", online=online, workers=1)
    for workers in (2, 4):
        assert same(epoch(indexes, "stored level", online=online, workers=workers), one)


def test_recipes_take_random_turns_of_whole_batches(indexes: dict[str, Index]) -> None:
    names = ("stored", "level")
    mixtures = Mixtures([indexes[name] for name in names], 4)
    counts = [Mixtures([indexes[name]], 4).steps for name in names]
    assert min(counts) > 1
    assert mixtures.steps == sum(counts)
    seen = set()
    for number in range(4):
        sizes = [batch["clean"].shape[1] for batch in mixtures.epoch(number)]
        assert [sizes.count(4096), sizes.count(8192)] == counts
        seen.add(tuple(sizes))
    assert len(seen) == 4


def test_the_speaker_is_in_nobodys_noise(tmp_path: Path) -> None:
    """To the end: what was added to each example is a track that may be added to it."""
    made = [Made(5, 2, (1, 2)), Made(7, 2, (2, 3)), Made(9, 1, (3, 1)), Made(11, split="test")]
    index = noisy.index(tmp_path, made, [1 + i % 3 for i in range(24)])
    group = {f"{i:032x}".encode(): 1 + i % 3 for i in range(24)}
    may = {1: {7}, 2: {9}, 3: {5}}
    for batch in Mixtures([index], 4, online=PLAIN).epoch(0):
        assert not batch["clean"].any()
        for wave, source in zip(batch["noisy"], batch["source"], strict=True):
            assert noisy.halves(wave) in may[group[bytes(source)]]


def test_too_few_examples_are_refused_by_name(indexes: dict[str, Index]) -> None:
    for batch, share in ((1000, Share()), (4, Share(1, 300))):
        with pytest.raises(DataError, match=r"level has too few examples for one batch.*expected"):
            Mixtures([indexes["level"]], batch, share=share)


def test_recipes_that_have_no_mixtures_are_refused_by_name(indexes: dict[str, Index]) -> None:
    with pytest.raises(DataError, match="plan stores no mixtures"):
        Mixtures([indexes["stored"], indexes["plan"]], 4)
    with pytest.raises(DataError, match="classes mixes nothing"):
        Mixtures([indexes["tiny-classes"]], 4, online=ONLINE)


@pytest.mark.parametrize("damaged", ["train-0.h5", "noise-train-0.h5"])
def test_damage_reaches_who_asks_and_leaves_no_thread(tmp_path: Path, damaged: str) -> None:
    index = noisy.index(tmp_path, [Made(5)], [1] * 9)
    data = bytearray((tmp_path / damaged).read_bytes())
    data[-9] ^= 1
    (tmp_path / damaged).write_bytes(data)
    with pytest.raises(DataError, match=f"{damaged}.*other bytes"):
        list(Mixtures([index], 2, online=ONLINE, workers=2).epoch(0))
    assert not [t for t in threading.enumerate() if t.name.startswith("ordered")]


def test_memory_does_not_grow_with_the_noise(tmp_path: Path) -> None:
    peaks = []
    for count in (20, 200):  # neither fits
        made = [Made(3 + i) for i in range(count)]
        index = noisy.index(tmp_path / str(count), made, [1] * 40)
        mixtures = Mixtures([index], 4, online=Online(room=200_000))
        list(mixtures.epoch(0))
        tracemalloc.start()
        for number in range(1, 4):
            list(mixtures.epoch(number))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
