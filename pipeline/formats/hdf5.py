"""Examples as one HDF5 file: one contiguous dataset per field.

Reads HDF5 files made here; writes nothing: ``encode`` returns the file's bytes, so that a full disk
meets our own write and not the C library's close. Does: builds a file that is byte-identical for
equal input (no times, no chunks, pinned format), and refuses any file that is laid out otherwise
before it reads a single value.
"""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipeline.errors import MelmillError
from pipeline.formats.fields import Arrays, Field, check

# The oldest format, readable by every HDF5 and holding no times; pinned, because the library's own
# choice moves. From 1.8's format on, the root group's header holds the time of day.
_FORMAT = ("earliest", "v108")
Data = bytes | bytearray | memoryview
_REBUILD = "run make features to rebuild it"


def encode(fields: Sequence[Field], arrays: Arrays, attributes: Mapping[str, str]) -> memoryview:
    """The bytes of one file, where they were built, so that they are held once; each attribute is a
    text on the root group."""
    check(fields, arrays)
    made = io.BytesIO()
    with h5py.File(made, "w", libver=_FORMAT) as file:
        for field in sorted(fields, key=lambda field: field.name):
            data = np.ascontiguousarray(arrays[field.name])
            file.create_dataset(field.name, data=data, track_times=False)
        for name in sorted(attributes):
            if "\0" in attributes[name]:
                raise MelmillError("a text with a zero byte", where=f"attribute {name!r}")
            file.attrs[name] = attributes[name]
    return made.getbuffer()


def decode(source: Data | Path, fields: Sequence[Field]) -> dict[str, np.ndarray]:
    """All examples of a file, given by its path or its bytes."""
    return _read(source, fields, None)


def read_rows(source: Data | Path, fields: Sequence[Field], a: int, b: int) -> dict[str, Any]:
    """Examples a to b (b not included). No handle outlives the call, so none crosses a fork."""
    return _read(source, fields, (a, b))


def _read(
    source: Data | Path, fields: Sequence[Field], rows: tuple[int, int] | None
) -> dict[str, np.ndarray]:
    where = source if isinstance(source, Path) else "HDF5 data"
    try:
        with open(source, "rb") if isinstance(source, Path) else io.BytesIO(source) as raw:
            size = raw.seek(0, os.SEEK_END)
            with h5py.File(raw, "r") as file:
                count = check_layout(file, fields, size, where)
                a, b = rows or (0, count)
                if not 0 <= a <= b <= count:
                    raise MelmillError("no such rows", where=where, expected=count, got=f"{a}:{b}")
                return {field.name: file[field.name][a:b] for field in fields}
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise MelmillError(
            "not a readable HDF5 file", where=where, got=error, do=_REBUILD
        ) from error


def check_layout(file: h5py.File, fields: Sequence[Field], size: int, where: object) -> int:
    """The number of examples, when the file holds these fields and nothing else.

    Only headers are read. ``size`` is the file's own, in bytes: no declared shape may exceed it.
    """
    wanted, found = sorted(field.name for field in fields), sorted(file)
    if wanted != found:
        raise MelmillError("other datasets", where=where, expected=wanted, got=found, do=_REBUILD)
    counts = {_check_dataset(file, field, where) for field in fields}
    if len(counts) != 1:
        raise MelmillError(
            "fields of unequal length", where=where, expected="one", got=sorted(counts), do=_REBUILD
        )
    (count,) = counts
    declared = count * sum(field.nbytes for field in fields)
    if declared > size:
        raise MelmillError(
            "declares more bytes than it has", where=where, expected=size, got=declared, do=_REBUILD
        )
    return count


def _check_dataset(file: h5py.File, field: Field, where: object) -> int:
    """The dataset's number of rows, when it is a plain array of the field's type in this file."""
    spot = f"{where} [{field.name}]"
    link = file.get(field.name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        got = type(link).__name__
        raise MelmillError("a link", where=spot, expected="a dataset", got=got, do=_REBUILD)
    data = file[field.name]
    if not isinstance(data, h5py.Dataset):
        got = type(data).__name__
        raise MelmillError("no dataset", where=spot, expected="a dataset", got=got, do=_REBUILD)
    made = data.id.get_create_plist()
    if (
        made.get_layout() != h5py.h5d.CONTIGUOUS or made.get_external_count()
    ):  # so no filters either
        raise MelmillError(
            "not one plain array inside this file (virtual, external, chunked or filtered)",
            where=spot,
            do=_REBUILD,
        )
    if data.id.get_type() != h5py.h5t.py_create(field.numpy, logical=True):
        raise MelmillError(
            "wrong type", where=spot, expected=field.dtype, got=data.dtype, do=_REBUILD
        )
    if data.ndim != 1 + len(field.shape) or data.shape[1:] != field.shape:
        expected = ("examples", *field.shape)
        raise MelmillError(
            "wrong shape", where=spot, expected=expected, got=data.shape, do=_REBUILD
        )
    return int(data.shape[0])
