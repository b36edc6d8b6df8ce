"""tf.data over TFRecord shards: each example once an epoch, an order of seed and epoch alone.

Reads and writes only in pytest's own folders.
"""

import dataclasses
import hashlib
import itertools
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pipeline.disk import store
from pipeline.formats import hdf5, tfrecord
from pipeline.formats.fields import Field
from training.data.batches import Share
from training.data.index import DataError, Index, load_index
from training.data.shards import read_shard

tf = pytest.importorskip("tensorflow")

from tests import trainings  # noqa: E402
from tests.trainings import KERAS  # noqa: E402
from training.data import records, tf_data  # noqa: E402
from training.data.tf_data import Examples, narrow  # noqa: E402
from training.engine.memory import now, peak  # noqa: E402

FIELDS = [
    Field("wave", "float32", (8, 3), "full scale is 1", ("sample", "channel")),
    Field("half", "float16", (2,), "", ("bin",)),
    Field("active", "uint8", (), "", ()),
    Field("label", "int32", (), "", ()),
    Field("group", "int64", (), "", ()),
    Field("source", "bytes8", (), "", ()),
]
SIZES = (7, 1, 12, 5, 9)  # 34 examples
SPLITS = ["train", "valid"]  # and 4 more
SUFFIXES = {"hdf5": "h5", "tfrecord": "tfrecord"}

both = pytest.mark.parametrize("held", [True, False], ids=["held", "streamed"])


def arrays(count: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "wave": rng.standard_normal((count, 8, 3), np.float32),
        "half": rng.standard_normal((count, 2)).astype(np.float16),
        "active": rng.integers(0, 256, count, dtype=np.uint8),
        "label": rng.integers(-(2**31), 2**31, count, dtype=np.int32),
        "group": rng.integers(-(2**63), 2**63 - 1, count, dtype=np.int64),
        "source": np.array([f"s{seed}-{i}" for i in range(count)], "S8"),
    }


