"""The index and its shards as training sees them: damage, disguise and wrong indexes refused.

Reads and writes only in pytest's own folders.
"""

import hashlib
import json
import multiprocessing
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pipeline.formats import hdf5, tfrecord
from tests.test_hdf5 import FIELDS, arrays, assert_same
from training.data import shards as training_shards
from training.data.index import DataError, Index, load_index
from training.data.shards import Blocks, check_shard, read_shard

COUNTS = {"train-0": 40, "train-1": 7, "test-0": 3}


def content(name: str) -> dict[str, np.ndarray]:
    return arrays(COUNTS[name], seed=list(COUNTS).index(name))


def entry(folder: Path, path: str, split: str, format: str, examples: int) -> dict[str, Any]:
    data = (folder / path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return {
        "path": path, "split": split, "format": format, "examples": examples,
        "bytes": len(data), "sha256": digest,
    }  # fmt: skip


def description(folder: Path) -> dict[str, Any]:
    """Writes all shards in both formats; the index that names them."""
    (folder / "shards").mkdir(parents=True)
    entries = []
    for name, count in COUNTS.items():
        (folder / f"shards/{name}.h5").write_bytes(hdf5.encode(FIELDS, content(name), {}))
        (folder / f"shards/{name}.tfrecord").write_bytes(tfrecord.encode(FIELDS, content(name)))
        split = name.split("-")[0]
        for format, suffix in (("hdf5", "h5"), ("tfrecord", "tfrecord")):
            entries.append(entry(folder, f"shards/{name}.{suffix}", split, format, count))
    return {
        "schema": 1, "name": "toy", "key": "ab12", "recipe": {"mel": {"bands": 2}},
        "fields": [field.to_json() for field in FIELDS], "classes": ["car", "rain"], "tags": [],
        "statistics": {"mel": {"count": 141, "mean": [0.5, 1], "deviation": [1.0, 2.0]}},
        "shards": entries, "receipts": [], "noise": [], "noise_fields": [], "noises": [],
        "names": {}, "fingerprint": "cd34", "counts": {"train": 47, "test": 3},
        "feature_description": tfrecord.feature_description(FIELDS),
    }  # fmt: skip


def save(folder: Path, data: Any) -> Path:
    path = folder / "index.json"
    body = {key: value for key, value in data.items() if key != "seal"}
    plain = json.dumps(body, sort_keys=True, separators=(",", ":")) + "\n"
    seal = hashlib.sha256(plain.encode()).hexdigest()
    path.write_text(json.dumps({**body, "seal": seal}), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    save(folder, description(folder))
    return folder


@pytest.fixture
def index(folder: Path) -> Index:
    return load_index(folder)


def test_index_is_read_by_folder_and_by_file(folder: Path, index: Index) -> None:
    assert index == load_index(str(folder / "index.json"))
    assert (index.name, index.key, index.classes, index.tags) == (
        "toy",
        "ab12",
        ("car", "rain"),
        (),
    )
    assert [s.path for s in index.shards("train", "hdf5")] == [
        "shards/train-0.h5",
        "shards/train-1.h5",
    ]
    assert [index.examples(split) for split in ("train", "valid", "test")] == [47, 0, 3]
    assert index.statistics["mel"].mean == (0.5, 1.0)
    assert [f.numpy for f in index.fields] == [f.numpy for f in FIELDS]


@pytest.mark.parametrize("format", ["hdf5", "tfrecord"])
def test_shards_hold_what_was_stored(index: Index, format: str) -> None:
    if format == "tfrecord":
        pytest.importorskip("tensorflow")
    for shard in index.shards("train", format):
        check_shard(index, shard)
        assert_same(read_shard(index, shard), content(Path(shard.path).stem))


@pytest.mark.parametrize("span", [(0, 40), (0, 1), (39, 40), (7, 23), (5, 5), (40, 40)])
def test_blocks(index: Index, span: tuple[int, int]) -> None:
    with Blocks(index, index.shards("train", "hdf5")[0]) as blocks:
        assert len(blocks) == 40
        found = blocks.read(*span)
    assert_same(found, {name: v[slice(*span)] for name, v in content("train-0").items()})
    assert all(array.flags.writeable for array in found.values())


@pytest.mark.parametrize("span", [(-1, 3), (0, 41), (4, 3)])
def test_blocks_outside_are_refused(index: Index, span: tuple[int, int]) -> None:
    with pytest.raises(IndexError, match="of 40"):
        Blocks(index, index.shards("train", "hdf5")[0]).read(*span)


def _read_in_child(blocks: Blocks, pipe: Any) -> None:
    pipe.send((os.getpid(), {k: v.tobytes() for k, v in blocks.read(3, 9).items()}))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("opened", [False, True])
def test_blocks_cross_into_other_processes(index: Index, method: str, opened: bool) -> None:
    blocks = Blocks(index, index.shards("train", "hdf5")[0])
    if opened:
        blocks.read(0, 1)
    context = multiprocessing.get_context(method)
    receive, send = context.Pipe(duplex=False)
    workers = [context.Process(target=_read_in_child, args=(blocks, send)) for _ in range(2)]
    for worker in workers:
        worker.start()
    answers = dict(receive.recv() for _ in workers)
    for worker in workers:
        worker.join()
    wanted = {name: v[3:9].tobytes() for name, v in content("train-0").items()}
    assert [answers[worker.pid] for worker in workers] == [wanted, wanted]
    assert {k: v.tobytes() for k, v in blocks.read(3, 9).items()} == wanted


def test_bytes_are_checked_once(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    digest = hashlib.file_digest
    monkeypatch.setattr(
        training_shards.hashlib, "file_digest", lambda *a: seen.append(1) or digest(*a)
    )
    blocks = Blocks(index, index.shards("train", "hdf5")[0])
    for _ in range(3):
        blocks.read(0, 1)
        blocks.close()
    assert len(seen) == 1


def test_replaced_file_is_checked_again(index: Index) -> None:
    shard = index.shards("train", "hdf5")[0]
    blocks, path = Blocks(index, shard), index.folder / shard.path
    blocks.read(0, 1)
    blocks.close()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.with_suffix(".new").write_bytes(data)
    path.with_suffix(".new").replace(path)
    with pytest.raises(DataError, match="other bytes"):
        blocks.read(0, 1)


def test_flipped_bits_are_refused(index: Index) -> None:
    shard = index.shards("test", "hdf5")[0]
    path = index.folder / shard.path
    good = path.read_bytes()
    for at in range(0, len(good), 7):  # 7 and 8 share no factor: every bit of a byte has its turn
        damaged = bytearray(good)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"test-0\.h5: a shard has other bytes.*make features"):
            Blocks(index, shard).read(0, 1)


def _swap(folder: Path) -> None:
    a, b = folder / "shards/train-0.h5", folder / "shards/train-1.h5"
    a.rename(folder / "kept")
    b.rename(a)
    (folder / "kept").rename(b)


def _cut(folder: Path) -> None:
    path = folder / "shards/train-1.tfrecord"
    path.write_bytes(path.read_bytes()[:-1])


def _link(folder: Path) -> None:
    path = folder / "shards/train-0.h5"
    path.rename(folder.parent / "elsewhere.h5")
    path.symlink_to(folder.parent / "elsewhere.h5")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "shards/train-1.h5").unlink(), r"train-1\.h5: a shard is missing"),
        (lambda f: (f / "shards/train-2.h5").touch(), r"train-2\.h5: a shard in no index"),
        (_cut, r"train-1\.tfrecord: a shard has another size; expected \d+; got \d+"),
        (_swap, r"train-0\.h5: a shard has another size"),
        (_link, r"train-0\.h5: a link out of the folder"),
        (lambda f: (f / "index.json").unlink(), r"index\.json: no index\."),
    ],
)
def test_files_that_disagree_with_the_index(
    folder: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(folder)
    with pytest.raises(DataError, match=f"{message}.*[Rr]un make features"):
        load_index(folder)


def test_swapped_shards_of_equal_size_are_refused(tmp_path: Path) -> None:
    data = description(tmp_path / "toy")
    a, b = data["shards"][0], data["shards"][2]
    wanted = hdf5.encode(FIELDS, arrays(7, seed=9), {})
    (tmp_path / "toy" / a["path"]).write_bytes(wanted)
    a |= {"bytes": len(wanted), "examples": 7}
    data["shards"] = [a, b]  # now both are 7 examples long
    a["sha256"], b["sha256"] = b["sha256"], hashlib.sha256(wanted).hexdigest()
    for path in (tmp_path / "toy/shards").glob("*"):
        if path.name not in (Path(a["path"]).name, Path(b["path"]).name):
            path.unlink()
    save(tmp_path / "toy", data)
    index = load_index(tmp_path / "toy")
    for shard in index.shards("train", "hdf5"):
        for read in (check_shard, read_shard):
            with pytest.raises(DataError, match="other bytes; expected sha256 .*; got .*Run make"):
                read(index, shard)


def _set(*path: Any) -> Callable[[dict[str, Any]], None]:
    *keys, last, value = path

    def change(data: dict[str, Any]) -> None:
        for key in keys:
            data = data[key]
        data[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("schema", 2), "another schema; expected 1; got 2"),
        (_set("schema", None), "another schema"),
        (_set("name", 3), "index.name must be str, not 3"),
        (_set("more", 3), "must have the keys"),
        (lambda d: d.pop("tags"), "must have the keys"),
        (lambda d: d.pop("shards"), "must have the keys"),
        (_set("shards", 1, "path", "../toy/shards/train-0.h5"), "a path out of the folder"),
        (_set("shards", 1, "path", "shards/../../x.h5"), "a path out of the folder"),
        (_set("shards", 1, "path", "/etc/passwd"), "a path out of the folder; .*got /etc/passwd"),
        (_set("shards", 1, "path", "shards\\..\\x.h5"), "a path out of the folder"),
        (_set("shards", 1, "path", "shards/a\0.h5"), "a path out of the folder"),
        (_set("shards", 1, "path", "./shards/train-0.h5"), "a path out of the folder"),
        (_set("shards", 1, "path", "shards"), "a shard is missing"),
        (_set("shards", 1, "path", "shards/train-1.h5"), "once"),
        (_set("shards", 1, "path", 7), r"index.shards\[1\].path must be str, not 7"),
        (_set("shards", 1, "split", "eval"), "unknown 'eval'"),
        (_set("shards", 1, "format", "zarr"), "unknown"),
        (_set("shards", 1, "examples", True), r"index.shards\[1\].examples must be int, not True"),
        (_set("shards", 1, "examples", 39), "the formats hold unequal numbers of examples"),
        (_set("shards", 1, "bytes", -1), "bad examples, bytes or sha256"),
        (_set("shards", 1, "sha256", "A" * 64), "bad examples, bytes or sha256"),
        (_set("shards", []), "once"),
        (_set("fields", 0, "dtype", "object"), "unknown type 'object'"),
        (_set("fields", 0, "shape", [3, -2]), "bad shape"),
        (_set("fields", 1, "name", "mel"), "twice: .'mel'"),
        (_set("statistics", "mel", "mean", [1.0]), "finite means"),
        (_set("statistics", "mel", "mean", [1.0, float("nan")]), "finite means"),
        (_set("statistics", "mel", "mean", ["1", "2"]), "must be float"),
        (_set("statistics", "mell", {"count": 1, "mean": [], "deviation": []}), "unknown fields"),
        (_set("feature_description", "mel", "shape", [6]), "feature_description"),
        (_set("feature_description", "mel", None), "not a valid index"),
        (_set("feature_description", {}), "feature_description"),
    ],
)  # fmt: skip
def test_bad_index_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    data = json.loads((folder / "index.json").read_text())
    change(data)
    save(folder, data)
    with pytest.raises(DataError, match=f"{message}.*[Rr]un make features"):
        load_index(folder)


