"""The readers of sealed files on a damaged one: it is refused, or it is what was sealed.

Reads a damaged file, and the valid ones that tests/fuzz_files.py wrote. Does: hands it to all that
read its kind: `make verify`, training, and the bare parsers. Writes: what belongs beside it.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import scan, verify
from pipeline.audio import pcm
from pipeline.disk import store
from pipeline.errors import MelmillError
from pipeline.formats import hdf5, tfrecord
from tests.fuzz_files import FIELDS, arrays
from tests.fuzzed import valid
from training import durable
from training.data.index import DataError, load_index
from training.data.shards import Blocks, check_shard
from training.engine import checkpoint

FORMS = {"hdf5": "h5", "tfrecord": "tfrecord"}


class Wrong(Exception):
    """An accepted file that is not what was written."""


def same(one: Any, other: Any) -> None:
    try:
        np.testing.assert_equal(one, other)
    except AssertionError as error:
        raise Wrong(f"accepted, and is not what was written: {error}") from error


def held(path: Path, kind: str, value: Any, read: Callable[[Path], Any]) -> None:
    """What was accepted is what one of the valid files holds: a splice may give the other one."""
    for number in (0, 1):
        with contextlib.suppress(AssertionError):
            np.testing.assert_equal(value, read(base_of(path) / f"{kind}.{number}"))
            return
    raise Wrong(f"accepted, and is not what was written: {value!r:.300}")


def base_of(path: Path) -> Path:
    """Where the valid files are."""
    return path.parents[2]


def verified(path: Path, number: int, form: str) -> bool:
    """Whether `make verify` takes a shard; if so, it holds what it held."""
    good = valid(base_of(path))[FORMS[form]][number]
    file = {"format": form, "examples": 5, "bytes": len(good), "sha256": store.sha256(good)}
    try:
        same(verify._read(path, file, FIELDS), arrays(number))
    except MelmillError:
        return False
    return True


def trained(folder: Path) -> dict[str, Any]:
    """What training reads by an index, without TensorFlow."""
    found, arrays = load_index(folder), {}
    for entry in (*found.entries, *found.noise):
        if entry.format == "tfrecord":
            check_shard(found, entry)
        else:
            with Blocks(found, entry) as blocks:
                arrays = blocks.read(0, len(blocks))
    return arrays


def shard(path: Path, number: int, form: str) -> None:
    """By `make verify` and by training: both must refuse, or hold the same."""
    (path.parent / "index.json").write_bytes(_index(path, number, form))
    accepted = verified(path, number, form)
    try:
        found = trained(path.parent)
        same(found, arrays(number) if found else {})
        learnt = True
    except DataError:
        learnt = False
    if learnt != accepted:
        raise Wrong(f"accepted by verify: {accepted}, by training: {learnt}")
    if not accepted:
        raise MelmillError("refused")


def _index(path: Path, number: int, form: str) -> bytes:
    """The index without the other format."""
    value = store.load_json(base_of(path) / f"index.{number}")
    value["shards"] = [file for file in value["shards"] if file["format"] == form]
    return store.dump_json(store.seal(value))


def tfrecords(path: Path, number: int) -> None:
    """The bare parser, too: checksums stand in the file."""
    with contextlib.suppress(MelmillError):
        found = tfrecord.decode(path, FIELDS)  # whole records, perhaps fewer, or of both files
        both = [tfrecord.decode(base_of(path) / f"tfrecord.{n}", FIELDS) for n in (0, 1)]
        known = {row for one in both for row in _rows(one)}
        same(set(_rows(found)) - known, set())
    shard(path, number, "tfrecord")


def _rows(arrays: dict[str, np.ndarray]) -> list[bytes]:
    """Each example's bytes."""
    names = sorted(arrays)
    return [b"".join(arrays[n][i].tobytes() for n in names) for i in range(len(arrays[names[0]]))]


def forged_records(path: Path, number: int) -> None:
    for array in tfrecord.decode(path.read_bytes(), FIELDS, 5).values():
        same(len(array), 5)


def bare_hdf5(path: Path, number: int) -> None:
    """HDF5 has no checksum of its own: here only the parser is looked at."""
    whole = hdf5.decode(path, FIELDS)
    some = hdf5.read_rows(path.read_bytes(), FIELDS, 0, 1)
    same(some, {name: array[:1] for name, array in whole.items()})


def packed(path: Path, number: int) -> None:
    """Every sample, through the checksums."""
    if pcm.check(path):
        held(path, "pcm", _samples(path), _samples)
    elif taken(pcm.Pack, path):  # a footer that is whole, and blocks that are not
        raise MelmillError("refused")


def _samples(path: Path) -> Any:
    pack = pcm.Pack(path)
    found = {name: pack.native(name, 0, one.frames) for name, one in pack.recordings.items()}
    return pack.sha256, pack.key, pack.decoder, pack.rejected, pack.recordings, found


def taken(read: Callable[[Path], Any], path: Path) -> bool:
    try:
        read(path)
    except MelmillError:
        return False
    return True


def sealed(path: Path, number: int, kind: str) -> None:
    held(path, kind, store.load_sealed(path), store.load_sealed)


def index(path: Path, number: int) -> None:
    """By the pipeline to the byte; by training, for which 1e-05 and 1E-05 are the same."""
    accepted = taken(lambda p: sealed(p, number, "index"), path)
    try:
        forged_index(path, number)
    except DataError:
        if accepted and path.read_bytes() == valid(base_of(path))["index"][number]:
            raise Wrong("a good index, refused") from None
        raise
    held(path, "index", store.load_json(path), store.load_json)


def forged_index(path: Path, number: int) -> None:
    for end in FORMS.values():
        data = valid(base_of(path))[end][number]
        (path.parent / f"train-0.{end}").write_bytes(data)
    trained(path.parent)


def _records(path: Path) -> Any:
    """A manifest goes by its name."""
    folder = path.parent / "read"
    folder.mkdir(exist_ok=True)
    (folder / "manifest.jsonl").write_bytes(path.read_bytes())
    return scan.read(folder, folder).records


READS: dict[str, tuple[str, Callable[[Path, int], Any]]] = {  # the file's name, and its reader
    "tfrecord": ("train-0.tfrecord", tfrecords), "tfrecord-crc": ("x.tfrecord", forged_records),
    "h5": ("train-0.h5", lambda p, n: shard(p, n, "hdf5")), "h5-bare": ("x.h5", bare_hdf5),
    "pcm": ("x.pcm", packed), "receipt": ("x.json", lambda p, n: sealed(p, n, "receipt")),
    "index": ("index.json", index), "index-seal": ("index.json", forged_index),
    "manifest": ("x.jsonl", lambda p, n: held(p, "manifest", _records(p), _records)),
    "ckpt": ("x.ckpt", lambda p, n: held(p, "ckpt", checkpoint.load(p), checkpoint.load)),
    "state": ("x.json", lambda p, n: held(p, "state", durable.read_json(p), durable.read_json)),
    "ckpt-hash": ("x.ckpt", lambda p, n: checkpoint.load(p)),
}  # fmt: skip