def build(folder: Path, formats: tuple[str, ...] = ("tfrecord", "hdf5"), more: int = 0) -> Index:
    """`more`: how many examples too many the index tells of one shard."""
    shards = []
    for i, size in enumerate((*SIZES, 4)):
        found, split = arrays(size, i), "train" if i < len(SIZES) else "valid"
        for format in formats:
            encoded = hdf5.encode(FIELDS, found, {}) if format == "hdf5" else None
            data = encoded or tfrecord.encode(FIELDS, found)
            path = folder / f"{split}-{i}.{SUFFIXES[format]}"
            shards.append(
                {
                    "path": path.name, "split": split, "format": format, "bytes": len(data),
                    "examples": size + (more if i == 2 else 0),
                    "sha256": store.write_bytes(path, data),
                }
            )  # fmt: skip
    table = {
        "schema": 1, "name": "toy", "key": "k", "fingerprint": "f", "recipe": {},
        "fields": [f.to_json() for f in FIELDS], "classes": [], "tags": [], "noises": [],
        "names": {}, "statistics": {}, "shards": shards, "receipts": [], "noise": [],
        "noise_fields": [], "counts": {},
        "feature_description": tfrecord.feature_description(FIELDS),
    }  # fmt: skip
    store.write_bytes(folder / "index.json", store.dump_json(store.seal(table)))
    return load_index(folder)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    index = build(tmp_path)
    size = sum(shard.bytes for shard in index.shards("train", "tfrecord"))
    monkeypatch.setattr(tf_data, "BUFFER", size // 4)  # far less than all
    monkeypatch.setattr(records, "BLOCK", 2)
    return index


def made(index: Index, batch: int = 4, **more: Any) -> Examples:
    return Examples(index, ["train"], batch, **({"seed": 1} | more))


def positions(examples: Examples, epoch: int, first: int = 0, **more: Any) -> list[list[int]]:
    return [
        batch["position"].tolist()
        for batch in examples.epoch(epoch, first, **more).as_numpy_iterator()
    ]


def stored(index: Index, splits: list[str]) -> dict[str, np.ndarray]:
    """As h5py reads it."""
    found: dict[str, list[np.ndarray]] = {field.name: [] for field in FIELDS}
    for split in splits:
        for shard in index.shards(split, "hdf5"):
            with h5py.File(index.path(shard)) as file:
                for name, parts in found.items():
                    parts.append(file[name][()])
    return {name: np.concatenate(parts) for name, parts in found.items()}


@both
def test_examples_are_what_h5py_reads_at_their_positions(index: Index, held: bool) -> None:
    wanted, seen = stored(index, SPLITS), []
    for batch in Examples(index, SPLITS, 4, held=held).epoch(0):
        seen += (position := batch.pop("position").numpy()).tolist()
        assert set(batch) == set(wanted)
        for name, tensor in batch.items():
            whole = wanted[name]
            texts = whole.dtype.kind == "S"
            assert tensor.dtype == (tf.string if texts else whole.dtype)
            assert tensor.numpy().tolist() == whole[position].tolist()
    assert len(seen) == len(set(seen)) == 36
    assert set(seen) <= set(range(38))


@both
def test_order_is_shuffled_and_changes_with_epoch_and_seed(index: Index, held: bool) -> None:
    one = positions(made(index, held=held), 0)
    assert one == positions(made(index, held=held), 0)
    assert one != positions(made(index, held=held), 1)
    assert one != positions(made(index, held=held, seed=2), 0)
    flat = sum(one, [])
    assert sum(abs(a - b) == 1 for a, b in zip(flat, flat[1:], strict=False)) < 8
    assert [len(batch) for batch in one] == [4] * made(index).steps == [4] * 8
    alone = Examples(index, ["valid"], 4, held=held)  # one shard, one batch
    assert len({tuple(positions(alone, epoch)[0]) for epoch in range(4)}) > 1


@both
def test_what_others_draw_and_the_batch_leave_the_order_alone(index: Index, held: bool) -> None:
    tf.random.set_seed(6)
    one = sum(positions(made(index, held=held), 3), [])
    tf.random.set_seed(7)
    tf.random.normal([3])
    assert sum(positions(made(index, held=held), 3), []) == one
    assert sum(positions(made(index, 2, held=held), 3), [])[: len(one)] == one


def test_streaming_draws_from_all_over_the_split(index: Index) -> None:
    """Shards are read in turns; the buffer alone would keep a batch to one shard or two."""
    ends = np.cumsum(SIZES)
    first = [positions(made(index, 8, held=False), epoch)[0] for epoch in range(4)]
    shards = [len(set(np.searchsorted(ends, batch, side="right"))) for batch in first]
    assert np.mean(shards) > 3


@both
def test_goes_on_exactly_from_any_step(index: Index, held: bool) -> None:
    whole = positions(made(index, held=held), 3)
    again = made(index, held=held)  # as a new process does it
    for first in range(9):
        assert positions(again, 3, first) == whole[first:]


@both
def test_shares_and_parts_tile_every_batch(index: Index, held: bool) -> None:
    alone = positions(made(index, 8, held=held), 5)
    shares = [
        positions(made(index, 8, held=held), 5, 1, share=Share(rank, 2), parts=2)
        for rank in range(2)
    ]
    assert [len(share) for share in shares] == [2 * 3] * 2
    assert all(len(piece) == 2 for share in shares for piece in share)
    both = zip(*(zip(s[::2], s[1::2], strict=True) for s in shares), strict=True)
    assert [sum((*a, *b), []) for a, b in both] == alone[1:]


@both
@pytest.mark.parametrize(
    ("world", "parts", "do"),
    [
        (3, 1, "Let as many machines learn as divide it"),
        (1, 3, "Let 2 of them learn: CUDA_VISIBLE_DEVICES=0,1"),
        (1, 7, "Let 4 of them learn: CUDA_VISIBLE_DEVICES=0,1,2,3"),
        (2, 4, "Let 2 of them learn: CUDA_VISIBLE_DEVICES=0,1"),
    ],
)
def test_a_batch_that_does_not_divide_is_refused(
    index: Index, held: bool, world: int, parts: int, do: str
) -> None:
    said = f"batch of 4 for {world} .*{world * parts} divides. {do}$"
    with pytest.raises(DataError, match=said):
        made(index, held=held).epoch(0, share=Share(0, world), parts=parts)


def test_the_advice_names_gpus_that_are_ours(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    with pytest.raises(DataError, match="Let 2 of them learn: CUDA_VISIBLE_DEVICES=4,5$"):
        made(index).epoch(0, parts=3)


@both
def test_evaluation_sees_every_example_in_the_stored_order(index: Index, held: bool) -> None:
    examples = Examples(index, SPLITS, 8, shuffle=False, held=held)
    found = positions(examples, 0)
    assert sum(found, []) == list(range(38))
    assert [len(batch) for batch in found] == [8, 8, 8, 8, 6]
    assert (examples.steps, examples.count) == (5, 38)
    assert positions(examples, 0, 3) == found[3:]
    with pytest.raises(DataError, match="shuffled examples"):
        examples.epoch(0, parts=2)


@both
@pytest.mark.parametrize("shuffle", [True, False])
def test_only_the_chosen_take_part(index: Index, held: bool, shuffle: bool) -> None:
    chosen = np.arange(34) % 3 > 0
    chosen[7:8] = False  # the whole of a shard
    (index.folder / "train-1.tfrecord").unlink()  # so it is not even opened
    examples = made(index, 3, held=held, chosen=chosen, shuffle=shuffle)
    found = positions(examples, 2)
    assert sorted(sum(found, [])) == np.flatnonzero(chosen).tolist()
    assert examples.count == len(sum(found, [])) == 21
    assert positions(examples, 2, 4) == found[4:]
    labels = stored(index, ["train"])["label"]
    for batch in examples.epoch(2):
        assert (batch["label"] == labels[batch["position"]]).numpy().all()


@both
def test_what_stands_beside_comes_along(index: Index, held: bool) -> None:
    beside = {"logits": np.arange(68, dtype=np.float32).reshape(34, 2), "weight": np.arange(34) % 5}
    for batch in made(index, held=held, beside=beside, fields=["label"]).epoch(0):
        assert set(batch) == {"label", "logits", "weight", "position"}
        for name, array in beside.items():
            assert batch[name].dtype == array.dtype
            assert (batch[name].numpy() == array[batch["position"].numpy()]).all()


@pytest.mark.parametrize("asked", [{"beside": {"logits": np.zeros(33)}}, {"chosen": np.ones(35)}])
def test_arrays_of_other_examples_are_refused(index: Index, asked: Any) -> None:
    with pytest.raises(DataError, match=r"of other examples; expected 34; got 3[35]"):
        made(index, **asked)


@both
def test_only_the_asked_fields_are_read(index: Index, held: bool) -> None:
    (spec,) = [made(index, held=held, fields=["wave"]).epoch(0).element_spec]
    assert set(spec) == {"wave", "position"}
    assert spec["wave"].shape == (4, 8, 3)  # known before the first batch
    with pytest.raises(DataError, match="no fields"):
        made(index, fields=["loud"])


@both
def test_the_length_is_known(index: Index, held: bool) -> None:
    assert len(made(index, held=held).epoch(0, 3, parts=2)) == 2 * 5


@pytest.mark.parametrize("formats", [("tfrecord",), ("hdf5", "tfrecord")])
def test_narrow_fields_without_the_wide(
    index: Index, tmp_path: Path, formats: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = stored(index, SPLITS)
    (tmp_path / "other").mkdir()
    other, parsed = build(tmp_path / "other", formats), []
    parse = tf.io.parse_example
    spied = lambda texts, features: parsed.append(set(features)) or parse(texts, features)  # noqa: E731
    monkeypatch.setattr(tf.io, "parse_example", spied)
    found = narrow(other, SPLITS, ["label", "source"])
    assert set(found) == {"label", "source"}
    for name, array in found.items():
        assert array.dtype == wanted[name].dtype
        assert (array == wanted[name]).all()
    assert all(names == {"label", "source"} for names in parsed)
    assert len(parsed) == (6 if formats == ("tfrecord",) else 0)
    assert narrow(other, ["test"], ["wave"])["wave"].shape == (0, 8, 3)


def test_both_formats_give_the_same_named_fields(index: Index) -> None:
    for one, two in zip(
        index.shards("train", "hdf5"), index.shards("train", "tfrecord"), strict=True
    ):
        found = [read_shard(index, shard, ["half", "source"]) for shard in (one, two)]
        assert set(found[0]) == set(found[1]) == {"half", "source"}
        assert all(found[0][k].tobytes() == found[1][k].tobytes() for k in found[0])


@both
def test_sources_of_a_batch(index: Index, held: bool) -> None:
    examples = made(index, held=held, chosen=np.arange(34) % 4 > 0)
    for step, batch in enumerate(examples.epoch(1)):
        found = [name.decode() for name in batch["source"].numpy().tolist()]
        assert examples.sources(1, step) == found


@both
def test_a_missing_or_changed_shard_is_refused_before_its_first_batch(
    index: Index, held: bool
) -> None:
    path = index.folder / "train-2.tfrecord"
    good = path.read_bytes()
    for at in (0, len(good) // 2, len(good) - 1):  # a flip in the last checksum, too
        path.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        with pytest.raises(DataError, match=r"train-2\.tfrecord: a shard has other bytes"):
            made(index, held=held).epoch(0)
    path.unlink()
    with pytest.raises(DataError, match=r"train-2\.tfrecord: a shard cannot be opened"):
        made(index, held=held).epoch(0)


@both
@pytest.mark.parametrize("more", [-2, 1])
def test_a_shard_of_more_or_fewer_examples_is_refused(
    tmp_path: Path, held: bool, more: int
) -> None:
    index = build(tmp_path, ("tfrecord",), more)
    with pytest.raises(DataError, match=rf"train-2.*number of examples; expected {12 + more}"):
        made(index, held=held).epoch(0)


def test_streamed_shards_are_hashed_once_and_again_when_they_change(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed, digest = [], hashlib.file_digest

    def counted(file: Any, name: str) -> Any:
        hashed.append(Path(file.name).name)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    examples = made(index, held=False)
    for epoch in range(2):
        examples.epoch(epoch)
    assert sorted(hashed) == [f"train-{i}.tfrecord" for i in range(5)]
    path = index.folder / "train-2.tfrecord"
    path.write_bytes(path.read_bytes())  # its times have changed, it may be another
    examples.epoch(2)
    assert hashed[5:] == [path.name]


def test_the_index_alone_decides_what_is_held(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(shard.bytes for shard in index.shards("train", "tfrecord"))
    monkeypatch.setattr(tf_data, "HELD", size)
    assert made(index).held
    assert not Examples(index, SPLITS, 4).held
    monkeypatch.setattr(tf_data, "HELD", size - 1)
    assert not made(index, fields=["label"]).held


def test_too_few_for_a_batch(index: Index) -> None:
    with pytest.raises(DataError, match=r"too few examples for one batch; expected 35; got 34"):
        made(index, 35)
    assert Examples(index, ["test"], 4, shuffle=False).steps == 0
    assert positions(Examples(index, ["test"], 4, shuffle=False), 0) == []


# ------------------------------------------------------------------ memory


def wide(index: Index, values: int) -> Index:
    """The same shards, as if each example had a field of so many float32."""
    (wave, *others) = index.fields
    shape = {"shape": (values,), "axes": ("sample",)}
    return dataclasses.replace(index, fields=(dataclasses.replace(wave, **shape), *others))


def test_batches_ahead_are_four_or_as_many_as_64_mb_hold(index: Index) -> None:
    seen = set()
    sizes = (8, 1 << 16, 1 << 18, 300_000, 1 << 20, 3 << 20, 1 << 23, 1 << 24, 1 << 26)
    for batch, values in itertools.product((1, 3, 16, 34), sizes):
        ahead = made(wide(index, values), batch, fields=["wave"]).ahead
        fitting = [n for n in (1, 2, 3, 4) if n * batch * values * 4 <= 64 * 2**20]
        assert ahead == max([1, *fitting])  # one is made in any case
        seen.add(ahead)
    assert seen == {1, 2, 3, 4}


def test_only_the_asked_fields_take_room(index: Index) -> None:
    one = wide(index, 1 << 24)
    assert made(one, fields=["label", "source"]).ahead == 4
    assert made(one, fields=["label", "wave"]).ahead == 1
    assert made(one).ahead == 1


@both
def test_no_more_batches_are_made_ahead_than_there_is_room_for(
    index: Index, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead: list[int] = []
    at_once: set[int | None] = set()
    real, mapped = tf.data.Dataset.prefetch, tf.data.Dataset.map
    noted = lambda data, count: ahead.append(count) or real(data, count)  # noqa: E731

    def calls(data: Any, way: Any, number: int | None = None) -> Any:
        at_once.add(number)
        return mapped(data, way, number)

    monkeypatch.setattr(tf.data.Dataset, "prefetch", noted)
    monkeypatch.setattr(tf.data.Dataset, "map", calls)
    for room, fitting in ((1, 1), (2 * 4 * 125, 2), (1 << 20, 4)):  # an example has 121 bytes
        monkeypatch.setattr(tf_data, "ROOM", room)
        examples = made(index, held=held)
        assert len(positions(examples, 0)) == 8
        assert ahead == [fitting]
        assert at_once - {None} == {fitting}
        ahead.clear()
        at_once.clear()


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """Numbers that a computation might not leave as they are: zeros below zero, the smallest."""

    def told(count: int, seed: int, real: Any = arrays) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = real(count, seed)
        found["wave"].reshape(-1)[:5] = -0.0, 1e-45, -1e-40, 3.4e38, -3.4e38
        found["half"][0] = -0.0, 6e-8
        return found

    monkeypatch.setattr(sys.modules[__name__], "arrays", told)
    (tmp_path / "odd").mkdir()
    return build(tmp_path / "odd")


@pytest.mark.parametrize("every", [1, 3])
def test_held_examples_are_the_stored_ones_byte_for_byte(odd: Index, every: int) -> None:
    """All of them, or some of each shard."""
    chosen = np.arange(34) % every == 0
    examples = made(odd, 4, held=True, chosen=chosen)
    wanted, found = stored(odd, ["train"]), examples._loaded()
    assert list(found) == [field.name for field in FIELDS if field.name != "source"] + ["source"]
    for name, tensor in found.items():
        array = wanted[name][chosen]
        if name == "source":
            assert tensor.numpy().tolist() == array.tolist()
        else:
            assert tensor.dtype == array.dtype
            assert tensor.shape == array.shape
            assert tensor.numpy().tobytes() == array.tobytes()


def test_held_examples_outlive_what_they_were_read_with(odd: Index) -> None:
    """They lie in memory that numpy has made: it must not be given to others."""
    examples = made(odd, 4, held=True, fields=["wave", "group"])
    found, wanted = examples._loaded(), stored(odd, ["train"])
    del examples
    others = [np.full(wanted["wave"].shape, 7.0, np.float32) for _ in range(100)]
    for name, tensor in found.items():
        assert tensor.numpy().tobytes() == wanted[name].tobytes()
    assert len(others) == 100


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("field", FIELDS[:-1], ids=lambda field: field.name)
def test_a_place_for_numbers_is_a_tensor_without_a_copy(count: int, field: Any) -> None:
    array = records.room(count, field)
    assert (array.shape, array.dtype) == ((count, *field.shape), np.dtype(field.numpy))
    assert not count or array.ctypes.data % 64 == 0
    tensor = records.tensor(array)
    assert (tuple(tensor.shape), tensor.dtype.as_numpy_dtype) == (array.shape, array.dtype)
    array.reshape(-1)[:] = 3
    assert (tensor.numpy() == 3).all()  # one memory


def loading(root: str) -> int:
    """What it takes to hold examples, in a process of its own."""
    index = load_index(Path(root))
    examples = Examples(index, ["train"], 4, held=True)
    (one,) = Examples(index, ["valid"], 4, held=True).epoch(0)  # loads what TensorFlow needs
    before = now()
    (batch,) = examples.epoch(0).take(1)
    (Path(root) / "took").write_text(f"{before} {peak()} {now()}")
    return 0 if len(one["wave"]) == len(batch["wave"]) == 4 else 1


def test_held_examples_are_in_memory_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And beside them no more than a shard's, while they are read."""
    fields = [Field("wave", "float32", (1 << 16,), "", ("sample",)), *FIELDS[3:]]

    def told(count: int, seed: int, real: Any = arrays) -> dict[str, np.ndarray]:
        wave = np.random.default_rng(seed).random((count, 1 << 16), np.float32)
        return {"wave": wave} | {f.name: real(count, seed)[f.name] for f in fields[1:]}

    with monkeypatch.context() as patch:
        changes = {"FIELDS": fields, "SIZES": (8,) * 32, "arrays": told}  # of 2 MB: 64 MB
        for name, value in changes.items():
            patch.setattr(sys.modules[__name__], name, value)
        build(tmp_path, ("tfrecord",))
    assert trainings.alone(loading, tmp_path, kind=KERAS) == 0, Path(f"{tmp_path}.log").read_text()
    before, most, after = map(int, (tmp_path / "took").read_text().split())
    whole = 32 * 8 * 4 << 16
    assert whole < after - before < 1.3 * whole
    assert most - before < 1.4 * whole
