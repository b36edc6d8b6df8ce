"""Examples as one TFRecord file: one ``tf.train.Example`` per example, without TensorFlow.

Reads TFRecord files, strictly; writes nothing: ``encode`` returns the file's bytes. Does: frames,
checksums and protobuf by hand, byte-identical for equal input and equal to what TensorFlow's own
deterministic serialisation gives. float32 and float16 are stored as a float_list (float16 widened,
which is exact), integers as an int64_list and bytes<N> as a bytes_list without trailing zeros,
because these three lists are all that stock TensorFlow can parse.

Frame (tensorflow.org/tutorials/load_data/tfrecord): length u64, its masked crc32c, data, the
data's masked crc32c. Messages: tensorflow/core/example/{example,feature}.proto.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from pipeline.errors import MelmillError
from pipeline.formats import varints
from pipeline.formats.fields import Arrays, Field, check
from pipeline.formats.varints import Span

_BYTES, _FLOAT, _INT64 = b"\x0a", b"\x12", b"\x1a"  # the lists' tags in a Feature
_FIRST, _SECOND = b"\x0a", b"\x12"  # tags of fields 1 and 2, length-delimited
_FRAME = 16  # bytes around each record: length 8, its crc 4, the data's crc 4
Data = bytes | bytearray | memoryview
_REBUILD = "run make features to rebuild it"


def _list_tag(field: Field) -> bytes:
    return {"S": _BYTES, "f": _FLOAT}.get(field.numpy.kind, _INT64)


def feature_description(fields: Sequence[Field]) -> dict[str, dict[str, Any]]:
    """What stock TensorFlow needs to parse an example; plain JSON data.

    ``{name: tf.io.FixedLenFeature(d["shape"], d["dtype"]) for name, d in description.items()}``
    parses; ``tf.cast(value, d["cast"])`` then gives the field's own type (strings have none).
    """
    stored = {_BYTES: "string", _FLOAT: "float32", _INT64: "int64"}
    return {
        field.name: {
            "dtype": stored[_list_tag(field)],
            "shape": list(field.shape),
            "cast": "string" if field.numpy.kind == "S" else field.dtype,
        }
        for field in fields
    }


def encode(fields: Sequence[Field], arrays: Arrays) -> bytearray:
    """The bytes of one file, its examples in the arrays' order; they are held once."""
    count = check(fields, arrays)
    columns = [
        (field.name, _list_tag(field), _bodies(field, arrays[field.name]))
        for field in sorted(fields, key=lambda field: field.name)
    ]
    made = bytearray()
    for i in range(count):
        features: list[Any] = [b""]
        for name, tag, bodies in columns:
            features += _head(name, tag, len(bodies[i])), bodies[i]
        features[0] = _FIRST + varints.encode(sum(map(len, features)))
        data = b"".join(features)
        length = struct.pack("<Q", len(data))
        for part in (length, _checksum(length), data, _checksum(data)):
            made += part
    return made


def _bodies(field: Field, array: np.ndarray) -> Any:
    """Per example, the values as they stand in the list, before the list's own head."""
    rows = np.ascontiguousarray(array).reshape(len(array), field.size)
    if field.numpy.kind == "S":
        return [
            b"".join(_FIRST + varints.encode(len(value)) + value for value in row)
            for row in rows.tolist()
        ]
    if field.numpy.kind == "f":
        return rows.astype("<f4", copy=False).view(np.uint8)
    data, ends = varints.encode_all(rows.reshape(-1))
    edges = [0, *ends[field.size - 1 :: field.size].tolist()]
    return [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]


@lru_cache(4096)
def _head(name: str, tag: bytes, size: int) -> bytes:
    """Everything of a map entry that stands before ``size`` bytes of values."""
    inner = b"" if tag == _BYTES else _FIRST + varints.encode(size)  # numbers are packed
    feature = tag + varints.encode(len(inner) + size) + inner
    key = _FIRST + varints.encode(len(name)) + name.encode()
    entry = key + _SECOND + varints.encode(len(feature) + size) + feature
    return _FIRST + varints.encode(len(entry) + size) + entry


