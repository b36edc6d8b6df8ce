"""Batches of conversations: every one in its turn, by seed and epoch alone, on however many
processes; and what is no sequence with who speaks in it.

Reads small shards, beside plain h5py. Writes copies of them in pytest's folders.
"""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytest.importorskip("torch")

from tests import here  # noqa: E402
from tests.diarizing import FRAMES, HEARD, REAL, TALKS  # noqa: E402
from training.data.batches import Share  # noqa: E402
from training.data.index import DataError, Index, load_index  # noqa: E402
from training.diarizer.sequences import Sequences, check, read, rows, voices  # noqa: E402

Held = dict[str, np.ndarray]


@pytest.fixture
def talks(diarizer_shards: Path) -> Index:
    return load_index(diarizer_shards / TALKS)


@pytest.fixture
def real(diarizer_shards: Path) -> Index:
    return load_index(diarizer_shards / REAL)


def stored(index: Index, split: str = "train") -> Iterator[Held]:
    """Every example, by plain h5py."""
    for shard in json.loads((index.folder / "index.json").read_text())["shards"]:
        if shard["split"] == split:
            with h5py.File(index.folder / shard["path"]) as file:
                for at in range(shard["examples"]):
                    yield {name: file[name][at] for name in file}


def order(batches: Any, name: str = "source") -> list[list[tuple[bytes, int]]]:
    return [
        [(bytes(s), int(t)) for s, t in zip(b[name].reshape(-1), b["start"].reshape(-1),
                                            strict=True)]
        for b in batches
    ]  # fmt: skip


def test_an_epoch_has_every_example_once_as_it_is_stored(talks: Index) -> None:
    one = Sequences([talks], 4, longest=FRAMES)
    held = {bytes(row["source"]): row for row in stored(talks)}
    batches = list(one.epoch(0))
    assert len(batches) == one.steps == 3
    found = [name for batch in order(batches) for name, _ in batch]
    assert sorted(found) == sorted(held)
    for batch in batches:
        assert batch["logmel"].shape == (4, FRAMES, 20)
        assert batch["activity"].shape == (4, FRAMES, 4)
        assert batch["frames"].tolist() == [FRAMES] * 4
        assert "valid" not in batch
        for at, name in enumerate(batch["source"]):
            for field in ("logmel", "activity", "voices"):
                assert np.array_equal(batch[field][at], held[bytes(name)][field])


def test_the_order_depends_on_seed_and_epoch_alone(talks: Index, real: Index) -> None:
    def told(seed: int, epoch: int) -> Any:
        return order(Sequences([talks, real], 2, longest=FRAMES, seed=seed).epoch(epoch))

    np.random.seed(7)  # noqa: NPY002
    first = told(3, 2)
    np.random.seed(8)  # noqa: NPY002
    assert told(3, 2) == first
    one = Sequences([talks, real], 2, longest=FRAMES, seed=3)
    list(one.epoch(0))
    assert order(one.epoch(2)) == first  # whatever came before
    others = [told(3, 1), told(4, 2), told(2, 3)]
    assert len({str(found) for found in (first, *others)}) == 4


def test_from_any_step_on_come_the_very_next_batches(talks: Index, real: Index) -> None:
    one = Sequences([talks, real], 2, longest=FRAMES)
    whole = list(one.epoch(1))
    for first in range(one.steps + 1):
        rest = list(one.epoch(1, first))
        assert len(rest) == one.steps - first
        for a, b in zip(rest, whole[first:], strict=True):
            assert a.keys() == b.keys()
            assert all(np.array_equal(a[name], b[name]) for name in a)


def test_processes_share_the_batches_of_one(talks: Index, real: Index) -> None:
    """Two of two sequences each take the same four in a step as one process does."""
    alone = order(Sequences([talks, real], 4, longest=FRAMES, seed=1).epoch(5))
    ranks = [
        order(Sequences([talks, real], 2, longest=FRAMES, seed=1, share=Share(rank, 2)).epoch(5))
        for rank in range(2)
    ]
    assert [a + b for a, b in zip(*ranks, strict=True)] == alone
    flat = list(itertools.chain(*alone))
    assert len(set(flat)) == len(flat) == 16


