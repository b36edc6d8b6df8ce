"""The shards that an index names, as arrays.

Reads HDF5 and TFRecord shards, each only after its sha256 has been compared with the index;
writes nothing. Does: hands out whole shards, or blocks of examples of an HDF5 shard by one plain
read per field, safely in forked and spawned worker processes.
"""

import hashlib
import itertools
import os
from collections.abc import Sequence
from typing import Any, BinaryIO

import h5py
import numpy as np

from training.data.index import DataError, Field, Index, Shard

Arrays = dict[str, np.ndarray]
Stamp = tuple[int, ...]  # which file it was, its size and its times
ROWS = 1024  # arrays filled by one call: the kernel takes no more


def check_shard(index: Index, shard: Shard, checked: Stamp | None = None) -> Stamp:
    """Reads the whole file once; refuses one that is missing or has other bytes.

    Gives what the file was: as `checked`, that spares the reading while it is still that file.
    """
    file, now = _open(index, shard, checked)
    file.close()
    return now


def read_shard(index: Index, shard: Shard, names: Sequence[str] = ()) -> Arrays:
    """All examples of a shard, by field: every field, or those named. TFRecord shards are read
    with TensorFlow."""
    fields = [field for field in index.held(shard) if not names or field.name in names]
    if shard.format == "tfrecord":
        return _read_tfrecord(index, shard, fields)
    with Blocks(index, shard) as blocks:
        arrays = {f.name: np.empty((shard.examples, *f.shape), f.numpy) for f in fields}
        blocks.read_into(arrays, 0)
    return arrays


class Blocks:
    """The examples of one HDF5 shard, opened at the first read.

    What stays open is a plain file, read by position, so a forked process may go on with it and
    threads may share it; a spawned one opens its own. The sha256 is checked once, and a process
    that opens the file later checks only that it is still that file.
    """

    def __init__(self, index: Index, shard: Shard) -> None:
        self.index, self.shard, self.fields = index, shard, index.held(shard)
        self._checked: Stamp | None = None  # what the checked file was
        self._file: BinaryIO | None = None
        self._offsets: dict[str, int] = {}

    def __len__(self) -> int:
        return self.shard.examples

    def __enter__(self) -> "Blocks":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def close(self) -> None:
        """Gives the handle back; a later read opens the file again."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def read(self, a: int, b: int) -> Arrays:
        """Examples a to b (b not included) of every field, in new, writable arrays."""
        if not 0 <= a <= b <= len(self):
            raise IndexError(f"examples {a}:{b} of {len(self)}")
        file = self._handle()
        return {
            field.name: _read(file, self._offsets[field.name], field, a, b) for field in self.fields
        }

    def read_into(self, out: Arrays, a: int) -> None:
        """Examples from `a` on, of the fields named in `out`, into its (contiguous) arrays."""
        file = self._handle()
        for field in self.fields:
            if field.name in out:
                offset = self._offsets[field.name] + a * field.nbytes
                _fill(file, offset, out[field.name])

    def read_rows(self, name: str, rows: Sequence[np.ndarray | None]) -> None:
        """Each example of a field into its own (contiguous) array; what has none is passed over."""
        file = self._handle()
        (field,) = (field for field in self.fields if field.name == name)
        at = 0
        for wanted, run in itertools.groupby(rows, lambda row: row is not None):
            some = list(run)
            if wanted:
                offset = self._offsets[name] + at * field.nbytes
                _fill(file, offset, *(row for row in some if row is not None))
            at += len(some)

    def _handle(self) -> BinaryIO:
        if self._file is None:
            file, now = _open(self.index, self.shard, self._checked)
            try:
                if now != self._checked:
                    self._offsets = _offsets(file, self.fields, self.shard)
            except BaseException:
                file.close()
                raise
            self._checked = now
            self._file = file
        return self._file


def _open(index: Index, shard: Shard, checked: Stamp | None = None) -> tuple[BinaryIO, Stamp]:
    """The open file, its bytes checked unless it is the one that was checked before."""
    path = index.path(shard)
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise DataError("a shard cannot be opened", path, got=error.strerror) from error
    try:
        stat = os.fstat(file.fileno())
        now = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        if stat.st_size != shard.bytes:
            raise DataError("a shard has another size", path, shard.bytes, stat.st_size)
        if now != checked:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != shard.sha256:
                raise DataError("a shard has other bytes", path, f"sha256 {shard.sha256}", found)
    except BaseException:
        file.close()
        raise
    return file, now


def _offsets(file: BinaryIO, fields: tuple[Field, ...], shard: Shard) -> dict[str, int]:
    """Where each field's values begin in the file; nothing but plain arrays inside it passes."""
    where = file.name
    try:
        with h5py.File(file, "r") as opened:
            links = {name: opened.get(name, getlink=True) for name in opened}
            if set(links) != {field.name for field in fields}:
                wanted = sorted(field.name for field in fields)
                raise DataError("other datasets", where, wanted, sorted(links))
            if not all(type(link) is h5py.HardLink for link in links.values()):
                raise DataError("a link in place of a dataset", where)
            return {
                f.name: _offset(opened[f.name], f, shard, f"{where} [{f.name}]") for f in fields
            }
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise DataError("not a readable HDF5 file", where, got=error) from error


def _offset(data: Any, field: Field, shard: Shard, where: str) -> int:
    if not isinstance(data, h5py.Dataset):
        raise DataError("no dataset", where, "a dataset", type(data).__name__)
    offset = data.id.get_offset()
    if offset is None:  # virtual, stored in another file, in chunks or in the header
        raise DataError("not one plain array inside the file", where)
    if data.id.get_type() != h5py.h5t.py_create(field.numpy, logical=True):
        raise DataError("wrong type", where, field.dtype, data.dtype)
    if data.shape != (shard.examples, *field.shape):
        raise DataError("wrong shape", where, (shard.examples, *field.shape), data.shape)
    return int(offset)


def _read(file: BinaryIO, offset: int, field: Field, a: int, b: int) -> np.ndarray:
    """One contiguous read, by position: no seek that another reader could disturb."""
    array = np.empty((b - a, *field.shape), dtype=field.numpy)
    _fill(file, offset + a * field.nbytes, array)
    return array


def _fill(file: BinaryIO, offset: int, *arrays: np.ndarray) -> None:
    """The bytes from `offset` on, into one array after the other."""
    rest = [array.reshape(-1).view(np.uint8).data for array in arrays if array.size]
    at = 0
    while at < len(rest):
        got = os.preadv(file.fileno(), rest[at : at + ROWS], offset)
        if not got:
            raise DataError("a shard was cut while it was read", file.name)
        offset += got
        while at < len(rest) and got >= len(rest[at]):
            got -= len(rest[at])
            at += 1
        if got:
            rest[at] = rest[at][got:]


def _read_tfrecord(index: Index, shard: Shard, fields: Sequence[Field]) -> Arrays:
    # A second or more to import, and only these shards need it.
    from training.data import records

    check_shard(index, shard)
    found = records.read(index, shard, fields)
    return {field.name: found[field.name].numpy().astype(field.numpy) for field in fields}