def test_changed_index_is_refused(folder: Path) -> None:
    path = folder / "index.json"
    path.write_text(path.read_text().replace('"car"', '"bar"'))
    with pytest.raises(DataError, match="does not match its seal.*Run make features"):
        load_index(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "3", "[" * 100_000, "\ud800"])
def test_what_is_no_index_is_refused(folder: Path, text: str) -> None:
    (folder / "index.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match=r"index\.json.*Run make features"):
        load_index(folder)


def test_unknown_split_or_format_names_the_known_ones(index: Index) -> None:
    with pytest.raises(DataError, match="one of train, valid, test as hdf5 or tfrecord"):
        index.shards("eval", "hdf5")
    with pytest.raises(DataError, match="Let the recipe's formats hold 'zarr'"):
        index.shards("train", "zarr")


def test_shard_cut_after_the_index_was_read(index: Index, folder: Path) -> None:
    _cut(folder)
    with pytest.raises(DataError, match=r"train-1\.tfrecord: a shard has another size"):
        check_shard(index, index.shards("train", "tfrecord")[1])


def _compact(file: h5py.File, secret: Path) -> None:
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((3,))
    h5py.h5d.create(file.id, b"label", h5py.h5t.STD_I32LE, space, dcpl=made)


def _outside(file: h5py.File, secret: Path) -> None:
    file["label"] = np.zeros(3, "i4")  # its offset is set to 2**40 afterwards


def _virtual(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((3,), "i4")
    layout[:] = h5py.VirtualSource(str(secret), "label", (3,))
    file.create_virtual_dataset("label", layout)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f, s: f.create_dataset("label", (3,), "i4", external=[(str(s), 0, 12)]), "plain"),
        (_virtual, "plain"),
        (_compact, "plain"),
        (_outside, "not a readable HDF5 file.*invalid dataset size"),
        (lambda f, s: f.create_dataset("label", (3,), "i4", chunks=(3,)), "plain"),
        (lambda f, s: f.create_dataset("label", (3,), "i4"), "plain"),  # never written: no bytes
        (lambda f, s: f.__setitem__("label", h5py.ExternalLink(str(s), "/label")), "a link"),
        (lambda f, s: f.__setitem__("label", h5py.SoftLink("/x")), "a link"),
        (lambda f, s: f.create_group("label"), "no dataset"),
        (lambda f, s: f.__setitem__("label", np.zeros(3, "i8")), "wrong type"),
        (lambda f, s: f.__setitem__("label", np.zeros(4, "i4")), "wrong shape"),
        (lambda f, s: f.__setitem__("other", np.zeros(3, "i4")), "other datasets"),
        (lambda f, s: None, "other datasets"),
    ],
)
def test_crafted_shard_with_a_matching_sha256_reads_nothing_else(
    tmp_path: Path, make: Callable[[h5py.File, Path], Any], message: str
) -> None:
    secret, folder = tmp_path / "secret", tmp_path / "toy"
    secret.write_bytes(b"secret bytes")
    data = description(folder)
    for path in (folder / "shards").iterdir():
        path.unlink()
    path = folder / "shards/a.h5"
    with h5py.File(path, "w") as file:
        make(file, secret)
        outside = file["label"].id.get_offset() if make is _outside else 0
    if outside:
        told, forged = struct.pack("<2Q", outside, 12), struct.pack("<2Q", 2**40, 12)
        assert path.read_bytes().count(told) == 1
        path.write_bytes(path.read_bytes().replace(told, forged))
    data["shards"] = [entry(folder, "shards/a.h5", "train", "hdf5", 3)]
    data |= {"fields": [FIELDS[3].to_json()], "statistics": {}}
    save(folder, data)
    index = load_index(folder)
    with pytest.raises(DataError, match=f"a.h5.*{message}.*Run make features"):
        read_shard(index, index.entries[0])