def test_batches_are_of_one_recipe_in_turns(talks: Index, real: Index) -> None:
    """Only conversations name voices; what fills no batch is left out."""
    one = Sequences([talks, real], 4, longest=FRAMES)
    assert one.steps == 3 + 1
    kinds = [["voices" in batch for batch in one.epoch(epoch)] for epoch in range(8)]
    assert all(sum(kind) == 3 for kind in kinds)
    assert len({kind.index(False) for kind in kinds}) > 1  # not in a fixed place
    assert {name for batch in one.epoch(0) for name in batch} == {
        "logmel", "activity", "voices", "source", "start", "frames"
    }  # fmt: skip


def test_long_ones_are_cut_and_short_ones_say_how_long(real: Index) -> None:
    """The last window of each recording holds 3.273 s."""
    held = [read(row, 500) for row in rows(real, "train")]
    whole = [read(row, 10_000) for row in rows(real, "train")]
    assert {one["logmel"].shape[0] for one in held} == {500}
    assert {one["activity"].shape[0] for one in held} == {500}
    assert sorted(int(one["frames"]) for one in held) == [328, 328, 500, 500, 500, 500]
    assert sorted(int(one["frames"]) for one in whole) == [328, 328, 800, 800, 800, 800]
    for a, b in zip(held, whole, strict=True):
        assert np.array_equal(a["logmel"], b["logmel"][:500])
        assert np.array_equal(a["activity"], b["activity"][:500])


def test_only_the_beginning_of_each_recording_where_it_is_asked(real: Index) -> None:
    starts = [int(read(row, 1)["start"]) for row in rows(real, "train")]
    assert sorted(starts) == [0, 0, 64000, 64000, 128000, 128000]
    first = rows(real, "train", first=True)
    assert [int(read(row, 1)["start"]) for row in first] == [0, 0]
    assert Sequences([real], 2, longest=9, first=True).steps == 1


def test_voices_are_all_of_the_train_split_and_nobody_is_none(
    talks: Index, real: Index, diarizer_shards: Path
) -> None:
    wanted = {int(v) for row in stored(talks) for v in row["voices"]} - {0}
    found = voices([talks, real])
    assert found.dtype == np.int64
    assert found.tolist() == sorted(wanted)
    assert len(found) == 5
    assert not len(voices([real]))
    assert not len(voices([load_index(diarizer_shards / HEARD)]))


# ---- what cannot be learnt from ----------------------------------------------------------------


def test_too_few_for_one_batch(talks: Index) -> None:
    Sequences([talks], 12, longest=1)
    for batch, share in ((13, Share()), (7, Share(0, 2))):
        with pytest.raises(DataError, match="too few examples for one batch.*got 12"):
            Sequences([talks], batch, longest=1, share=share)


def test_a_damaged_shard_is_refused_where_it_is_read(talks: Index, tmp_path: Path) -> None:
    folder = here.copy(talks.folder, tmp_path / TALKS)
    path = next(folder.glob("train-*.h5"))
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    index = load_index(folder)
    with pytest.raises(DataError, match="other bytes") as error:
        rows(index, "train")
    assert path.name in str(error.value)
    with pytest.raises(DataError, match="other bytes"):
        voices([index])
    assert rows(index, "valid")


def changed(index: Index, *without: str, frame: int = 80) -> Index:
    recipe = {**index.recipe, "labels": {**index.recipe["labels"], "frame": frame}}
    kept = tuple(field for field in index.fields if field.name not in without)
    return replace(index, recipe=recipe, fields=kept)


def test_frames_that_are_not_those_of_the_labels(talks: Index) -> None:
    check(talks)
    with pytest.raises(DataError, match=r"label frames.*labels.frame = 80; got 160"):
        check(changed(talks, frame=160))
    with pytest.raises(DataError, match=r"label frames"):
        rows(changed(talks, frame=40), "train")


def test_a_recipe_that_does_not_say_who_speaks(talks: Index) -> None:
    for name in ("activity", "logmel"):
        with pytest.raises(
            DataError, match="does not say who speaks.*logmel and activity"
        ) as error:
            check(changed(talks, name))
        assert "recipe like conversations or diarization" in str(error.value)
