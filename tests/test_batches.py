"""Batches: each example once an epoch, an order of seed and epoch alone, exact resume."""

import hashlib
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import training.data.batches as loader
from pipeline.disk import store
from pipeline.formats import hdf5
from pipeline.formats.fields import Field
from training.data.batches import Batches, Share
from training.data.index import DataError, Index, load_index

FIELDS = [
    Field("wave", "float32", (8,), "full scale is 1", ("sample",)),
    Field("number", "int32", (), "", ()),
]
SIZES = (7, 1, 12, 5, 9)  # 34 examples


@pytest.fixture(params=["read to its place", "copied there"])
def index(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    if request.param == "read to its place":
        monkeypatch.setattr(loader, "WIDE", 32)  # bytes, what `wave` has
    shards, at = [], 0
    for i, size in enumerate(SIZES):
        number = np.arange(at, at + size, dtype=np.int32)
        wave = np.repeat(number[:, None], 8, 1).astype(np.float32)
        data = hdf5.encode(FIELDS, {"wave": wave, "number": number}, {})
        sha = store.write_bytes(tmp_path / f"train-{i}.h5", data)
        shards.append(
            {
                "path": f"train-{i}.h5", "split": "train", "format": "hdf5",
                "examples": size, "bytes": len(data), "sha256": sha,
            }
        )  # fmt: skip
        at += size
    table = {
        "schema": 1, "name": "toy", "key": "k", "fingerprint": "f", "recipe": {},
        "fields": [f.to_json() for f in FIELDS], "classes": [], "tags": [], "noises": [],
        "names": {}, "statistics": {}, "shards": shards, "receipts": [], "noise": [],
        "noise_fields": [],
        "counts": {}, "feature_description": {},
    }  # fmt: skip
    store.write_bytes(tmp_path / "index.json", store.dump_json(store.seal(table)))
    return load_index(tmp_path)


def numbers(batches: Batches, epoch: int, first: int = 0) -> list[list[int]]:
    found = []
    for arrays in batches.epoch(epoch, first):
        assert (arrays["wave"] == arrays["number"][:, None]).all()
        found.append(arrays["number"].tolist())
    return found


def made(index: Index, batch: int = 4, **more: Any) -> Batches:
    return Batches(index, "train", batch, seed=1, **more)


@pytest.mark.parametrize("buffer", [1, 400, 1 << 20])
@pytest.mark.parametrize("ahead", [False, True])
def test_each_example_once_and_equal_batches(index: Index, buffer: int, ahead: bool) -> None:
    batches = made(index, buffer=buffer, ahead=ahead)
    found = numbers(batches, 0)
    flat = [n for batch in found for n in batch]
    assert [len(batch) for batch in found] == [4] * 8 == [4] * batches.steps
    assert len(set(flat)) == 32
    assert set(flat) <= set(range(34))


def test_order_is_shuffled_and_changes_with_epoch_and_seed(index: Index) -> None:
    one = numbers(made(index), 0)
    assert one == numbers(made(index), 0)
    assert one != numbers(made(index), 1)
    assert one != numbers(Batches(index, "train", 4, seed=2), 0)
    flat = [n for batch in one for n in batch]
    assert flat != sorted(flat)
    same_shard = sum(abs(a - b) == 1 for a, b in zip(flat, flat[1:], strict=False))
    assert same_shard < 8  # neighbours in a shard are rarely neighbours in the order


@pytest.mark.parametrize("buffer", [1, 400, 1 << 20])
@pytest.mark.parametrize("first", range(9))
def test_goes_on_exactly_from_any_step(index: Index, first: int, buffer: int) -> None:
    batches = made(index, buffer=buffer)
    assert numbers(batches, 3, first) == numbers(batches, 3)[first:]


def test_ranks_share_every_global_batch(index: Index) -> None:
    alone = numbers(made(index, 8), 5)
    ranks = [numbers(made(index, 4, share=Share(rank, 2)), 5) for rank in range(2)]
    assert len(ranks[0]) == len(ranks[1]) == made(index, 8).steps == 4
    assert [a + b for a, b in zip(*ranks, strict=True)] == alone


def test_evaluation_sees_every_example_in_the_stored_order(index: Index) -> None:
    batches = made(index, 8, shuffle=False, buffer=400)
    found = numbers(batches, 0)
    assert [n for batch in found for n in batch] == list(range(34))
    assert [len(batch) for batch in found] == [8, 8, 8, 8, 2]
    assert batches.steps == 5


def test_only_the_asked_fields_are_read(index: Index) -> None:
    batch = next(iter(made(index, fields=["number"]).epoch(0)))
    assert set(batch) == {"number"}
    with pytest.raises(DataError, match="no fields"):
        made(index, fields=["loud"])


def test_memory_is_used_again(index: Index) -> None:
    """Of the largest shard, here, and the batch begun before it."""
    batches, seen = made(index, buffer=1, ahead=False), []
    for epoch in range(5):
        for arrays in batches.epoch(epoch):
            seen.append(weakref.ref(arrays["wave"]))
            del arrays
    assert len(seen) == 40
    assert len({id(ref()) for ref in seen}) <= 4


@pytest.mark.parametrize("ahead", [False, True])
def test_what_is_kept_of_a_batch_stays_as_it_was(index: Index, ahead: bool) -> None:
    batches, kept = made(index, buffer=400, ahead=ahead), []
    for epoch in range(3):
        for arrays in batches.epoch(epoch):
            number = arrays["number"].tolist()
            kept.append((number[1:3], arrays["wave"][1:3], arrays["number"].data[1:3]))
            del arrays
    for numbers, wave, view in kept:
        assert view.tolist() == wave[:, 0].tolist() == numbers


def test_shards_are_hashed_once(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    digest = hashlib.file_digest

    def counted(file: Any, name: str) -> Any:
        hashed.append(file.name)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    batches = made(index)
    first = [numbers(batches, 0), numbers(batches, 0)]
    assert first[0] == first[1]
    assert len(hashed) == len(set(hashed)) == len(SIZES)
    path = index.folder / "train-2.h5"
    path.write_bytes(path.read_bytes())  # its times have changed, it may be another
    numbers(batches, 1)
    assert hashed[len(SIZES) :] == [str(path)]


def test_a_damaged_shard_stops_the_epoch(index: Index) -> None:
    path = index.folder / "train-2.h5"
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"train-2\.h5.*other bytes"):
        numbers(made(index), 0)


def test_an_abandoned_epoch_leaves_no_thread(index: Index) -> None:
    import threading

    iterator = made(index, 1).epoch(0)
    next(iter(iterator))
    iterator.close()  # type: ignore[attr-defined]
    assert not any(t.name == "batches" for t in threading.enumerate())