def _checksum(data: Any) -> bytes:
    """crc32c, masked so that a checksum of data holding checksums stays sound."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def decode(
    source: Data | Path, fields: Sequence[Field], examples: int | None = None
) -> dict[str, np.ndarray]:
    """All examples of a file, given by its path or its bytes.

    A file cut between two records looks whole: ``examples`` is the count that the index holds.
    """
    where = source if isinstance(source, Path) else "TFRecord data"
    try:
        data = source.read_bytes() if isinstance(source, Path) else bytes(source)
        records = _records(data)
        if examples is not None and len(records) != examples:
            raise ValueError(f"wrong number of examples; expected {examples}; got {len(records)}")
        rows = [_row(data, fields, i, *record) for i, record in enumerate(records)]
        arrays = {f.name: _column(data, f, [row[f.name] for row in rows]) for f in fields}
        check(fields, arrays)
    except (OSError, ValueError, MelmillError) as error:
        raise MelmillError(str(error), where=where, do=_REBUILD) from error
    return arrays


def _records(data: bytes) -> list[Span]:
    """Where each record's data begins and ends, both checksums checked."""
    whole = np.frombuffer(data, dtype=np.uint8)
    records: list[Span] = []
    at = 0
    while at < len(data):
        where = f"record {len(records)} at byte {at}"
        if at + _FRAME > len(data):
            raise ValueError(f"{where}: cut inside its frame")
        if _checksum(data[at : at + 8]) != data[at + 8 : at + 12]:
            raise ValueError(f"{where}: its length fails its checksum")
        (length,) = struct.unpack_from("<Q", data, at)
        start, stop = at + 12, at + 12 + length
        at = stop + 4
        if at > len(data):
            raise ValueError(f"{where}: {length} bytes long, but the file ends before")
        if _checksum(whole[start:stop]) != data[stop:at]:
            raise ValueError(f"{where}: its data fail their checksum")
        records.append((start, stop))
    return records


def _row(
    data: bytes, fields: Sequence[Field], record: int, start: int, stop: int
) -> dict[str, list[Span]]:
    """Per field, where its values stand: one span of packed numbers, or one span per string."""
    found = {}
    try:
        ((_, features),) = _parts(data, (start, stop), _FIRST)
        for _, entry in _parts(data, features, _FIRST):
            (_, key), (_, value) = _parts(data, entry, _FIRST + _SECOND)
            name = data[slice(*key)].decode()
            if name in found:
                raise ValueError(f"{name!r} stands there twice")
            ((tag, values),) = _parts(data, value, _BYTES + _FLOAT + _INT64)
            found[name] = tag, [span for _, span in _parts(data, values, _FIRST)]
        wanted = {field.name: _list_tag(field)[0] for field in fields}
        if {name: tag for name, (tag, _) in found.items()} != wanted:
            raise ValueError(f"other keys or types; expected {sorted(wanted)}; got {sorted(found)}")
        for field in fields:
            spans = found[field.name][1]
            if len(spans) != (field.size if field.numpy.kind == "S" else 1):
                raise ValueError(f"{field.name!r} has not {field.size} values")
    except ValueError as error:
        raise ValueError(f"record {record} at byte {start}: {error}") from error
    return {name: spans for name, (_, spans) in found.items()}


def _parts(data: bytes, span: Span, tags: bytes) -> list[tuple[int, Span]]:
    """The parts of the message in this span, all length-delimited and of these tags."""
    at, stop = span
    parts = []
    while at < stop:
        tag = data[at]
        if tag not in tags:
            raise ValueError(f"no tf.train.Example (tag {tag} at byte {at})")
        length, shift, at = 0, 0, at + 1
        while at < stop and shift < 63:
            length |= (data[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 128:
                break
        else:
            raise ValueError(f"no tf.train.Example (bad length at byte {at})")
        if length > stop - at:
            raise ValueError(f"no tf.train.Example ({length} bytes at byte {at} do not fit)")
        parts.append((tag, (at, at + length)))
        at += length
    return parts


def _column(data: bytes, field: Field, rows: list[list[Span]]) -> np.ndarray:
    """One field of all examples, in its own type and shape."""
    shape = (len(rows), *field.shape)
    if field.numpy.kind == "S":
        values = [data[a:b] for row in rows for a, b in row]
        if any(len(value) > field.numpy.itemsize or value.endswith(b"\0") for value in values):
            raise ValueError(f"{field.name!r}: a text does not fit {field.dtype}")
        return np.array(values, dtype=field.numpy).reshape(shape)
    spans = [span for row in rows for span in row]
    if field.numpy.kind == "f":
        wrong = [i for i, (a, b) in enumerate(spans) if b - a != 4 * field.size]
        if wrong:
            raise ValueError(f"record {wrong[0]}: {field.name!r} has not {field.size} values")
        stored = np.empty((len(rows), field.size), dtype="<f4")
        for row, (a, _) in zip(stored, spans, strict=True):
            row[:] = np.frombuffer(data, "<f4", field.size, a)
    else:
        stored = varints.decode_all(data, field, spans)
    result = stored.astype(field.numpy, copy=False)
    if result is not stored and not np.array_equal(result, stored):
        raise ValueError(f"{field.name!r}: values outside {field.dtype}")
    return result.reshape(shape)
